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
	F(STR, canonical, 0, 255) /* with secure: the name that aliases have led to, whose TLSA    \
				   * records count first (RFC 7672, 2.2.2); "": it is no alias */  \
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

/*
 * MX records (RFC 5321, 5.1), in the order of preference, those of the same one in random order.
 * DNS_NOTFOUND: the domain does not exist.  DNS_OK without records: it exists and has none, so
 * that its address counts.  null_mx: it takes no mail (RFC 7505).
 */
#define DNS_MXS_MAX 32
#define REC_DNS_MX_REQ(F, L) F(STR, name, 1, 255)
#define REC_DNS_MX(F, L)                                                                           \
	F(U16, preference, 0, UINT16_MAX)                                                          \
	F(STR, host, 1, 255)
#define REC_DNS_MX_REP(F, L)                                                                       \
	F(U8, status, 0, 3) /* enum dns_status */                                                  \
	F(U8, secure, 0, 1)                                                                        \
	F(U8, null_mx, 0, 1)                                                                       \
	F(STR, text, 0, 255)                                                                       \
	L(dns_mx, records, 0, DNS_MXS_MAX)

/* TXT records; the strings of each in one. */
#define DNS_TXTS_MAX 32
#define DNS_TXT_LEN 4096
#define REC_DNS_TXT_REQ(F, L) F(STR, name, 1, 255)
#define REC_DNS_TXT(F, L) F(BYTES, text, 0, DNS_TXT_LEN)
#define REC_DNS_TXT_REP(F, L)                                                                      \
	F(U8, status, 0, 3)                                                                        \
	F(U8, secure, 0, 1)                                                                        \
	F(STR, text, 0, 255)                                                                       \
	L(dns_txt, records, 0, DNS_TXTS_MAX)

/*
 * The name of an address, which that name's addresses confirm; "" unless DNS_OK.  /etc/hosts
 * included as for addresses.
 */
#define REC_DNS_PTR_REQ(F, L) F(BYTES, ip, 4, 16)
#define REC_DNS_PTR_REP(F, L)                                                                      \
	F(U8, status, 0, 3)                                                                        \
	F(STR, name, 0, 255)                                                                       \
	F(STR, text, 0, 255)

/*
 * A list of addresses in DNS (RFC 5782): the A records of "2.0.0.127.ZONE", of which those of
 * 127.0.0.0/8 are given.  Never /etc/hosts.
 */
#define REC_DNS_LIST_REQ(F, L)                                                                     \
	F(BYTES, ip, 4, 16)                                                                        \
	F(STR, zone, 1, 220)
#define REC_DNS_LIST_REP(F, L)                                                                     \
	F(U8, status, 0, 3) /* DNS_NOTFOUND: not listed */                                         \
	F(STR, text, 0, 255) /* its TXT record, or what went wrong */                              \
	L(dns_addr, addrs, 0, DNS_ADDRS_MAX)

#define DNS_RECORDS(R)                                                                             \
	R(dns_addr_req, REC_DNS_ADDR_REQ)                                                          \
	R(dns_addr, REC_DNS_ADDR)                                                                  \
	R(dns_addr_rep, REC_DNS_ADDR_REP)                                                          \
	R(dns_tlsa_req, REC_DNS_TLSA_REQ)                                                          \
	R(dns_tlsa, REC_DNS_TLSA)                                                                  \
	R(dns_tlsa_rep, REC_DNS_TLSA_REP)                                                          \
	R(dns_mx_req, REC_DNS_MX_REQ)                                                              \
	R(dns_mx, REC_DNS_MX)                                                                      \
	R(dns_mx_rep, REC_DNS_MX_REP)                                                              \
	R(dns_txt_req, REC_DNS_TXT_REQ)                                                            \
	R(dns_txt, REC_DNS_TXT)                                                                    \
	R(dns_txt_rep, REC_DNS_TXT_REP)                                                            \
	R(dns_ptr_req, REC_DNS_PTR_REQ)                                                            \
	R(dns_ptr_rep, REC_DNS_PTR_REP)                                                            \
	R(dns_list_req, REC_DNS_LIST_REQ)                                                          \
	R(dns_list_rep, REC_DNS_LIST_REP)

#define DNS_ASKERS (PM_PROXIES | PM(P_KEYD) | PM(P_DELIVERD) | PM(P_ANVILD) | PM(P_GWCTL))
#define DNS_TO(MSG, number, record) MSG(number, record, DNS_ASKERS, PM(P_DNSD), FD_NONE)
#define DNS_FROM(MSG, number, record) MSG(number, record, PM(P_DNSD), DNS_ASKERS, FD_NONE)
#define DNS_MSGS(MSG)                                                                              \
	DNS_TO(MSG, 0x0200, dns_addr_req)                                                          \
	DNS_FROM(MSG, 0x0201, dns_addr_rep)                                                        \
	DNS_TO(MSG, 0x0202, dns_tlsa_req)                                                          \
	DNS_FROM(MSG, 0x0203, dns_tlsa_rep)                                                        \
	DNS_TO(MSG, 0x0204, dns_mx_req)                                                            \
	DNS_FROM(MSG, 0x0205, dns_mx_rep)                                                          \
	DNS_TO(MSG, 0x0206, dns_txt_req)                                                           \
	DNS_FROM(MSG, 0x0207, dns_txt_rep)                                                         \
	DNS_TO(MSG, 0x0208, dns_ptr_req)                                                           \
	DNS_FROM(MSG, 0x0209, dns_ptr_rep)                                                         \
	DNS_TO(MSG, 0x020a, dns_list_req)                                                          \
	DNS_FROM(MSG, 0x020b, dns_list_rep)

DNS_RECORDS(REC_DECLARE)

#endif
