#ifndef UNIT_OPENPGP_KEYS_H
#define UNIT_OPENPGP_KEYS_H

#include <string.h>

#include "openpgp/skey.h"
#include "t/unit/unit.h"

/* Keys that tests make, and what is the same for each of them. */
#define NOW 1790000000 /* when */

static inline struct pgp_skey *
make(enum pgp_keytype t, int decrypts)
{
	struct err e = {0};
	struct pgp_skey *k = pgp_skey_generate(t, decrypts, NOW, &e);

	ck_assert_msg(k != NULL, "%s", e.text);
	return k;
}

static inline struct pgp_pk *
public_of(const struct pgp_skey *k)
{
	struct cert_key pub;
	struct err e = {0};
	struct pgp_pk *pk;

	pgp_skey_public(k, &pub);
	pk = pgp_pk_load(&pub, &e);
	ck_assert_msg(pk != NULL, "%s", e.text);
	return pk;
}

static inline struct pgp_session_key
session_key(unsigned algo)
{
	struct pgp_session_key s = {.algo = (uint8_t)algo, .n = (uint8_t)pgp_cipher_keylen(algo)};

	for (unsigned i = 0; i < s.n; i++)
		s.key[i] = (uint8_t)(i * 7 + algo);
	return s;
}

static inline int
same(const struct pgp_session_key *a, const struct pgp_session_key *b)
{
	return a->algo == b->algo && a->n == b->n && memcmp(a->key, b->key, a->n) == 0;
}

/* Whatever was done to the ciphertext: no error, a key that is not the right one, always the same.
 */
static inline void
check_rejected(struct pgp_skey *k, const uint8_t *esk, size_t n, const struct pgp_session_key *s)
{
	struct pgp_session_key a, b;

	ck_assert_int_eq(pgp_skey_unwrap(k, esk, n, &a), 0);
	ck_assert_int_eq(pgp_skey_unwrap(k, esk, n, &b), 0);
	ck_assert(same(&a, &b) && !same(&a, s));
	ck_assert_uint_eq(a.n, pgp_cipher_keylen(a.algo));
}

#endif
