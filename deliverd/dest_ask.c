/* Questions to dnsd and keyd, and what they said lately. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "deliverd/dest.h"
#include "proc/proc.h"

#define BUCKETS 256

struct ask {
	TAILQ_ENTRY(ask) next;
	struct answer *of;
	ask_fn fn;
	void *arg;
};

struct answer {
	LIST_ENTRY(answer) next;
	TAILQ_ENTRY(answer) used; /* the least recently used first; not while it is asked for */
	uint16_t type;
	struct proc_req *req; /* NULL: it is there */
	TAILQ_HEAD(, ask) waiters;
	struct buf octets; /* that rep points into */
	void *copy;
	const void *rep;
	uint64_t until; /* clock_ms */
	bool telling; /* its waiters are being told: it must stay */
	char name[];
};

static LIST_HEAD(, answer) buckets[BUCKETS];
static TAILQ_HEAD(, answer) used = TAILQ_HEAD_INITIALIZER(used);
static struct ask_counts counts;

const struct ask_counts *
ask_count(void)
{
	return &counts;
}

static const struct sts_rep no_sts = {
    .mode = STS_UNKNOWN, .text = "keyd does not answer", .policy = "", .failure = ""};

bool
ask_silence(const void *rep)
{
	return rep == &no_sts;
}

/* What nobody has answered. */
static const void *
silence(uint16_t type)
{
	static const struct dns_mx_rep mx = {
	    .status = DNS_TEMPFAIL, .text = "the name service does not answer"};
	static const struct dns_addr_rep addr = {
	    .status = DNS_TEMPFAIL, .text = "the name service does not answer", .canonical = ""};
	static const struct dns_tlsa_rep tlsa = {
	    .status = DNS_TEMPFAIL, .text = "the name service does not answer"};

	switch (type) {
	case M_dns_mx_req:
		return &mx;
	case M_dns_addr_req:
		return &addr;
	case M_dns_tlsa_req:
		return &tlsa;
	default:
		return &no_sts;
	}
}

static unsigned
bucket(uint16_t type, const char *name)
{
	unsigned h = type;

	for (; *name != '\0'; name++)
		h = h * 33 ^ (unsigned)tolower((unsigned char)*name);
	return h % BUCKETS;
}

static struct answer *
find(uint16_t type, const char *name)
{
	struct answer *a;

	LIST_FOREACH (a, &buckets[bucket(type, name)], next)
		if (a->type == type && strcasecmp(a->name, name) == 0)
			return a;
	return NULL;
}

static void
drop_reply(struct answer *a)
{
	free(a->copy);
	buf_free(&a->octets);
	a->copy = NULL;
	a->rep = NULL;
}

static void
answer_free(struct answer *a)
{
	if (a->req != NULL) {
		proc_cancel(a->req);
		counts.open--;
	} else {
		TAILQ_REMOVE(&used, a, used);
		counts.kept--;
	}
	LIST_REMOVE(a, next);
	drop_reply(a);
	free(a);
}

/* How long does it count? */
static uint64_t
worth(uint16_t type, const void *rep)
{
	const struct dns_mx_rep *mx = rep;
	const struct sts_rep *sts = rep;
	unsigned status = mx->status; /* the first of all answers of dnsd */

	_Static_assert(offsetof(struct dns_mx_rep, status) == 0 &&
			   offsetof(struct dns_addr_rep, status) == 0 &&
			   offsetof(struct dns_tlsa_rep, status) == 0,
	    "status comes first");
	if (type == M_sts_req)
		return sts->mode == STS_UNKNOWN ? ASK_FAILED_MS : ASK_KEPT_MS;
	if (status == DNS_OK)
		return ASK_KEPT_MS;
	return status == DNS_NOTFOUND ? ASK_NONE_MS : ASK_FAILED_MS;
}

static void
take(struct answer *a, const struct ipc_msg *m)
{
	a->rep = silence(a->type);
	if (m != NULL && rec_encode(m->def->rec, m->body, &a->octets) == 0 &&
	    (a->copy = rec_decode(m->def->rec, buf_ptr(&a->octets), buf_len(&a->octets))) != NULL)
		a->rep = a->copy;
	a->until = clock_ms() + worth(a->type, a->rep);
}

static void
on_reply(void *arg, struct ipc_msg *m, int error)
{
	struct answer *a = arg;
	struct ask *w;

	(void)error;
	a->req = NULL;
	counts.open--;
	counts.kept++;
	TAILQ_INSERT_TAIL(&used, a, used);
	take(a, m);
	a->telling = true;
	while ((w = TAILQ_FIRST(&a->waiters)) != NULL) {
		ask_fn fn = w->fn;
		void *to = w->arg;

		ask_cancel(w);
		fn(to, a->rep);
	}
	a->telling = false;
}

/* Room for one more: the least recently used goes. 0, or -1: all of them are under way. */
static int
make_room(void)
{
	struct answer *a;

	if (counts.open + counts.kept < ASK_MAX)
		return 0;
	TAILQ_FOREACH (a, &used, used)
		if (!a->telling)
			break;
	if (a == NULL)
		return -1;
	answer_free(a);
	return 0;
}

/* All questions have a name and nothing else. */
static struct proc_req *
post(uint16_t type, struct answer *a)
{
	const struct dns_mx_req mx = {.name = a->name};
	const struct dns_addr_req addr = {.name = a->name};
	const struct dns_tlsa_req tlsa = {.name = a->name};
	const struct sts_req sts = {.domain = a->name};
	const void *body = type == M_dns_mx_req     ? (const void *)&mx
			   : type == M_dns_addr_req ? (const void *)&addr
			   : type == M_dns_tlsa_req ? (const void *)&tlsa
						    : (const void *)&sts;

	return type == M_sts_req ? proc_request(P_KEYD, type, body, ASK_STS_MS, on_reply, a)
				 : proc_request(P_DNSD, type, body, ASK_MS, on_reply, a);
}

static struct answer *
ask_anew(uint16_t type, const char *name)
{
	size_t n = strlen(name) + 1;
	struct answer *a;

	if (make_room() == -1 || (a = calloc(1, sizeof *a + n)) == NULL)
		return NULL;
	a->type = type;
	TAILQ_INIT(&a->waiters);
	buf_init(&a->octets, IPC_FRAME_MAX);
	memcpy(a->name, name, n);
	if ((a->req = post(type, a)) == NULL) {
		free(a);
		return NULL;
	}
	counts.open++;
	counts.asked++;
	LIST_INSERT_HEAD(&buckets[bucket(type, name)], a, next);
	return a;
}

struct ask *
ask_start(uint16_t type, const char *name, const void **known, ask_fn fn, void *arg)
{
	struct answer *a = find(type, name);
	struct ask *w;

	if (a != NULL && a->req == NULL && a->until <= clock_ms() && !a->telling) {
		answer_free(a);
		a = NULL;
	}
	if (a != NULL && a->req == NULL) {
		TAILQ_REMOVE(&used, a, used);
		TAILQ_INSERT_TAIL(&used, a, used);
		counts.cached++;
		*known = a->rep;
		return NULL;
	}
	*known = NULL;
	if ((a == NULL && (a = ask_anew(type, name)) == NULL) ||
	    (w = calloc(1, sizeof *w)) == NULL) {
		*known = silence(type);
		return NULL;
	}
	w->of = a;
	w->fn = fn;
	w->arg = arg;
	TAILQ_INSERT_TAIL(&a->waiters, w, next);
	return w;
}

void
ask_cancel(struct ask *w)
{
	if (w == NULL)
		return;
	TAILQ_REMOVE(&w->of->waiters, w, next);
	free(w);
}

void
ask_forget(void)
{
	struct answer *a, *next;

	TAILQ_FOREACH_SAFE (a, &used, used, next)
		if (!a->telling)
			answer_free(a);
}
