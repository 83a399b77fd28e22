#ifndef MODEL_STORED_CERT_H
#define MODEL_STORED_CERT_H

#include "model/cert.h"
#include "model/consumer.h"

/* A certificate as policyd keeps it: whose it is, its octets, and what they were evaluated to. */
#define REC_STORED_CERT(F, L)                                                                      \
	F(STR, consumer, 0, 64)                                                                    \
	F(U8, secret, 0, 1) /* the private halves are in cryptod */                                \
	F(U8, manual, 0, 1) /* set by an administrator: never replaced automatically */            \
	F(U64, added, 0, UINT64_MAX) /* seconds since the epoch */                                 \
	L(cert, cert, 1, 1)                                                                        \
	F(BYTES, raw, 1, CERT_RAW_MAX) /* the transferable public key, binary */

REC_DECLARE(stored_cert, REC_STORED_CERT)

#endif
