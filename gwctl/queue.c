/* queue list, summary. */
#include "gwctl/queue.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <time.h>

#include "base/clock.h"
#include "model/json.h"

#define JSON_MAX (4 * 1024 * 1024)

#define REC_SHOWN_QUEUED_RCPT(F, L)                                                                \
	F(STR, address, 0, ADDR_MAX)                                                               \
	F(STR, state, 0, 16)                                                                       \
	F(STR, delay_reason, 0, DIAG_MAX)
/* Names as postqueue -j has them, where there are such. */
#define REC_SHOWN_QUEUED(F, L)                                                                     \
	F(STR, queue_id, 0, QUEUE_ID_MAX)                                                          \
	F(STR, transaction, 0, QUEUE_ID_MAX)                                                       \
	F(STR, state, 0, 16)                                                                       \
	F(U64, arrival_time, 0, UINT64_MAX) /* seconds since the epoch */                          \
	F(U64, message_size, 0, UINT64_MAX)                                                        \
	F(STR, sender, 0, ADDR_MAX)                                                                \
	F(STR, message_id, 0, 255)                                                                 \
	F(STR, tenant, 0, 64)                                                                      \
	F(STR, connector, 0, 64)                                                                   \
	F(U8, priority, 0, 9)                                                                      \
	F(U32, attempts, 0, UINT32_MAX)                                                            \
	F(U64, next_attempt, 0, UINT64_MAX) /* seconds since the epoch; 0: now, or held */         \
	F(U32, recipients_left, 0, UINT32_MAX)                                                     \
	L(shown_queued_rcpt, recipients, 0, RCPTS_MAX)
REC_DECLARE(shown_queued_rcpt, REC_SHOWN_QUEUED_RCPT)
REC_DECLARE(shown_queued, REC_SHOWN_QUEUED)
REC_DEFINE(shown_queued_rcpt, REC_SHOWN_QUEUED_RCPT)
REC_DEFINE(shown_queued, REC_SHOWN_QUEUED)

static const char *const states[] = {
    [QS_ACTIVE] = "active",
    [QS_WAITING] = "waiting",
    [QS_DEFERRED] = "deferred",
    [QS_HELD] = "held",
};

/* ---- which messages ---- */

enum { O_SENDER = 256, O_RCPT, O_DEST, O_TENANT, O_STATE, O_OLDER, O_ALL, O_YES, O_REASON };

/* "90", "15m", "2h", "3d" in seconds. -1: it is none. */
static int
parse_span(const char *s, uint64_t *out)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = {{'\0', 1}, {'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
	size_t i, n = strspn(s, "0123456789");

	if (n == 0 || n > 9 || (s[n] != '\0' && s[n + 1] != '\0'))
		return -1;
	for (i = 0; i < sizeof units / sizeof units[0]; i++)
		if (units[i].unit == s[n]) {
			*out = strtoull(s, NULL, 10) * units[i].seconds;
			return 0;
		}
	return -1;
}

static int
parse_state(const char *s, uint8_t *set)
{
	unsigned i;

	for (i = 0; i < sizeof states / sizeof states[0]; i++)
		if (strcmp(s, states[i]) == 0) {
			*set |= (uint8_t)(1 << i);
			return 0;
		}
	return -1;
}

static int
bounded(const char *what, const char *s, size_t max)
{
	return strlen(s) <= max ? 0 : complain(EX_DATAERR, "%s is longer than %zu", what, max);
}

static int
filter_option(struct queue_choice *c, int o)
{
	struct queue_filter *f = &c->filter;

	switch (o) {
	case O_SENDER:
		f->sender = optarg;
		return bounded("--sender", optarg, ADDR_MAX);
	case O_RCPT:
		f->rcpt = optarg;
		return bounded("--rcpt", optarg, ADDR_MAX);
	case O_DEST:
		f->destination = optarg;
		return bounded("--destination", optarg, 255);
	case O_TENANT:
		f->tenant = optarg;
		return bounded("--tenant", optarg, 64);
	case O_STATE:
		if (parse_state(optarg, &f->states) == 0)
			return 0;
		return complain(
		    EX_USAGE, "--state %s: active, waiting, deferred or held", shown(optarg));
	case O_OLDER:
		if (parse_span(optarg, &f->older) == 0)
			return 0;
		return complain(
		    EX_USAGE, "--older %s: a number of s, m, h, d or w, as 90m", shown(optarg));
	case O_REASON:
		c->reason = optarg;
		return bounded("--reason", optarg, 200);
	case O_ALL:
		c->all = 1;
		return 0;
	case O_YES:
		c->yes = 1;
		return 0;
	default:
		return complain_usage();
	}
}

int
queue_options(struct queue_choice *c, unsigned takes, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"sender", required_argument, NULL, O_SENDER},
	    {"rcpt", required_argument, NULL, O_RCPT},
	    {"destination", required_argument, NULL, O_DEST},
	    {"tenant", required_argument, NULL, O_TENANT},
	    {"state", required_argument, NULL, O_STATE},
	    {"older", required_argument, NULL, O_OLDER},
	    {"all", no_argument, NULL, O_ALL},
	    {"yes", no_argument, NULL, O_YES},
	    {"reason", required_argument, NULL, O_REASON},
	    {"json", no_argument, NULL, LIST_JSON},
	    {"quiet", no_argument, NULL, LIST_NAMES},
	    {NULL, 0, NULL, 0},
	};
	int o, rc;

	memset(c, 0, sizeof *c);
	c->how = LIST_TABLE;
	while ((o = getopt_long(argc, argv, "q", longs, NULL)) != -1) {
		if (o == 'q')
			o = LIST_NAMES;
		if ((o == O_YES && (takes & Q_YES) == 0) ||
		    (o == O_ALL && (takes & Q_CHANGE) == 0) ||
		    (o == O_REASON && (takes & Q_REASON) == 0))
			return complain_usage();
		if (o == LIST_JSON || o == LIST_NAMES) {
			if ((takes & Q_LIST) == 0 || (c->how != LIST_TABLE && c->how != o))
				return complain_usage();
			c->how = o;
		} else if ((rc = filter_option(c, o)) != 0)
			return rc;
	}
	c->ids = argv + optind;
	c->n = argc - optind;
	if (c->n > 0 && (takes & Q_CHANGE) == 0)
		return complain_usage();
	for (o = 0; o < c->n; o++)
		if (c->ids[o][0] == '\0' || strlen(c->ids[o]) >= QUEUE_ID_MAX)
			return complain(EX_DATAERR, "'%s' is no queue id", shown(c->ids[o]));
	return 0;
}

int
queue_choice_is_empty(const struct queue_choice *c)
{
	const struct queue_filter *f = &c->filter;

	return c->n == 0 && f->sender == NULL && f->rcpt == NULL && f->destination == NULL &&
	       f->tenant == NULL && f->states == 0 && f->older == 0;
}

/* ---- asking ---- */

int
queue_connect(struct gwctl *t, struct ipc *c)
{
	struct err e = {0};
	int rc;

	if ((rc = gwctl_master(t)) != 0)
		return rc;
	if (control_channel(&t->master, P_QUEUED, 0, c, &e) == 0)
		return 0;
	if (t->conf != NULL && !conf_has_queue(t->conf))
		return complain(EX_UNAVAILABLE,
		    "no connector of %s has a queue: service = mx, relay or submission", t->config);
	return complain_err(&e);
}

int
queue_each(struct ipc *c, const struct queue_filter *f,
    void (*fn)(void *arg, const struct queue_info *q), void *arg, uint64_t *total)
{
	struct queue_filter copy = *f;
	struct queue_list_req q = {.filter = {&copy, 1}};
	const struct queue_list_rep *p;
	struct err e = {0};
	struct ipc_msg m;
	size_t i;
	int end;

	do {
		if (control_call(
			c, M_queue_list_req, &q, M_queue_list_rep, &m, CONTROL_TIMEOUT, &e) == -1)
			return complain_err(&e);
		p = m.body;
		for (i = 0; i < p->messages.n; i++)
			fn(arg, &p->messages.v[i]);
		q.after = p->after;
		end = p->end;
		if (total != NULL)
			*total = p->total;
		ipc_done(c, &m);
	} while (!end);
	return 0;
}

/* ---- words ---- */

const char *
queue_state_name(unsigned state)
{
	return state < sizeof states / sizeof states[0] ? states[state] : "?";
}

unsigned
queue_state_of(const struct queue_info *q)
{
	unsigned set = 0;
	size_t i;

	for (i = 0; i < q->rcpts.n; i++)
		set |= 1u << q->rcpts.v[i].state;
	for (i = 0; i < QS_HELD; i++)
		if ((set >> i & 1) != 0)
			return (unsigned)i;
	return set != 0 ? QS_HELD : QS_WAITING;
}

int
queue_json(const struct queue_info *q)
{
	static struct shown_queued_rcpt rcpts[RCPTS_MAX];
	const struct envelope *e = &q->envelope.v[0];
	struct shown_queued s = {
	    .queue_id = e->qid,
	    .transaction = e->tx,
	    .state = queue_state_name(queue_state_of(q)),
	    .arrival_time = e->arrived / 1000,
	    .message_size = q->size,
	    .sender = e->sender,
	    .message_id = e->msgid,
	    .tenant = e->tenant,
	    .connector = e->connector,
	    .priority = e->priority,
	    .attempts = q->attempts,
	    .next_attempt = q->next / 1000,
	    .recipients_left = q->nrcpts,
	    .recipients = {rcpts, q->rcpts.n},
	};
	struct buf b;
	size_t i;
	int rc;

	for (i = 0; i < q->rcpts.n; i++)
		rcpts[i] = (struct shown_queued_rcpt){
		    q->rcpts.v[i].addr, queue_state_name(q->rcpts.v[i].state), q->rcpts.v[i].text};
	buf_init(&b, JSON_MAX);
	rc = json_from_rec(&rec_shown_queued, &s, 0, &b);
	if (rc == 0)
		(void)printf("%.*s\n", (int)buf_len(&b), (const char *)buf_ptr(&b));
	buf_free(&b);
	return rc == 0 ? 0 : complain(EX_OSERR, "%s: %s", shown(e->qid), strerror(errno));
}

/* ---- list ---- */

struct listing {
	int how, rc;
	uint64_t n, octets;
};

/* As mailq(1) shows it: what reads that can read this. */
static void
put_mailq(const struct queue_info *q)
{
	const struct envelope *e = &q->envelope.v[0];
	unsigned state = queue_state_of(q);
	time_t at = (time_t)(e->arrived / 1000);
	const char *before = NULL;
	char when[32] = "-", id[QUEUE_ID_MAX + 2];
	struct tm tm;
	size_t i;

	if (localtime_r(&at, &tm) != NULL)
		(void)strftime(when, sizeof when, "%a %b %e %H:%M:%S", &tm);
	(void)snprintf(id, sizeof id, "%s%s", e->qid,
	    state == QS_ACTIVE || state == QS_WAITING ? "*"
	    : state == QS_HELD                        ? "!"
						      : "");
	(void)printf("%-16s %8" PRIu64 " %s  %s\n", shown(id), q->size, when,
	    e->sender[0] != '\0' ? shown(e->sender) : "MAILER-DAEMON");
	for (i = 0; i < q->rcpts.n; i++) {
		const struct queue_rcpt_info *r = &q->rcpts.v[i];

		if (r->text[0] != '\0' && (before == NULL || strcmp(before, r->text) != 0)) {
			(void)printf("%*s(%s)\n", 8, "", shown(r->text));
			before = r->text;
		}
		(void)printf("%*s%s%s\n", 46, "", shown(r->addr),
		    r->state == QS_HELD && state != QS_HELD ? " (held)" : "");
	}
	if (q->nrcpts > q->rcpts.n)
		(void)printf("%*sand %zu more\n", 46, "", (size_t)q->nrcpts - q->rcpts.n);
	(void)putchar('\n');
}

static void
list_one(void *arg, const struct queue_info *q)
{
	struct listing *l = arg;
	int rc;

	if (l->n++ == 0 && l->how == LIST_TABLE)
		(void)puts(
		    "-Queue ID-       --Size-- ---Arrival Time---  -Sender/Recipient-------");
	l->octets += q->size;
	if (l->how == LIST_JSON) {
		if ((rc = queue_json(q)) != 0)
			l->rc = rc;
	} else if (l->how == LIST_NAMES)
		(void)printf("%s\n", shown(q->envelope.v[0].qid));
	else
		put_mailq(q);
}

int
verb_queue_list(struct gwctl *t, int argc, char *argv[])
{
	struct listing l = {0};
	struct queue_choice choice;
	struct ipc c;
	int rc;

	if ((rc = queue_options(&choice, Q_LIST, argc, argv)) != 0 ||
	    (rc = queue_connect(t, &c)) != 0)
		return rc;
	l.how = choice.how;
	rc = queue_each(&c, &choice.filter, list_one, &l, NULL);
	ipc_close(&c);
	if (rc != 0)
		return rc;
	if (l.how == LIST_TABLE && l.n == 0)
		(void)puts(
		    queue_choice_is_empty(&choice) ? "The queue is empty." : "No message fits.");
	else if (l.how == LIST_TABLE)
		(void)printf("-- %" PRIu64 " Kbytes in %" PRIu64 " Request%s.\n",
		    (l.octets + 1023) / 1024, l.n, l.n == 1 ? "" : "s");
	return l.rc;
}

/* ---- summary ---- */

/* Columns of age, each twice the one before, as qshape(1) has them. */
#define AGES 10
#define AGE_FIRST 5 /* minutes */

struct domain_count {
	char *domain;
	uint64_t n, age[AGES];
};

struct summary {
	struct domain_count *v;
	size_t n, room;
	uint64_t now;
	int failed;
};

#define REC_SHOWN_AGE(F, L)                                                                        \
	F(U32, minutes, 0, UINT32_MAX) /* below that; 0: all above */                              \
	F(U64, recipients, 0, UINT64_MAX)
#define REC_SHOWN_SUMMARY(F, L)                                                                    \
	F(STR, domain, 0, 255)                                                                     \
	F(U64, recipients, 0, UINT64_MAX)                                                          \
	L(shown_age, ages, 0, AGES)
REC_DECLARE(shown_age, REC_SHOWN_AGE)
REC_DECLARE(shown_summary, REC_SHOWN_SUMMARY)
REC_DEFINE(shown_age, REC_SHOWN_AGE)
REC_DEFINE(shown_summary, REC_SHOWN_SUMMARY)

/* The counts of a domain: sorted, for there may be many. */
static struct domain_count *
count_of(struct summary *s, const char *domain)
{
	size_t low = 0, high = s->n, mid;
	void *p;
	int d;

	while (low < high) {
		mid = low + (high - low) / 2;
		if ((d = strcasecmp(domain, s->v[mid].domain)) == 0)
			return &s->v[mid];
		if (d < 0)
			high = mid;
		else
			low = mid + 1;
	}
	if (s->n == s->room) {
		if ((p = reallocarray(s->v, 2 * s->room + 64, sizeof *s->v)) == NULL)
			return NULL;
		s->v = p;
		s->room = 2 * s->room + 64;
	}
	memmove(&s->v[low + 1], &s->v[low], (s->n - low) * sizeof *s->v);
	memset(&s->v[low], 0, sizeof s->v[low]);
	s->n++;
	s->v[low].domain = strdup(domain);
	return s->v[low].domain != NULL ? &s->v[low] : NULL;
}

static void
sum_one(void *arg, const struct queue_info *q)
{
	struct summary *s = arg;
	uint64_t arrived = q->envelope.v[0].arrived / 1000, limit = AGE_FIRST;
	uint64_t minutes = s->now > arrived ? (s->now - arrived) / 60 : 0;
	struct domain_count *d;
	unsigned age = 0;
	const char *at;
	size_t i;

	for (; age + 1 < AGES && minutes >= limit; limit *= 2)
		age++;
	for (i = 0; i < q->rcpts.n && !s->failed; i++) {
		at = strrchr(q->rcpts.v[i].addr, '@');
		if ((d = count_of(s, at != NULL ? at + 1 : "")) == NULL) {
			s->failed = 1;
			return;
		}
		d->n++;
		d->age[age]++;
	}
}

static int
more(const void *a, const void *b)
{
	const struct domain_count *x = a, *y = b;

	return x->n != y->n ? (x->n < y->n ? 1 : -1) : strcasecmp(x->domain, y->domain);
}

static void
put_counts(const char *name, const struct domain_count *d)
{
	unsigned i;

	(void)printf("%-30s %7" PRIu64, name, d->n);
	for (i = 0; i < AGES; i++)
		(void)printf(" %5" PRIu64, d->age[i]);
	(void)putchar('\n');
}

static void
summary_table(const struct summary *s)
{
	struct domain_count all = {.n = 0};
	unsigned limit = AGE_FIRST, i;
	size_t k;

	(void)printf("%-30s %7s", "", "T");
	for (i = 0; i + 1 < AGES; i++, limit *= 2)
		(void)printf(" %5u", limit);
	(void)printf(" %4u+\n", limit / 2);
	for (k = 0; k < s->n; k++)
		for (all.n += s->v[k].n, i = 0; i < AGES; i++)
			all.age[i] += s->v[k].age[i];
	put_counts("TOTAL", &all);
	for (k = 0; k < s->n; k++)
		put_counts(shown(s->v[k].domain), &s->v[k]);
}

static int
summary_json(const struct summary *s)
{
	struct json_list list;
	size_t k;

	json_list_begin(&list, "domains");
	for (k = 0; k < s->n; k++) {
		struct shown_age ages[AGES];
		struct shown_summary x = {s->v[k].domain, s->v[k].n, {ages, AGES}};
		uint32_t limit = AGE_FIRST;
		unsigned i;

		for (i = 0; i < AGES; i++, limit *= 2)
			ages[i] = (struct shown_age){i + 1 < AGES ? limit : 0, s->v[k].age[i]};
		json_list_item(&list, &rec_shown_summary, &x);
	}
	return json_list_end(&list);
}

int
verb_queue_summary(struct gwctl *t, int argc, char *argv[])
{
	struct summary s = {.now = clock_unix()};
	struct queue_choice choice;
	struct ipc c;
	size_t i;
	int rc;

	if ((rc = queue_options(&choice, Q_LIST, argc, argv)) != 0)
		return rc;
	if (choice.how == LIST_NAMES)
		return complain_usage();
	if ((rc = queue_connect(t, &c)) != 0)
		return rc;
	rc = queue_each(&c, &choice.filter, sum_one, &s, NULL);
	ipc_close(&c);
	if (rc == 0 && s.failed)
		rc = complain(EX_OSERR, "out of memory");
	if (rc == 0 && s.n > 0)
		qsort(s.v, s.n, sizeof *s.v, more);
	if (rc == 0 && choice.how == LIST_JSON)
		rc = summary_json(&s);
	else if (rc == 0)
		summary_table(&s);
	for (i = 0; i < s.n; i++)
		free(s.v[i].domain);
	free(s.v);
	return rc;
}
