#ifndef CRYPTOD_X509_H
#define CRYPTOD_X509_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "ipc/messages.h"

struct evp_pkey_st;

/*
 * The certificates that are made here (RFC 5280): of an authority, by itself, and of a leaf, by an
 * authority.  Whoever asks gives names and nothing else; no other certificate can be composed.
 * Any thread may call these.
 */
#define X509_EARLY_S 300 /* seconds that a certificate begins before it is made: clocks differ */

/*
 * May these names stand in a leaf?  DNS names are host names of at least one label in lower case
 * (RFC 5280, 4.2.1.6: "preferred name syntax"; the last label is no number), the first label may
 * be "*" before two others; addresses have 4 or 16 octets; and all of it fits one certificate.
 *
 * Returns NULL, or why not.
 */
const char *x509_names_bad(const struct mint_req *r);

/* May an authority be called so?  NULL, or why not. */
const char *x509_authority_name_bad(const char *name);

/* May an authority have this key: P-256, P-384, RSA of 3,072 or 4,096 bit? */
int x509_authority_key_fits(const struct evp_pkey_st *key);

/*
 * An authority's own certificate, which signs leaves and nothing between.
 *
 * name	its common name
 * now	seconds since the epoch; days: of life from then on
 * out	receives DER
 *
 * Returns 0, or -1 with e.
 */
int x509_authority(struct evp_pkey_st *key, const char *name, uint64_t now, unsigned days,
    struct buf *out, struct err *e);

/* When a certificate made here begins and ends, seconds since the epoch. 0, or -1 with e. */
int x509_times(struct bytes der, uint64_t *begins, uint64_t *ends, struct err *e);

/* The public key as a leaf's certificate has it (SubjectPublicKeyInfo, DER). 0, or -1 with e. */
#define X509_SPKI_MAX 128 /* octets of one on P-256 */
int x509_spki(struct evp_pkey_st *key, struct buf *out, struct err *e);

/*
 * A leaf for TLS servers, from X509_EARLY_S before now to MINT_S after, or to the issuer's end.
 *
 * names	which x509_names_bad has nothing against
 * issuer	the authority's certificate, and ca its key
 * spki		of the leaf's key
 * out		receives DER, CERT_DER_MAX octets at most
 *
 * Returns 0, or -1 with e: EKEYEXPIRED (the issuer has ended), EKEYREJECTED (key and certificate
 * of the issuer are not of one another)...
 */
int x509_leaf(struct evp_pkey_st *ca, struct bytes issuer, struct bytes spki,
    const struct mint_req *names, uint64_t now, struct buf *out, struct err *e);

#endif
