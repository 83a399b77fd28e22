#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "openpgp/skey.h"

/*
 * What stands in a PKESK packet from anybody is unwrapped where the private keys live: every
 * octet string gives a session key, always the same.  The same octets are verified as the value
 * of a signature.  The first octet chooses the key.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define KINDS 4

static struct pgp_skey *keys[KINDS];
static struct pgp_pk *verifiers[KINDS];

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const enum pgp_keytype types[KINDS] = {
	    PGP_GEN_CV25519, PGP_GEN_P256, PGP_GEN_P521, PGP_GEN_BP256};
	struct pgp_skey *k;
	struct cert_key pub;

	(void)argc;
	(void)argv;
	for (size_t i = 0; i < KINDS; i++) {
		k = pgp_skey_generate(i == 0 ? PGP_GEN_ED25519 : types[i], 0, 1, NULL);
		keys[i] = pgp_skey_generate(types[i], 1, 1, NULL);
		if (keys[i] == NULL || k == NULL)
			abort();
		pgp_skey_public(k, &pub);
		if ((verifiers[i] = pgp_pk_load(&pub, NULL)) == NULL)
			abort();
		pgp_skey_free(k);
	}
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t digest[32] = {1};
	struct pgp_session_key a, b;
	unsigned kind;

	if (size == 0)
		return 0;
	kind = data[0] % KINDS;
	data++;
	size--;
	if (pgp_skey_unwrap(keys[kind], data, size, &a) == -1 ||
	    pgp_skey_unwrap(keys[kind], data, size, &b) == -1 || a.algo != b.algo || a.n != b.n ||
	    memcmp(a.key, b.key, a.n) != 0 || a.n == 0 || a.n != pgp_cipher_keylen(a.algo))
		abort();
	/* nobody forges a signature here */
	if (pgp_pk_verify(verifiers[kind], PGP_HASH_SHA256, digest, 32, data, size) == 0)
		abort();
	return 0;
}
