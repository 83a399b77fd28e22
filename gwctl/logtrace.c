/* trace: the life of one transaction, from its client to the last delivery. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#include "gwctl/log.h"
#include "proc/event.h"

#define EVENTS_MAX 100000

/* An event that is kept: encoded, and what is in it. */
struct kept {
	struct log_found *f; /* in mem */
	uint8_t *mem;
	size_t number; /* the order in which it came */
};

struct trace {
	struct kept *v;
	size_t n, room;
	char tx[QUEUE_ID_MAX]; /* the transaction that they are of */
};

static void
trace_free(struct trace *t)
{
	size_t i;

	for (i = 0; i < t->n; i++) {
		free(t->v[i].f);
		free(t->v[i].mem);
	}
	free(t->v);
	*t = (struct trace){0};
}

/* A page is gone with the next one. */
static int
keep(struct trace *t, const struct log_found *f)
{
	struct kept *k;
	struct buf b;

	if (t->n == EVENTS_MAX)
		return complain(EX_DATAERR, "more than %d events: use gwctl log --id", EVENTS_MAX);
	if (t->n == t->room) {
		t->room = t->room == 0 ? 64 : 2 * t->room;
		if ((k = reallocarray(t->v, t->room, sizeof *k)) == NULL)
			return complain(EX_OSERR, "out of memory");
		t->v = k;
	}
	k = &t->v[t->n];
	buf_init(&b, IPC_FRAME_MAX);
	if (rec_encode(&rec_log_found, f, &b) == -1 || (k->mem = malloc(buf_len(&b))) == NULL) {
		buf_free(&b);
		return complain(EX_OSERR, "out of memory");
	}
	memcpy(k->mem, buf_ptr(&b), buf_len(&b));
	k->f = rec_decode(&rec_log_found, k->mem, buf_len(&b));
	buf_free(&b);
	if (k->f == NULL) {
		free(k->mem);
		return complain(EX_OSERR, "out of memory");
	}
	k->number = t->n++;
	return 0;
}

static int
on_found(void *arg, const struct log_found *f)
{
	struct trace *t = arg;

	/* A queue id may be that of a copy: the transaction has more. */
	if (f->event.v->tx[0] != '\0')
		(void)strlcpy(t->tx, f->event.v->tx, sizeof t->tx);
	return keep(t, f);
}

static int
collect(struct ipc *c, const char *id, struct trace *t)
{
	struct log_search_req q = {
	    .tx = id, .sender = "", .rcpt = "", .client = "", .msgid = "", .tenant = ""};
	uint8_t after[16];

	return log_each(c, &q, after, on_found, t);
}

static int
by_time(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;
	uint64_t s = x->f->event.v->when, t = y->f->event.v->when;

	if (s != t)
		return s < t ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* ---- telling ---- */

/* The word for a step, and the rest of it in words. */
static const char *
step_name(const struct log_event *e)
{
	static const char *const names[EV_MAX] = {
	    [EV_CLIENT] = "accepted",
	    [EV_CRYPTO] = "policy",
	    [EV_REJECT] = "rejected",
	    [EV_LOST] = "lost",
	    [EV_LOGIN] = "login",
	    [EV_LOGIN_FAILED] = "no login",
	    [EV_ADMIN] = "gwctl",
	};

	if (e->kind == EV_DELIVERY)
		return event_status_name(e->status);
	return e->kind < EV_MAX && names[e->kind] != NULL ? names[e->kind]
							  : event_kind_name(e->kind);
}

static void
client_text(char *out, size_t outsz, const struct log_event *e)
{
	int n = snprintf(out, outsz, "from %s", shown(e->client));

	if (e->user[0] != '\0' && (size_t)n < outsz)
		n += snprintf(out + n, outsz - (size_t)n, ", login %s (%s)", shown(e->user),
		    shown(e->mechanism));
	if (e->connector[0] != '\0' && (size_t)n < outsz)
		n += snprintf(out + n, outsz - (size_t)n, ", connector %s", shown(e->connector));
	if (e->relay[0] != '\0' && (size_t)n < outsz)
		(void)snprintf(out + n, outsz - (size_t)n, ", server %s", shown(e->relay));
}

/* What stands behind the word. */
static void
step_text(char *out, size_t outsz, const struct log_event *e)
{
	out[0] = '\0';
	switch (e->kind) {
	case EV_CLIENT:
	case EV_CONNECT:
	case EV_LOGIN:
		client_text(out, outsz, e);
		break;
	case EV_MESSAGE:
		(void)snprintf(out, outsz, "Message-ID %s", shown(e->msgid));
		break;
	case EV_QUEUED:
		(void)snprintf(out, outsz, "from <%s>, %llu octets, %u recipients",
		    shown(e->sender), (unsigned long long)e->size, e->nrcpt);
		break;
	case EV_DELIVERY:
		(void)snprintf(out, outsz, "<%s> by %s: %s%s%s", shown(e->rcpt),
		    e->relay[0] != '\0' ? shown(e->relay) : "none", shown(e->text),
		    e->dsn[0] != '\0' ? ", " : "", shown(e->dsn));
		break;
	case EV_HELD:
		(void)snprintf(out, outsz, "<%s>: %s", shown(e->rcpt), shown(e->text));
		break;
	case EV_NOTICE:
		(void)snprintf(out, outsz, "%s as %s", shown(e->text), shown(e->rcpt));
		break;
	case EV_EXPIRED:
		(void)snprintf(out, outsz, "returned to <%s>", shown(e->sender));
		break;
	case EV_REJECT:
		(void)snprintf(
		    out, outsz, "%s %s: %s", shown(e->what), shown(e->client), shown(e->text));
		break;
	case EV_LOST:
		(void)snprintf(out, outsz, "%s %s", shown(e->what), shown(e->client));
		break;
	default:
		(void)strlcpy(out, shown(e->text), outsz);
	}
}

/* "+0.123", "+46", "+3 h 2 min": since the first of them. */
static const char *
after_text(uint64_t ms, char out[DATE_TEXT])
{
	char span[DATE_TEXT];

	if (ms < 60000)
		(void)snprintf(out, DATE_TEXT, "+%llu.%03llu s", (unsigned long long)(ms / 1000),
		    (unsigned long long)(ms % 1000));
	else
		(void)snprintf(out, DATE_TEXT, "+%.*s", DATE_TEXT - 2, span_text(ms / 1000, span));
	return out;
}

/* Deliveries to one recipient of one message, the last one last. */
static int
by_rcpt(const void *a, const void *b)
{
	const struct kept *const *x = a, *const *y = b;
	const struct log_event *s = (*x)->f->event.v, *t = (*y)->f->event.v;
	int c = strcmp(s->qid, t->qid);

	if (c == 0)
		c = strcasecmp(s->rcpt, t->rcpt);
	return c != 0 ? c : by_time(*x, *y);
}

/* How many recipients had which last outcome; -1: no memory. */
static int
outcomes(const struct trace *t, unsigned counts[ES_MAX])
{
	const struct kept **v = calloc(t->n + 1, sizeof *v);
	const struct log_event *e, *next;
	size_t i, n = 0;

	memset(counts, 0, ES_MAX * sizeof *counts);
	if (v == NULL)
		return -1;
	for (i = 0; i < t->n; i++)
		if (t->v[i].f->event.v->kind == EV_DELIVERY)
			v[n++] = &t->v[i];
	qsort(v, n, sizeof *v, by_rcpt);
	for (i = 0; i < n; i++) {
		e = v[i]->f->event.v;
		next = i + 1 < n ? v[i + 1]->f->event.v : NULL;
		if (e->status < ES_MAX && (next == NULL || strcmp(e->qid, next->qid) != 0 ||
					      strcasecmp(e->rcpt, next->rcpt) != 0))
			counts[e->status]++;
	}
	free(v);
	return 0;
}

static void
print_summary(const struct trace *t)
{
	static const enum tint tints[ES_MAX] = {
	    [ES_SENT] = TINT_GOOD, [ES_DEFERRED] = TINT_WARN, [ES_BOUNCED] = TINT_BAD};
	unsigned counts[ES_MAX], i, any = 0;
	char text[64];

	(void)outcomes(t, counts);
	put_tinted(TINT_HEAD, "transaction", 11);
	(void)printf(" %s", shown(t->tx[0] != '\0' ? t->tx : t->v[0].f->event.v->qid));
	for (i = ES_SENT; i < ES_MAX; i++) {
		if (counts[i] == 0)
			continue;
		(void)snprintf(text, sizeof text, "%u %s", counts[i], event_status_name(i));
		(void)fputs(any++ > 0 ? ", " : ": ", stdout);
		put_tinted(tints[i], text, strlen(text));
	}
	(void)printf("\n\n");
}

static int
print(const struct trace *t)
{
	static const char *const heads[] = {"TIME", "AFTER", "QUEUE ID", "STEP", "WHAT", NULL};
	char when[LOG_TIME_TEXT], after[DATE_TEXT], text[2048];
	const struct log_event *e;
	struct table table;
	size_t i;

	print_summary(t);
	table_begin(&table, heads);
	for (i = 0; i < t->n; i++) {
		e = t->v[i].f->event.v;
		step_text(text, sizeof text, e);
		table_row(&table, (const char *const[]){log_time_text(e->when, when),
				      after_text(e->when - t->v[0].f->event.v->when, after),
				      shown(e->qid), step_name(e), text});
		table_tint(&table, 3, log_tint(e));
	}
	return table_end(&table);
}

static int
tell(const struct trace *t, int json)
{
	struct json_list l;
	size_t i;

	if (!json)
		return print(t);
	json_list_begin(&l, "events");
	for (i = 0; i < t->n; i++)
		log_json(&l, t->v[i].f);
	return json_list_end(&l);
}

int
verb_trace(struct gwctl *g, int argc, char *argv[])
{
	static const struct option longs[] = {{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
	struct trace t = {0};
	struct ipc c = {.fd = -1};
	char tx[QUEUE_ID_MAX], id[QUEUE_ID_MAX];
	int o, rc, json = 0;

	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (o != 'j')
			return complain_usage();
		json = 1;
	}
	if (optind + 1 != argc)
		return complain_usage();
	if (log_id(argv[optind], id) == -1)
		return complain(EX_DATAERR, "%s: that is no queue id", shown(argv[optind]));
	if ((rc = log_connect(g, &c)) != 0)
		return rc;
	rc = collect(&c, id, &t);
	if (rc == 0 && t.tx[0] != '\0' && strcasecmp(t.tx, id) != 0) {
		(void)strlcpy(tx, t.tx, sizeof tx);
		trace_free(&t);
		rc = collect(&c, tx, &t);
	}
	ipc_close(&c);
	if (rc == 0 && t.n == 0)
		rc = complain(EX_NOINPUT, "%s: nothing is recorded of it", shown(id));
	if (rc == 0) {
		qsort(t.v, t.n, sizeof *t.v, by_time);
		rc = tell(&t, json);
	}
	trace_free(&t);
	return rc;
}
