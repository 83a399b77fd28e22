#ifndef KEYCTL_CACERT_H
#define KEYCTL_CACERT_H

#include "base/buf.h"
#include "base/err.h"
#include "ipc/msg_keys.h"

struct x509_st;

/* The certificates of the two authorities, as cryptod makes them. */
#define CACERT_SHA256 (2 * 32 + 1)
struct cacert {
	char name[CA_NAME_MAX + 1]; /* common name */
	uint64_t begins, ends; /* seconds since the epoch */
	char algo[32]; /* as --algo has it */
	char sha256[CACERT_SHA256]; /* of the certificate, hexadecimal */
};

/*
 * The common name of a certificate that an authority of a gateway would have.
 * 0, or -1: it is none.
 */
int cacert_name(struct x509_st *cert, char out[CA_NAME_MAX + 1]);

/* der: of one of ours.  0, or -1 with e. */
int cacert_read(struct bytes der, struct cacert *out, struct err *e);

/* Append it as PEM (RFC 7468). 0, or -1 with e. */
int cacert_pem(struct bytes der, struct buf *out, struct err *e);

#endif
