#ifndef IPC_MSG_ADMIN_H
#define IPC_MSG_ADMIN_H

#include "base/rec.h"
#include "ipc/ipc.h"
#include "model/consumer.h"
#include "model/stored_cert.h"

/*
 * gwctl, keyctl and the database of policyd.  Every change is answered with admin_rep.  Listings
 * come in pages: the next page begins after the last key of this one; none left: an empty list.
 */
#define ADMIN_PAGE_MAX 64

enum admin_status {
	ADMIN_OK,
	ADMIN_NOTFOUND,
	ADMIN_EXISTS, /* e.g. the address belongs to another consumer: text names it */
	ADMIN_INVALID, /* text says which field and why */
	ADMIN_FULL, /* disk or map full */
	ADMIN_FAILED
};

#define REC_ADMIN_REP(F, L)                                                                        \
	F(U8, status, 0, 5) /* enum admin_status */                                                \
	F(STR, text, 0, 500)

#define REC_DOMAIN_PUT(F, L) L(domain, domain, 1, 1)
#define REC_DOMAIN_DEL(F, L) F(STR, name, 1, 255)
#define REC_RECIPIENT_PUT(F, L) L(recipient, recipients, 1, ADMIN_PAGE_MAX)
#define REC_RECIPIENT_DEL(F, L) F(STR, addr, 2, 320)
#define REC_RECIPIENT_LIST(F, L) F(STR, after, 0, 320)
#define REC_RECIPIENT_PAGE(F, L) L(recipient, recipients, 0, ADMIN_PAGE_MAX)
#define REC_DOMAIN_LIST(F, L) F(STR, after, 0, 255)
#define REC_DOMAIN_PAGE(F, L) L(domain, domains, 0, ADMIN_PAGE_MAX)

/*
 * create: 1 refuses an existing id, 0 refuses a new one.  The whole record is replaced but for
 * factor and phrase, which are changed by their own messages only.
 */
#define REC_CONSUMER_PUT(F, L)                                                                     \
	F(U8, create, 0, 1)                                                                        \
	L(consumer, consumer, 1, 1)
#define REC_CONSUMER_DEL(F, L) F(STR, id, 1, 64) /* and its certificates; private keys stay */
/* By id, or by address when id is "". */
#define REC_CONSUMER_GET(F, L)                                                                     \
	F(STR, id, 0, 64)                                                                          \
	F(STR, addr, 0, 320)
/* The stored form of a gateway password; empty takes it away. */
#define REC_CONSUMER_FACTOR(F, L)                                                                  \
	F(STR, id, 1, 64)                                                                          \
	F(BYTES, factor, 0, FACTOR_HASH_LEN)
#define REC_CONSUMER_PHRASE(F, L)                                                                  \
	F(STR, id, 1, 64)                                                                          \
	F(STR, phrase, PHRASE_LEN, PHRASE_LEN)
/* Of factor a tool gets to see only whether there is one: a single octet. */
#define REC_CONSUMER_LIST(F, L) F(STR, after, 0, 64)
#define REC_CONSUMER_PAGE(F, L) L(consumer, consumers, 0, ADMIN_PAGE_MAX)

/*
 * Add or merge a certificate. consumer "": the one that owns an address of its user ids. A
 * certificate that is there is replaced by one evaluated from at least its packets; secret and
 * manual are never taken away.
 */
#define REC_CERT_PUT(F, L) L(stored_cert, cert, 1, 1)
#define REC_CERT_DEL(F, L) F(BYTES, fpr, 20, 32) /* of the primary; every owner's copy */
#define REC_CERT_GET(F, L) F(BYTES, id, 8, 32) /* fingerprint or key id, primary's or subkey's */
#define REC_CERT_LIST(F, L)                                                                        \
	F(BYTES, after, 0, 32)                                                                     \
	F(STR, consumer, 0, 64) /* "": everybody's */
#define REC_CERT_PAGE(F, L) L(stored_cert, certs, 0, ADMIN_PAGE_MAX)

#define ADMIN_RECORDS(R)                                                                           \
	R(admin_rep, REC_ADMIN_REP)                                                                \
	R(domain_put, REC_DOMAIN_PUT)                                                              \
	R(domain_del, REC_DOMAIN_DEL)                                                              \
	R(domain_list, REC_DOMAIN_LIST)                                                            \
	R(recipient_put, REC_RECIPIENT_PUT)                                                        \
	R(recipient_del, REC_RECIPIENT_DEL)                                                        \
	R(recipient_list, REC_RECIPIENT_LIST)                                                      \
	R(recipient_page, REC_RECIPIENT_PAGE)                                                      \
	R(domain_page, REC_DOMAIN_PAGE)                                                            \
	R(consumer_put, REC_CONSUMER_PUT)                                                          \
	R(consumer_del, REC_CONSUMER_DEL)                                                          \
	R(consumer_get, REC_CONSUMER_GET)                                                          \
	R(consumer_factor, REC_CONSUMER_FACTOR)                                                    \
	R(consumer_phrase, REC_CONSUMER_PHRASE)                                                    \
	R(consumer_list, REC_CONSUMER_LIST)                                                        \
	R(consumer_page, REC_CONSUMER_PAGE)                                                        \
	R(cert_put, REC_CERT_PUT)                                                                  \
	R(cert_del, REC_CERT_DEL)                                                                  \
	R(cert_get, REC_CERT_GET)                                                                  \
	R(cert_list, REC_CERT_LIST)                                                                \
	R(cert_page, REC_CERT_PAGE)

#define ADMIN_MSGS(MSG)                                                                            \
	MSG(0x0700, admin_rep, PM(P_POLICYD), PM_TOOLS, FD_NONE)                                   \
	MSG(0x0701, domain_put, PM(P_GWCTL), PM(P_POLICYD), FD_NONE)                               \
	MSG(0x0702, domain_del, PM(P_GWCTL), PM(P_POLICYD), FD_NONE)                               \
	MSG(0x0703, domain_list, PM_TOOLS, PM(P_POLICYD), FD_NONE)                                 \
	MSG(0x0704, domain_page, PM(P_POLICYD), PM_TOOLS, FD_NONE)                                 \
	MSG(0x0705, recipient_put, PM(P_GWCTL), PM(P_POLICYD), FD_NONE)                            \
	MSG(0x0706, recipient_del, PM(P_GWCTL), PM(P_POLICYD), FD_NONE)                            \
	MSG(0x0707, recipient_list, PM(P_GWCTL), PM(P_POLICYD), FD_NONE)                           \
	MSG(0x0708, recipient_page, PM(P_POLICYD), PM(P_GWCTL), FD_NONE)                           \
	MSG(0x0710, consumer_put, PM(P_GWCTL), PM(P_POLICYD), FD_NONE)                             \
	MSG(0x0711, consumer_del, PM(P_GWCTL), PM(P_POLICYD), FD_NONE)                             \
	MSG(0x0712, consumer_get, PM_TOOLS, PM(P_POLICYD), FD_NONE)                                \
	MSG(0x0713, consumer_list, PM_TOOLS, PM(P_POLICYD), FD_NONE)                               \
	MSG(0x0714, consumer_page, PM(P_POLICYD), PM_TOOLS, FD_NONE)                               \
	MSG(0x0715, consumer_factor, PM(P_GWCTL), PM(P_POLICYD), FD_NONE)                          \
	MSG(0x0716, consumer_phrase, PM(P_GWCTL), PM(P_POLICYD), FD_NONE)                          \
	MSG(0x0720, cert_put, PM_TOOLS, PM(P_POLICYD), FD_NONE)                                    \
	MSG(0x0721, cert_del, PM(P_GWCTL), PM(P_POLICYD), FD_NONE)                                 \
	MSG(0x0722, cert_get, PM_TOOLS, PM(P_POLICYD), FD_NONE)                                    \
	MSG(0x0723, cert_list, PM_TOOLS, PM(P_POLICYD), FD_NONE)                                   \
	MSG(0x0724, cert_page, PM(P_POLICYD), PM_TOOLS, FD_NONE)

ADMIN_RECORDS(REC_DECLARE)

#endif
