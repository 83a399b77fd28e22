#ifndef IPC_MSG_KEYD_H
#define IPC_MSG_KEYD_H

#include "base/rec.h"
#include "ipc/ipc.h"
#include "ipc/msg_crypto.h"

/* Questions to keyd: the process that asks servers outside about keys and certificates. */

#define OCSP_DER_MAX 16384 /* octets of an OCSP response */

enum ocsp_status {
	OCSP_GOOD,
	OCSP_REVOKED,
	OCSP_UNKNOWN, /* the responder does not know it */
	OCSP_NONE, /* the certificate names no responder, and nothing was stapled */
	OCSP_UNREACHABLE, /* no answer, or none that is valid: text says why */
	OCSP_STATUS_MAX
};

/*
 * Is this certificate revoked (RFC 6960)?  The answer is verified against issuer, is not older than
 * its nextUpdate, and was kept for up to an hour.
 *
 * cert, issuer	DER
 * stapled	what the server has sent along (RFC 6066, 8), or empty: a valid one saves the
 * question response	DER, to be stapled for clients; with OCSP_GOOD and OCSP_REVOKED
 */
#define REC_OCSP_REQ(F, L)                                                                         \
	F(BYTES, cert, 1, CERT_DER_MAX)                                                            \
	F(BYTES, issuer, 1, CERT_DER_MAX)                                                          \
	F(BYTES, stapled, 0, OCSP_DER_MAX)
#define REC_OCSP_REP(F, L)                                                                         \
	F(U8, status, 0, OCSP_STATUS_MAX - 1)                                                      \
	F(STR, text, 0, 255)                                                                       \
	F(U64, this_update, 0, UINT64_MAX) /* seconds since the epoch */                           \
	F(U64, next_update, 0, UINT64_MAX) /* 0: it does not say */                                \
	F(BYTES, response, 0, OCSP_DER_MAX)

/*
 * The MTA-STS policy of a domain (RFC 8461), kept for its max_age and fetched anew when the TXT
 * record's id changes or it gets old.  STS_UNKNOWN: it has one perhaps, and nobody knows it (RFC
 * 8461, 3.3: as if there was none, unless one is kept: that one is given then).
 */
enum sts_mode { STS_NONE, STS_TESTING, STS_ENFORCE, STS_UNKNOWN };
#define STS_MXS_MAX 64
#define REC_STS_REQ(F, L) F(STR, domain, 1, 255)
#define REC_STS_MX(F, L) F(STR, pattern, 1, 255) /* "mail.example.org", "*.example.org" */
#define REC_STS_REP(F, L)                                                                          \
	F(U8, mode, 0, 3) /* enum sts_mode */                                                      \
	F(STR, text, 0, 255)                                                                       \
	F(STR, policy, 0, 2000) /* as it stands, lines separated by \n, for reports */             \
	F(STR, failure, 0, 64) /* RFC 8460, 4.3.2: "sts-policy-fetch-error"...; "" */              \
	L(sts_mx, mxs, 0, STS_MXS_MAX)

#define KEYD_RECORDS(R)                                                                            \
	R(ocsp_req, REC_OCSP_REQ)                                                                  \
	R(ocsp_rep, REC_OCSP_REP)                                                                  \
	R(sts_req, REC_STS_REQ)                                                                    \
	R(sts_mx, REC_STS_MX)                                                                      \
	R(sts_rep, REC_STS_REP)

#define KEYD_MSGS(MSG)                                                                             \
	MSG(0x0800, ocsp_req, PM_PROXIES, PM(P_KEYD), FD_NONE)                                     \
	MSG(0x0801, ocsp_rep, PM(P_KEYD), PM_PROXIES, FD_NONE)                                     \
	MSG(0x0802, sts_req, PM(P_DELIVERD), PM(P_KEYD), FD_NONE)                                  \
	MSG(0x0803, sts_rep, PM(P_KEYD), PM(P_DELIVERD), FD_NONE)

KEYD_RECORDS(REC_DECLARE)

#endif
