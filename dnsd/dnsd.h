#ifndef DNSD_DNSD_H
#define DNSD_DNSD_H

#include <stddef.h>
#include <stdint.h>

#include "proc/proc.h"

extern const struct proc dnsd;

#define NAME_MAX_OCTETS 253 /* of a name as text, RFC 1035, 2.3.4, without the final dot */

struct addr {
	uint8_t ip[16];
	size_t len; /* 4 or 16 */
};

struct addrs {
	struct addr v[DNS_ADDRS_MAX];
	size_t n;
};

/* Add unless it is full or has it already. */
void addrs_add(struct addrs *a, const void *ip, size_t len);

/* names.c */

/*
 * A name that may be asked for: labels of 1 to 63 letters, digits, hyphens and underscores, a
 * hyphen neither first nor last, NAME_MAX_OCTETS in all; a final dot is allowed.
 *
 * out	receives it in lower case without the final dot, NAME_MAX_OCTETS + 1 octets
 *
 * Returns 0, or -1 when it is no such name.
 */
int name_check(const char *s, char *out);

/*
 * The same for a name of TLSA records (RFC 6698, 3): "_PORT._tcp.HOST", where PORT has no leading
 * zeros and HOST is no address.
 */
int name_check_tlsa(const char *s, char *out);

/*
 * The name that an address has below zone: "1.2.0.192.ZONE", or 32 hexadecimal digits for IPv6 (RFC
 * 5782, 2.1 and 2.4); with zone NULL that of its PTR record (RFC 1035, 3.5; RFC 3596, 2.5).
 *
 * ip, n	4 or 16 octets
 * zone		from name_check
 * out		NAME_MAX_OCTETS + 1 octets
 *
 * Returns 0, or -1 when it is too long.
 */
int name_reversed(const uint8_t *ip, size_t n, const char *zone, char *out);

/* "192.0.2.1", "2001:db8::1", with or without brackets: 1 and a is set, else 0. */
int name_numeric(const char *s, struct addr *a);

/* What the machine itself knows: localhost (RFC 6761, 6.3), and hosts(5). */
struct hosts;

/* text of a hosts(5) file; bad lines are passed over, HOSTS_MAX names count. NULL: no memory. */
#define HOSTS_MAX 20000
struct hosts *hosts_parse(const char *text, size_t n);
void hosts_free(struct hosts *h);

/* Addresses of a name from name_check; how many. h may be NULL. */
size_t hosts_find(const struct hosts *h, const char *name, struct addrs *out);

/* The first name of an address in there, or "localhost"; NULL: none. h may be NULL. */
const char *hosts_name(const struct hosts *h, const struct addr *a);

/* Each "nameserver" address of a resolv.conf(5), at most max; how many. */
size_t resolv_parse(const char *text, size_t n, struct netaddr *out, size_t max);

/* answer.c: the answer section of a DNS message (RFC 1035, 4.1) */

/*
 * Add the addresses of one type (1: A, 28: AAAA).  The chain of aliases is not followed: the
 * resolver has put only what belongs to it.
 *
 * Returns 0, or -1 with errno EBADMSG (the message is not well-formed).
 */
int answer_parse(const uint8_t *p, size_t n, unsigned type, struct addrs *out);

/*
 * The owner of the first of these records, as it stands: the name that aliases have led to; "" when
 * there is none.  What no name has is '?' in it.
 *
 * out	NAME_MAX_OCTETS + 1 octets
 */
int answer_owner(const uint8_t *p, size_t n, unsigned type, char *out);

/* PTR records: those that are host names, others are left out. */
#define PTRS_MAX 4 /* names of one address that are looked at */
struct ptrs {
	char v[PTRS_MAX][NAME_MAX_OCTETS + 1];
	size_t n;
};
int answer_ptrs(const uint8_t *p, size_t n, struct ptrs *out);

/*
 * MX records: those with a host name, each once, the lowest preference first and equal ones in
 * random order.
 */
#define MXS_MAX 64
struct mx {
	uint16_t preference;
	char host[NAME_MAX_OCTETS + 1];
};
struct mxs {
	struct mx v[MXS_MAX];
	size_t n;
	size_t seen; /* those left out, too */
	int null_mx; /* there is one, and it is that of RFC 7505 */
};
int answer_mxs(const uint8_t *p, size_t n, struct mxs *out);

/*
 * TXT records, the strings of each in one; those longer than DNS_TXT_LEN are left out.  After 0:
 * txts_free.  Else errno is EBADMSG or ENOMEM.
 */
struct txts {
	struct dns_txt v[DNS_TXTS_MAX]; /* text points into mem */
	size_t n;
	uint8_t *mem;
	size_t used;
};
int answer_txts(const uint8_t *p, size_t n, struct txts *out);
void txts_free(struct txts *t);

struct tlsas {
	struct dns_tlsa v[DNS_TLSAS_MAX]; /* data points into the message */
	size_t n;
	unsigned left_out; /* too short, too long, or too many */
};

/* The same for TLSA records. */
int answer_tlsas(const uint8_t *p, size_t n, struct tlsas *out);

/* anchor.c */
#define ANCHORS_MAX 64
struct anchors {
	char *v[ANCHORS_MAX]; /* "example.org. IN DS 1 13 2 ..."; "." for the root */
	size_t n;
};

/*
 * The DS and DNSKEY records in a file: a line each, its first word the zone, TTL and class may
 * follow; comments begin with ";".  Revoked keys, and those whose comment has a state of RFC 5011
 * that is not trusted, are passed over.
 *
 * file	for messages
 *
 * Returns 0 with at least one record, to be freed; or -1 with e, which has file and line.
 */
int anchors_parse(const char *file, const char *text, size_t n, struct anchors *out, struct err *e);
void anchors_free(struct anchors *a);

/* The zone of a record, in lower case with the final dot. */
void anchors_zone(const struct anchors *a, size_t i, char out[NAME_MAX_OCTETS + 2]);

int anchors_same(const struct anchors *a, const struct anchors *b);

/* resolver.c: libunbound */
enum {
	TYPE_A = 1,
	TYPE_PTR = 12,
	TYPE_MX = 15,
	TYPE_TXT = 16,
	TYPE_AAAA = 28,
	TYPE_DNSKEY = 48,
	TYPE_TLSA = 52
};

struct resolver_config {
	struct netaddr servers[64];
	size_t nservers; /* 0: ask the root servers on */
	const struct anchors *anchors; /* NULL: no validation */
};

struct resolver_result {
	int rcode; /* RFC 1035, 4.1.1 */
	const uint8_t *packet; /* valid in the callback; looked at only if rcode is 0 */
	size_t n;
	int secure, bogus;
	const char *why; /* of bogus, or why there is no answer; or NULL */
};

typedef void (*resolver_fn)(void *arg, const struct resolver_result *r);

/*
 * Make the context anew.  Questions under way at the old one fail with rcode 2 (SERVFAIL) before
 * this returns.  0, or -1 with e: the old one stays.
 */
int resolver_open(struct event_base *base, const struct resolver_config *c, struct err *e);
void resolver_close(void);

/* Is there one; does it validate answers? */
int resolver_is_open(void);
int resolver_validates(void);

/*
 * Ask; fn is called once, perhaps before this returns.  Returns 0, or -1: fn is not called.
 */
int resolver_ask(const char *name, int type, resolver_fn fn, void *arg);

/* trust.c: the trust anchors, and whether the name servers pass on what they are to validate */

/* As root: those of the system. */
void trust_open(void);

/*
 * The configuration's (required is 1 then), else the system's, else none.  0, or -1 with e.
 */
int trust_choose(const struct conf *c, struct anchors *out, int *required, struct err *e);

/*
 * Ask for the keys of the zones of a, whose resolver has been opened just now.
 *
 * dropped	called at most once, from the loop, if they are bogus and not required
 */
void trust_probe(const struct anchors *a, int required, void (*dropped)(void));

/* An answer was bogus: ask again, unless that was done within the last minute. */
void trust_doubt(void);

/* What is known to be wrong with the keys of the zones above this name; "" when nothing is. */
const char *trust_trouble(const char *name);

/*
 * Questions of the daemons; each is answered once, some before the call returns: records.c
 * (addresses, TLSA, MX, TXT), client.c (PTR, lists), and query.c, which they stand on.
 */
void query_addr(struct chan *c, uint64_t id, const char *name, const struct hosts *hosts);
void query_tlsa(struct chan *c, uint64_t id, const char *name);
void query_mx(struct chan *c, uint64_t id, const char *name);
void query_txt(struct chan *c, uint64_t id, const char *name);
void query_ptr(struct chan *c, uint64_t id, struct bytes ip, const struct hosts *hosts);
void query_list(struct chan *c, uint64_t id, struct bytes ip, const char *zone);
void query_forget(const struct chan *c); /* the asker is gone */

#define QUERIES_MAX 4000 /* under way at once */
#define QUERIES_EACH                                                                               \
	1000 /* the same of one asker: whoever names what he asks for starves no other */

struct query_counts {
	uint64_t asked, found, notfound, failed, bogus;
	uint64_t tlsa, mx, txt, ptr, list; /* of asked */
	unsigned open;
};

const struct query_counts *query_count(void);

#endif
