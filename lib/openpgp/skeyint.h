#ifndef OPENPGP_SKEYINT_H
#define OPENPGP_SKEYINT_H

#include "openpgp/params.h"
#include "openpgp/skey.h"

/* Inside lib/openpgp: a loaded secret key, for skey.c (load, make, store) and skeyop.c (use). */
struct pgp_skey {
	uint8_t algo;
	uint64_t created;
	unsigned bits;
	size_t width; /* octets of the modulus or coordinate */
	struct pgp_params p;
	struct bytes params, secret; /* point into mem */
	EVP_PKEY *pkey;
	EVP_PKEY_CTX *derive; /* ECDH */
	EVP_MAC_CTX *answer; /* keyed; makes the answers to bad ciphertext */
	uint8_t fpr[PGP_FPR4];
	size_t size; /* octets in mem */
	uint8_t mem[];
};

#endif
