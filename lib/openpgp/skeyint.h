#ifndef OPENPGP_SKEYINT_H
#define OPENPGP_SKEYINT_H

#include "openpgp/params.h"
#include "openpgp/skey.h"

/*
 * Inside lib/openpgp: a loaded secret key, for skey.c (load, make, store) and skeyop.c (use).
 * Nothing in it changes once it is loaded: several threads may use it, each with copies of the
 * contexts.
 */
struct pgp_skey {
	uint8_t algo;
	uint64_t created;
	unsigned bits;
	size_t width; /* octets of the modulus or coordinate */
	struct pgp_params p;
	struct bytes params, secret; /* point into mem */
	EVP_PKEY *pkey; /* NULL on a curve that libgcrypt does: then scalar */
	EVP_PKEY_CTX *derive; /* ECDH, to be copied */
	EVP_MD_CTX *sign; /* EdDSA, to be copied */
	EVP_MAC_CTX *answer; /* keyed, to be copied; makes the answers to bad ciphertext */
	uint8_t scalar[PGP_COORD_MAX]; /* p.curve->width octets */
	uint8_t fpr[PGP_FPR4];
	size_t size; /* octets in mem */
	uint8_t mem[];
};

#endif
