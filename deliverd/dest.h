#ifndef DELIVERD_DEST_H
#define DELIVERD_DEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "deliverd/route.h"
#include "ipc/messages.h"

/*
 * Where mail goes: the servers of a destination, from the route or from DNS, and what is remembered
 * of them.  All is asynchronous; what is known is told at once.
 */

/* ---- dest_literal.c ---- */

/* Is it a domain that stands for an address: does it begin with "["? */
bool dest_is_literal(const char *domain);

/*
 * "[192.0.2.1]", "[IPv6:2001:db8::1]" (RFC 5321, 4.1.3), in any case.  0, or -1 with EINVAL:
 * another kind of literal, or no address.
 */
int dest_literal(const char *domain, struct netaddr *a);

/* ---- dest_ask.c ---- */

/*
 * A question to dnsd (M_dns_mx_req, M_dns_addr_req, M_dns_tlsa_req) or keyd (M_sts_req).  The
 * answer is kept for some seconds, those who ask the same meanwhile wait together.  Whoever does
 * not answer in ASK_MS has answered DNS_TEMPFAIL, or STS_UNKNOWN (ask_silence).
 */
#define ASK_MS 30000
/*
 * keyd takes longer: 25 s for the record, 60 s for the policy (RFC 8461, 3.3), 10 s for the
 * address.  Who goes on without it would take a policy that is being renewed for none.
 */
#define ASK_STS_MS 110000
#define ASK_KEPT_MS 30000 /* what there is: it spares messages; dnsd and keyd know for how long */
#define ASK_NONE_MS 10000 /* that there is nothing */
#define ASK_FAILED_MS 2000 /* so that a storm of jobs asks once */
#define ASK_MAX 1024 /* answers kept and questions under way */

struct ask;
/* rep: struct of the answer's record; valid until fn returns. */
typedef void (*ask_fn)(void *arg, const void *rep);

/*
 * name		1 to 255 octets, any case
 * known	receives the answer when it is known already, valid until the next ask_start; fn is
 *not called then and NULL is returned
 *
 * Else fn is called once, from the loop, and the handle is valid until then.
 */
struct ask *ask_start(uint16_t type, const char *name, const void **known, ask_fn fn, void *arg);
void ask_cancel(struct ask *a); /* NULL is allowed */

/* Is this what stands for an answer that did not come? */
bool ask_silence(const void *rep);

/* What is known is forgotten: the configuration has changed. */
void ask_forget(void);

struct ask_counts {
	uint64_t asked, cached;
	unsigned open, kept;
};
const struct ask_counts *ask_count(void);

/* ---- dest_plan.c ---- */

#define PLAN_HOSTS_MAX 64 /* servers of one destination; further ones are left out */

struct plan_host {
	char *name; /* lower case, no final dot; of an address its text, without brackets */
	uint16_t port;
	bool numeric;
	struct netaddr addr; /* of numeric */
	bool mx; /* DNS has named it: MX, or the domain itself where it has none */
	bool implied; /* the latter */
	bool secure; /* nobody can have forged that: DNSSEC, or the configuration */
	char *domain; /* mx: whose; else "" */
	uint64_t group; /* the lowest first */
	unsigned weight; /* within it */
};

enum plan_verdict {
	PLAN_OK, /* at least one server */
	PLAN_DELAYED, /* DNS does not say now; or the route leads nowhere */
	PLAN_FAILED /* the domain does not exist, takes no mail, or is here */
};

/* Counted, and never changed once made. */
struct plan {
	unsigned refs;
	uint64_t until; /* clock_ms: then it is to be made anew */
	enum plan_verdict verdict;
	char dsn[8]; /* of what is not PLAN_OK */
	char text[DIAG_MAX + 1]; /* printable */
	size_t n;
	struct plan_host hosts[PLAN_HOSTS_MAX]; /* by group */
};

#define PLAN_KEPT_MS 30000
#define PLAN_FAILED_MS 5000

struct planning;
typedef void (*plan_fn)(void *arg, struct plan *p);

/*
 * Find out.
 *
 * r		kept meanwhile
 * domain	whose mail it is, lower case, A-labels, or an address literal; of no matter where
 *the route has servers later	receives the handle when it takes time: fn is then called once, from
 *the loop
 *
 * Returns the plan, the caller's to drop as fn's is; or NULL: later, or, if *later is NULL too,
 * ENOMEM.
 */
struct plan *plan_make(
    struct route *r, const char *domain, struct planning **later, plan_fn fn, void *arg);
void planning_cancel(struct planning *p); /* NULL is allowed */
struct plan *plan_keep(struct plan *p);
void plan_drop(struct plan *p); /* NULL is allowed */

/*
 * In which order a delivery tries the servers: by group, those of a group at random by their
 * weights, and those that were of no use lately behind all others.
 *
 * Returns p->n, the numbers of the hosts in out.
 */
size_t plan_order(const struct plan *p, uint8_t out[PLAN_HOSTS_MAX]);

/* ---- dest_bad.c: servers and addresses that were of no use lately ---- */

#define BAD_MS 30000 /* doubled with each further failure */
#define BAD_MAX_MS 600000
#define BAD_NAMES_MAX 1024

/* "mail.example.org:25", "[192.0.2.1]:25". out holds HOSTPORT_TEXT_MAX. Returns out. */
char *bad_key(char *out, const char *host, uint16_t port);

void bad_note(const char *key);
void bad_forget(const char *key); /* it is of use */
/*
 * When the time is over the first who asks is told that it is good, and has some seconds to find
 * out; the others go on to avoid it meanwhile.
 */
bool bad_is(const char *key);
void bad_clear(void);
unsigned bad_count(void);

#endif
