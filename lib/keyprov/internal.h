#ifndef KEYPROV_INTERNAL_H
#define KEYPROV_INTERNAL_H

/* Inside of the provider: what its files share. */

#include <stdatomic.h>
#include <stdbool.h>

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/evp.h>

#include "keyprov/keyprov.h"

#define KEYPROV_NAME "keyprov"
#define KEYPROV_PARAM_HANDLE "keyprov-handle" /* octets */
#define KEYPROV_QUERY "provider=" KEYPROV_NAME

/* A table of functions for OpenSSL takes them all under one type. */
#define KEYPROV_FN(f) ((void (*)(void))(f))

/* A key as the provider knows it. */
struct keyprov_key {
	atomic_uint refs;
	const char *type; /* OpenSSL's name of it: "RSA", "EC", "ED25519" */
	EVP_PKEY *public_half; /* of the default provider; NULL until imported */
	bool private_half; /* there is a handle: it can sign */
	uint8_t handle[KEYPROV_HANDLE];
};

struct keyprov_key *keyprov_key_ref(struct keyprov_key *k);
void keyprov_key_free(void *key); /* NULL is allowed */

extern const OSSL_ALGORITHM keyprov_keymgmt[];
extern const OSSL_ALGORITHM keyprov_signature[];

/*
 * Have data signed, waiting for the answer if this is an asynchronous job.
 *
 * value	receives at most max octets; *n says how many
 *
 * Returns 1, or 0 with OpenSSL's error queue filled: the convention of what calls it.
 */
int keyprov_sign(const struct keyprov_key *k, uint16_t scheme, const uint8_t *data, size_t n,
    uint8_t *value, size_t *len, size_t max);

#endif
