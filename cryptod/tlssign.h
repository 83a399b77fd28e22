#ifndef CRYPTOD_TLSSIGN_H
#define CRYPTOD_TLSSIGN_H

#include <stddef.h>
#include <stdint.h>

#include "openpgp/skey.h"

#define TLS_VALUE_MAX 2050 /* octets of a signature: RSA of 16,384 bit, see tls_sign_rep */
#define TLS_RSA_BITS_MIN 2048

/* Is there any TLS SignatureScheme that this key can sign under? */
int tls_key_fits(struct pgp_skey *k);

/*
 * Sign for a handshake (RFC 8446, 4.2.3): rsa_pkcs1 and rsa_pss_rsae with SHA-256, 384 and 512
 * (blinded; salt as long as the hash), ecdsa on P-256, P-384 and P-521 with the hash of that size,
 * ed25519.  Any thread may call it.
 *
 * data, n	the digest of the scheme's hash; with ed25519 the message
 * out		receives the signature as TLS has it
 *
 * Returns its octets, or -1 with errno EINVAL (unknown scheme, not for this key, n is not the
 * length of a digest), EIO.
 */
int tls_sign(
    struct pgp_skey *k, unsigned scheme, const uint8_t *data, size_t n, uint8_t out[TLS_VALUE_MAX]);

#endif
