#ifndef GWCTL_KEYS_H
#define GWCTL_KEYS_H

#include "gwctl/gwctl.h"

/* Certificates of other people's making: read in a jail, see keyread.c. */
#define KEYFILE_MAX (64 * 1024 * 1024) /* octets of one file */
#define KEYREAD_MAX 128 /* certificates that are read at a time */
#define KEYREAD_OCTETS (8 * 1024 * 1024) /* and octets of them */

/* One certificate of a file; code not 0: unusable, and why. */
#define REC_READ_CERT(F, L)                                                                        \
	F(U32, code, 0, UINT32_MAX) /* errno */                                                    \
	F(STR, text, 0, 511)                                                                       \
	L(cert, cert, 0, 1)                                                                        \
	F(BYTES, raw, 0, UINT32_MAX)
/* A run of them. */
#define REC_READ_CERTS(F, L)                                                                       \
	F(U32, code, 0, UINT32_MAX) /* of the file */                                              \
	F(STR, text, 0, 511)                                                                       \
	F(U64, next, 0, UINT64_MAX) /* where the next run begins; 0: that was all */               \
	L(read_cert, certs, 0, KEYREAD_MAX)

REC_DECLARE(read_cert, REC_READ_CERT)
REC_DECLARE(read_certs, REC_READ_CERTS)

/* What is to be read: the file's octets, and the octet of its binary form to begin with. */
struct keyread {
	const uint8_t *p;
	size_t n;
	uint64_t from;
	uint64_t now; /* seconds since the epoch */
};

/* Jailed (proc/jail.h): a struct read_certs, encoded. arg: struct keyread. */
int keyread_run(const void *arg, struct buf *out);

/* Two copies of a certificate. */
struct keymerge {
	struct bytes old, add;
	uint64_t now;
};

/* Jailed: both merged and evaluated, as one struct read_cert. arg: struct keymerge. */
int keymerge_run(const void *arg, struct buf *out);

/* key.c: the certificates that have a key with this id, or belong to this address. */
struct found {
	struct ipc_msg m; /* of policyd; ipc_done when ncerts > 0 */
	struct stored_cert *certs;
	size_t n;
};
int find_certs(struct gwctl *t, const char *what, struct found *f);

#endif
