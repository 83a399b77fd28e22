#include "openpgp/algo.h"

#include <errno.h>
#include <gcrypt.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

struct cipher {
	const char *name;
	uint8_t algo, keylen, blocklen;
	int gcry;
	const char *evp; /* in CFB mode with full feedback */
	const char *wrap; /* as a key-encryption cipher */
};

static const struct cipher ciphers[] = {
    {"IDEA", PGP_CIPHER_IDEA, 16, 8, GCRY_CIPHER_IDEA, NULL, NULL},
    {"3DES", PGP_CIPHER_3DES, 24, 8, GCRY_CIPHER_3DES, NULL, NULL},
    {"CAST5", PGP_CIPHER_CAST5, 16, 8, GCRY_CIPHER_CAST5, NULL, NULL},
    {"BLOWFISH", PGP_CIPHER_BLOWFISH, 16, 8, GCRY_CIPHER_BLOWFISH, NULL, NULL},
    {"AES", PGP_CIPHER_AES128, 16, 16, GCRY_CIPHER_AES128, "AES-128-CFB", "AES-128-WRAP"},
    {"AES192", PGP_CIPHER_AES192, 24, 16, GCRY_CIPHER_AES192, "AES-192-CFB", "AES-192-WRAP"},
    {"AES256", PGP_CIPHER_AES256, 32, 16, GCRY_CIPHER_AES256, "AES-256-CFB", "AES-256-WRAP"},
    {"TWOFISH", PGP_CIPHER_TWOFISH, 32, 16, GCRY_CIPHER_TWOFISH, NULL, NULL},
    {"CAMELLIA128", PGP_CIPHER_CAMELLIA128, 16, 16, GCRY_CIPHER_CAMELLIA128, NULL, NULL},
    {"CAMELLIA192", PGP_CIPHER_CAMELLIA192, 24, 16, GCRY_CIPHER_CAMELLIA192, NULL, NULL},
    {"CAMELLIA256", PGP_CIPHER_CAMELLIA256, 32, 16, GCRY_CIPHER_CAMELLIA256, NULL, NULL},
};

struct hash {
	const char *name;
	uint8_t algo, len;
	int gcry;
	const char *evp;
	int strong;
};

static const struct hash hashes[] = {
    {"MD5", PGP_HASH_MD5, 16, GCRY_MD_MD5, NULL, 0},
    {"SHA1", PGP_HASH_SHA1, 20, GCRY_MD_SHA1, "SHA1", 0},
    {"RIPEMD160", PGP_HASH_RIPEMD160, 20, GCRY_MD_RMD160, NULL, 0},
    {"SHA256", PGP_HASH_SHA256, 32, GCRY_MD_SHA256, "SHA256", 1},
    {"SHA384", PGP_HASH_SHA384, 48, GCRY_MD_SHA384, "SHA384", 1},
    {"SHA512", PGP_HASH_SHA512, 64, GCRY_MD_SHA512, "SHA512", 1},
    {"SHA224", PGP_HASH_SHA224, 28, GCRY_MD_SHA224, "SHA224", 1},
    {"SHA3-256", PGP_HASH_SHA3_256, 32, GCRY_MD_SHA3_256, "SHA3-256", 1},
    {"SHA3-512", PGP_HASH_SHA3_512, 64, GCRY_MD_SHA3_512, "SHA3-512", 1},
};

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static EVP_CIPHER *fetched_cipher[COUNT(ciphers)], *fetched_wrap[COUNT(ciphers)];
static EVP_MD *fetched_md[COUNT(hashes)];

static const struct cipher *
find_cipher(unsigned algo)
{
	for (size_t i = 0; i < COUNT(ciphers); i++)
		if (ciphers[i].algo == algo)
			return &ciphers[i];
	return NULL;
}

static const struct hash *
find_hash(unsigned algo)
{
	for (size_t i = 0; i < COUNT(hashes); i++)
		if (hashes[i].algo == algo)
			return &hashes[i];
	return NULL;
}

const char *
pgp_pk_name(unsigned algo)
{
	switch (algo) {
	case PGP_PK_RSA:
	case PGP_PK_RSA_E:
	case PGP_PK_RSA_S:
		return "RSA";
	case PGP_PK_ELGAMAL:
		return "ELGAMAL";
	case PGP_PK_DSA:
		return "DSA";
	case PGP_PK_ECDH:
		return "ECDH";
	case PGP_PK_ECDSA:
		return "ECDSA";
	case PGP_PK_EDDSA:
		return "EDDSA";
	case PGP_PK_X25519:
		return "X25519";
	case PGP_PK_X448:
		return "X448";
	case PGP_PK_ED25519:
		return "ED25519";
	case PGP_PK_ED448:
		return "ED448";
	default:
		return "unknown";
	}
}

const char *
pgp_cipher_name(unsigned algo)
{
	const struct cipher *c = find_cipher(algo);

	return c == NULL ? "unknown" : c->name;
}

const char *
pgp_hash_name(unsigned algo)
{
	const struct hash *h = find_hash(algo);

	return h == NULL ? "unknown" : h->name;
}

const char *
pgp_comp_name(unsigned algo)
{
	static const char *const names[] = {"Uncompressed", "ZIP", "ZLIB", "BZIP2"};

	return algo < COUNT(names) ? names[algo] : "unknown";
}

size_t
pgp_cipher_keylen(unsigned algo)
{
	const struct cipher *c = find_cipher(algo);

	return c == NULL ? 0 : c->keylen;
}

size_t
pgp_cipher_blocklen(unsigned algo)
{
	const struct cipher *c = find_cipher(algo);

	return c == NULL ? 0 : c->blocklen;
}

size_t
pgp_hash_len(unsigned algo)
{
	const struct hash *h = find_hash(algo);

	return h == NULL ? 0 : h->len;
}

int
pgp_cipher_gcry(unsigned algo)
{
	const struct cipher *c = find_cipher(algo);

	return c == NULL ? 0 : c->gcry;
}

int
pgp_hash_gcry(unsigned algo)
{
	const struct hash *h = find_hash(algo);

	return h == NULL ? 0 : h->gcry;
}

int
pgp_hash_strong(unsigned algo)
{
	const struct hash *h = find_hash(algo);

	return h != NULL && h->strong;
}

const EVP_MD *
pgp_hash_md(unsigned algo)
{
	const struct hash *h = find_hash(algo);
	EVP_MD **slot;

	if (h == NULL || h->evp == NULL)
		return NULL;
	slot = &fetched_md[h - hashes];
	if (*slot == NULL)
		*slot = EVP_MD_fetch(NULL, h->evp, NULL);
	return *slot;
}

const EVP_CIPHER *
pgp_cipher_cfb(unsigned algo)
{
	const struct cipher *c = find_cipher(algo);
	EVP_CIPHER **slot;

	if (c == NULL || c->evp == NULL)
		return NULL;
	slot = &fetched_cipher[c - ciphers];
	if (*slot == NULL)
		*slot = EVP_CIPHER_fetch(NULL, c->evp, NULL);
	return *slot;
}

const EVP_CIPHER *
pgp_cipher_wrap(unsigned algo)
{
	const struct cipher *c = find_cipher(algo);
	EVP_CIPHER **slot;

	if (c == NULL || c->wrap == NULL)
		return NULL;
	slot = &fetched_wrap[c - ciphers];
	if (*slot == NULL)
		*slot = EVP_CIPHER_fetch(NULL, c->wrap, NULL);
	return *slot;
}

/* libgcrypt leaves what it frees as it is, expressions with private keys among it. */
static void
wipe_and_free(void *p)
{
	if (p == NULL)
		return;
	explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

static void *
move_and_wipe(void *p, size_t n)
{
	size_t old = p != NULL ? malloc_usable_size(p) : 0;
	void *q;

	if (p != NULL && n <= old)
		return p;
	if ((q = malloc(n)) != NULL && p != NULL) {
		memcpy(q, p, old);
		wipe_and_free(p);
	}
	return q;
}

static int
init_gcrypt(void)
{
	uint8_t octet;

	if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
		return 0;
	gcry_set_allocation_handler(malloc, malloc, NULL, move_and_wipe, wipe_and_free);
	if (gcry_check_version("1.10.0") == NULL)
		return -1;
	/* Keys live in processes that cannot dump core; locked pages would only run out. */
	gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	/* its generator is seeded now: what that takes, a sandbox may forbid */
	gcry_randomize(&octet, sizeof octet, GCRY_STRONG_RANDOM);
	return 0;
}

int
pgp_algo_init(void)
{
	static int done;

	if (done)
		return 0;
	if (init_gcrypt() < 0)
		goto fail;
	for (size_t i = 0; i < COUNT(hashes); i++)
		if (hashes[i].evp != NULL && pgp_hash_md(hashes[i].algo) == NULL)
			goto fail;
	for (size_t i = 0; i < COUNT(ciphers); i++)
		if ((ciphers[i].evp != NULL && pgp_cipher_cfb(ciphers[i].algo) == NULL) ||
		    (ciphers[i].wrap != NULL && pgp_cipher_wrap(ciphers[i].algo) == NULL))
			goto fail;
	done = 1;
	return 0;
fail:
	errno = ENOTSUP;
	return -1;
}
