#ifndef OPENPGP_ALGO_H
#define OPENPGP_ALGO_H

#include <stddef.h>
#include <stdint.h>
#include <openssl/evp.h>

/* Algorithm numbers of OpenPGP (RFC 9580, 9; RFC 4880, 9) and the objects that do the work. */
enum pgp_pk_algo {
	PGP_PK_RSA = 1,
	PGP_PK_RSA_E = 2, /* encrypt only, deprecated, read only */
	PGP_PK_RSA_S = 3, /* sign only, deprecated, read only */
	PGP_PK_ELGAMAL = 16,
	PGP_PK_DSA = 17,
	PGP_PK_ECDH = 18,
	PGP_PK_ECDSA = 19,
	PGP_PK_EDDSA = 22, /* Ed25519 under its legacy OID */
	PGP_PK_X25519 = 25,
	PGP_PK_X448 = 26,
	PGP_PK_ED25519 = 27,
	PGP_PK_ED448 = 28
};

enum pgp_cipher_algo {
	PGP_CIPHER_NONE = 0,
	PGP_CIPHER_IDEA = 1,
	PGP_CIPHER_3DES = 2,
	PGP_CIPHER_CAST5 = 3,
	PGP_CIPHER_BLOWFISH = 4,
	PGP_CIPHER_AES128 = 7,
	PGP_CIPHER_AES192 = 8,
	PGP_CIPHER_AES256 = 9,
	PGP_CIPHER_TWOFISH = 10,
	PGP_CIPHER_CAMELLIA128 = 11,
	PGP_CIPHER_CAMELLIA192 = 12,
	PGP_CIPHER_CAMELLIA256 = 13
};

enum pgp_hash_algo {
	PGP_HASH_MD5 = 1,
	PGP_HASH_SHA1 = 2,
	PGP_HASH_RIPEMD160 = 3,
	PGP_HASH_SHA256 = 8,
	PGP_HASH_SHA384 = 9,
	PGP_HASH_SHA512 = 10,
	PGP_HASH_SHA224 = 11,
	PGP_HASH_SHA3_256 = 12,
	PGP_HASH_SHA3_512 = 14
};

enum pgp_comp_algo { PGP_COMP_NONE = 0, PGP_COMP_ZIP = 1, PGP_COMP_ZLIB = 2, PGP_COMP_BZIP2 = 3 };

#define PGP_DIGEST_MAX 64 /* octets of the longest digest */
#define PGP_CIPHER_KEY_MAX 32 /* octets of the longest session key */
#define PGP_FPR_MAX 32 /* octets of a v6 fingerprint; v4 has 20 */
#define PGP_FPR4 20

/* Names as GnuPG prints them ("AES256", "SHA512", "ZLIB", "EDDSA"), or "unknown". */
const char *pgp_pk_name(unsigned algo);
const char *pgp_cipher_name(unsigned algo);
const char *pgp_hash_name(unsigned algo);
const char *pgp_comp_name(unsigned algo);

/* Octets of a key or block of a cipher, of a digest; 0 for an unknown algorithm. */
size_t pgp_cipher_keylen(unsigned algo);
size_t pgp_cipher_blocklen(unsigned algo);
size_t pgp_hash_len(unsigned algo);

/* libgcrypt's number for a cipher or hash, 0 for none. */
int pgp_cipher_gcry(unsigned algo);
int pgp_hash_gcry(unsigned algo);

/*
 * Whether signatures over data made with this hash count: SHA-2 and SHA-3 of 256 bit and more,
 * and SHA-224 (112 bit security).  MD5, SHA-1, RIPEMD-160 do not (RFC 9580, 9.5).
 */
int pgp_hash_strong(unsigned algo);

/*
 * The objects, fetched once per process and shared (they are never freed); NULL for what is
 * unknown or not built in.  pgp_hash_md knows SHA-1 as well, for fingerprints, modification
 * detection and old bindings, but not MD5 and RIPEMD-160.  pgp_cipher_cfb knows AES only.
 */
const EVP_MD *pgp_hash_md(unsigned algo);
const EVP_CIPHER *pgp_cipher_cfb(unsigned algo);
const EVP_CIPHER *pgp_cipher_wrap(unsigned algo); /* key wrap, RFC 3394; AES only */

/*
 * Fetch everything now and start libgcrypt, so that no file is opened and no lock taken later:
 * before a sandbox is locked, before workers are forked and before a second thread comes here.  0,
 * or -1 with errno ENOTSUP. Idempotent; every function of this library works without it, but starts
 * slower.
 */
int pgp_algo_init(void);

#endif
