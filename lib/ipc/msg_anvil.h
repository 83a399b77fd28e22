#ifndef IPC_MSG_ANVIL_H
#define IPC_MSG_ANVIL_H

#include "base/rec.h"
#include "ipc/ipc.h"
#include "ipc/msg_policy.h"

/* What is counted and remembered of clients, for all smtpd together; and reports about TLS. */

/* A client has connected; client_left when it is gone.  Without anvild a client is let in. */
#define REC_CLIENT_REQ(F, L)                                                                       \
	F(STR, gate, 1, 64)                                                                        \
	F(BYTES, ip, 4, 16)
enum client_verdict { CLIENT_OK, CLIENT_CONNECTIONS, CLIENT_NETWORK, CLIENT_RATE, CLIENT_ERRORS };
#define REC_CLIENT_REP(F, L)                                                                       \
	F(U8, verdict, 0, 4) /* enum client_verdict */                                             \
	F(U8, passed, 0, 1) /* it has waited for a greeting before */                              \
	F(STR, text, 0, 255) /* the figure and its limit, for the log */
#define REC_CLIENT_LEFT(F, L)                                                                      \
	F(STR, gate, 1, 64)                                                                        \
	F(BYTES, ip, 4, 16)                                                                        \
	F(U8, passed, 0, 1) /* it has waited, and said nothing too early: to be remembered */      \
	F(U32, errors, 0, UINT32_MAX)

/* One more message or recipient of this client: within its rates? */
#define REC_RATE_REQ(F, L)                                                                         \
	F(STR, gate, 1, 64)                                                                        \
	F(BYTES, ip, 4, 16)                                                                        \
	F(U32, messages, 0, 1000)                                                                  \
	F(U32, recipients, 0, 1000)
#define REC_RATE_REP(F, L)                                                                         \
	F(U8, ok, 0, 1)                                                                            \
	F(STR, text, 0, 255)

/* Greylisting: has this pair waited? ip is cut to its network there. */
#define REC_GREY_REQ(F, L)                                                                         \
	F(STR, gate, 1, 64)                                                                        \
	F(BYTES, ip, 4, 16)                                                                        \
	F(STR, sender, 0, ADDR_MAX)                                                                \
	F(STR, rcpt, 1, ADDR_MAX)
#define REC_GREY_REP(F, L)                                                                         \
	F(U8, pass, 0, 1)                                                                          \
	F(U32, wait, 0, UINT32_MAX) /* seconds left */

/* What the server behind us has said of a recipient (call-ahead), remembered. */
enum known_rcpt { KNOWN_NOT, KNOWN_GOOD, KNOWN_BAD };
#define REC_KNOWN_REQ(F, L) F(STR, rcpt, 1, ADDR_MAX)
#define REC_KNOWN_REP(F, L)                                                                        \
	F(U8, known, 0, 2) /* enum known_rcpt */                                                   \
	F(STR, text, 0, 500)
#define REC_KNOWN_PUT(F, L)                                                                        \
	F(STR, rcpt, 1, ADDR_MAX)                                                                  \
	F(U8, known, 1, 2)                                                                         \
	F(STR, text, 0, 500)

/* RFC 8460: one session with TLS wanted, from deliverd; counted per day, domain and policy. */
enum tls_policy { TLSPOL_NONE, TLSPOL_STS, TLSPOL_TLSA };
#define REC_TLS_SESSION(F, L)                                                                      \
	F(STR, domain, 1, 255)                                                                     \
	F(U8, policy, 0, 2) /* enum tls_policy */                                                  \
	F(STR, policy_text, 0, 2000) /* lines separated by \n */                                   \
	F(STR, mx, 0, 255)                                                                         \
	F(STR, ip, 0, 64)                                                                          \
	F(STR, result, 0, 64) /* RFC 8460, 4.3: "certificate-expired"...; "": success */           \
	F(STR, reason, 0, 255)                                                                     \
	F(STR, our_ip, 0, 64) /* that the connection came from; "": not known */

/*
 * gwctl tls reports: what is kept for reports, and their sending before it is time.  A page begins
 * behind day and domain.  With a domain those of its days are sent, today's so far too; with ""
 * those of all days that are over.
 */
#define TLSRPT_PAGE_MAX 100
#define REC_TLSRPT_LIST_REQ(F, L)                                                                  \
	F(U32, day, 0, UINT32_MAX) /* since the epoch, UTC */                                      \
	F(STR, domain, 0, 255)
#define REC_TLSRPT_INFO(F, L)                                                                      \
	F(U32, day, 0, UINT32_MAX)                                                                 \
	F(STR, domain, 1, 255)                                                                     \
	F(U64, good, 0, UINT64_MAX) /* sessions */                                                 \
	F(U64, failed, 0, UINT64_MAX)                                                              \
	F(U64, due, 0, UINT64_MAX) /* seconds since the epoch */
#define REC_TLSRPT_LIST_REP(F, L)                                                                  \
	F(U8, enabled, 0, 1)                                                                       \
	L(tlsrpt_info, days, 0, TLSRPT_PAGE_MAX)
#define REC_TLSRPT_SEND_REQ(F, L) F(STR, domain, 0, 255)
#define REC_TLSRPT_SEND_REP(F, L) F(U32, count, 0, UINT32_MAX) /* how many were begun */

#define ANVIL_RECORDS(R)                                                                           \
	R(client_req, REC_CLIENT_REQ)                                                              \
	R(client_rep, REC_CLIENT_REP)                                                              \
	R(client_left, REC_CLIENT_LEFT)                                                            \
	R(rate_req, REC_RATE_REQ)                                                                  \
	R(rate_rep, REC_RATE_REP)                                                                  \
	R(grey_req, REC_GREY_REQ)                                                                  \
	R(grey_rep, REC_GREY_REP)                                                                  \
	R(known_req, REC_KNOWN_REQ)                                                                \
	R(known_rep, REC_KNOWN_REP)                                                                \
	R(known_put, REC_KNOWN_PUT)                                                                \
	R(tls_session, REC_TLS_SESSION)                                                            \
	R(tlsrpt_list_req, REC_TLSRPT_LIST_REQ)                                                    \
	R(tlsrpt_info, REC_TLSRPT_INFO)                                                            \
	R(tlsrpt_list_rep, REC_TLSRPT_LIST_REP)                                                    \
	R(tlsrpt_send_req, REC_TLSRPT_SEND_REQ)                                                    \
	R(tlsrpt_send_rep, REC_TLSRPT_SEND_REP)

#define ANVIL_MSGS(MSG)                                                                            \
	MSG(0x0a00, client_req, PM(P_SMTPD), PM(P_ANVILD), FD_NONE)                                \
	MSG(0x0a01, client_rep, PM(P_ANVILD), PM(P_SMTPD), FD_NONE)                                \
	MSG(0x0a02, client_left, PM(P_SMTPD), PM(P_ANVILD), FD_NONE)                               \
	MSG(0x0a03, rate_req, PM(P_SMTPD), PM(P_ANVILD), FD_NONE)                                  \
	MSG(0x0a04, rate_rep, PM(P_ANVILD), PM(P_SMTPD), FD_NONE)                                  \
	MSG(0x0a05, grey_req, PM(P_SMTPD), PM(P_ANVILD), FD_NONE)                                  \
	MSG(0x0a06, grey_rep, PM(P_ANVILD), PM(P_SMTPD), FD_NONE)                                  \
	MSG(0x0a07, known_req, PM(P_SMTPD), PM(P_ANVILD), FD_NONE)                                 \
	MSG(0x0a08, known_rep, PM(P_ANVILD), PM(P_SMTPD), FD_NONE)                                 \
	MSG(0x0a09, known_put, PM(P_SMTPD), PM(P_ANVILD), FD_NONE)                                 \
	MSG(0x0a10, tls_session, PM(P_DELIVERD), PM(P_ANVILD), FD_NONE)                            \
	MSG(0x0a11, tlsrpt_list_req, PM(P_GWCTL), PM(P_ANVILD), FD_NONE)                           \
	MSG(0x0a12, tlsrpt_list_rep, PM(P_ANVILD), PM(P_GWCTL), FD_NONE)                           \
	MSG(0x0a13, tlsrpt_send_req, PM(P_GWCTL), PM(P_ANVILD), FD_NONE)                           \
	MSG(0x0a14, tlsrpt_send_rep, PM(P_ANVILD), PM(P_GWCTL), FD_NONE)

ANVIL_RECORDS(REC_DECLARE)

#endif
