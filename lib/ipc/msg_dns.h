#ifndef IPC_MSG_DNS_H
#define IPC_MSG_DNS_H

#include "base/rec.h"
#include "ipc/ipc.h"

/* Questions to dnsd: the only process that resolves names. */

#define DNS_ADDRS_MAX 32 /* addresses given for one name; further ones are left out */

enum dns_status { DNS_OK, DNS_NOTFOUND, DNS_TEMPFAIL, DNS_BOGUS };

/* A and AAAA records of a name, /etc/hosts included when the configuration says so. */
#define REC_DNS_ADDR_REQ(F, L) F(STR, name, 1, 255)
#define REC_DNS_ADDR(F, L) F(BYTES, ip, 4, 16) /* 4 or 16 octets */
#define REC_DNS_ADDR_REP(F, L)                                                                     \
	F(U8, status, 0, 3) /* enum dns_status */                                                  \
	F(U8, secure, 0, 1) /* validated with DNSSEC */                                            \
	F(STR, text, 0, 255)                                                                       \
	L(dns_addr, addrs, 0, DNS_ADDRS_MAX)

/*
 * TLSA records (RFC 6698) of "_PORT._tcp.HOST".  Without secure they are worth nothing, and
 * none are given.  DNS_NOTFOUND with secure: DNSSEC says that there are none; DNS_TEMPFAIL,
 * DNS_BOGUS: nobody knows, and whoever wants DANE waits.
 */
#define DNS_TLSAS_MAX 32
#define DNS_TLSA_DATA_MAX 4096
#define REC_DNS_TLSA_REQ(F, L) F(STR, name, 1, 255)
#define REC_DNS_TLSA(F, L)                                                                         \
	F(U8, usage, 0, 255)                                                                       \
	F(U8, selector, 0, 255)                                                                    \
	F(U8, matching, 0, 255)                                                                    \
	F(BYTES, data, 1, DNS_TLSA_DATA_MAX)
#define REC_DNS_TLSA_REP(F, L)                                                                     \
	F(U8, status, 0, 3) /* enum dns_status */                                                  \
	F(U8, secure, 0, 1)                                                                        \
	F(STR, text, 0, 255)                                                                       \
	L(dns_tlsa, records, 0, DNS_TLSAS_MAX)

#define DNS_RECORDS(R)                                                                             \
	R(dns_addr_req, REC_DNS_ADDR_REQ)                                                          \
	R(dns_addr, REC_DNS_ADDR)                                                                  \
	R(dns_addr_rep, REC_DNS_ADDR_REP)                                                          \
	R(dns_tlsa_req, REC_DNS_TLSA_REQ)                                                          \
	R(dns_tlsa, REC_DNS_TLSA)                                                                  \
	R(dns_tlsa_rep, REC_DNS_TLSA_REP)

#define DNS_MSGS(MSG)                                                                              \
	MSG(0x0200, dns_addr_req, PM_PROXIES | PM(P_KEYD), PM(P_DNSD), FD_NONE)                    \
	MSG(0x0201, dns_addr_rep, PM(P_DNSD), PM_PROXIES | PM(P_KEYD), FD_NONE)                    \
	MSG(0x0202, dns_tlsa_req, PM_PROXIES, PM(P_DNSD), FD_NONE)                                 \
	MSG(0x0203, dns_tlsa_rep, PM(P_DNSD), PM_PROXIES, FD_NONE)

DNS_RECORDS(REC_DECLARE)

#endif
