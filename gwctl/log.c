/* log: what happened to mail, from logd's records. */
#include "gwctl/log.h"

#include <ctype.h>
#include <getopt.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "model/json.h"
#include "proc/event.h"

#define JSON_MAX (256 * 1024) /* octets of one event */
#define ANSWER_MS 30000 /* for one page; a search stops for a breath long before */
#define FOLLOW_MS 1000 /* between two looks at what is new */
#define USUAL_MS 86400000ULL /* that it goes back unless something else is said */

REC_DEFINE(shown_event, REC_SHOWN_EVENT)

int
log_connect(struct gwctl *t, struct ipc *c)
{
	struct err e = {0};
	int rc;

	if ((rc = gwctl_master(t)) != 0)
		return rc;
	return control_channel(&t->master, P_LOGD, 0, c, &e) == 0 ? 0 : complain_err(&e);
}

int
log_each(struct ipc *c, struct log_search_req *q, uint8_t after[16], log_fn fn, void *arg)
{
	const struct log_search_rep *rep;
	struct err e = {0};
	struct ipc_msg m;
	size_t i, looked = 0;
	int rc = 0, end = 0;

	while (!end && rc == 0) {
		if (control_call(c, M_log_search_req, q, M_log_search_rep, &m, ANSWER_MS, &e) ==
		    -1) {
			rc = complain_err(&e);
			break;
		}
		rep = m.body;
		if (rep->text[0] != '\0')
			rc = complain(EX_UNAVAILABLE, "%s", shown(rep->text));
		for (i = 0; i < rep->events.n && rc == 0; i++)
			if (rep->events.v[i].event.n == 1) {
				progress_clear();
				rc = fn(arg, &rep->events.v[i]);
			}
		end = rep->end;
		if (rep->after.n == 16) {
			memcpy(after, rep->after.p, 16);
			q->after = (struct bytes){after, 16};
		} else
			end = 1;
		if (rep->events.n == 0)
			progress("pages searched", ++looked, 0);
		ipc_done(c, &m);
	}
	progress_clear();
	return rc;
}

void
log_json(struct json_list *l, const struct log_found *f)
{
	const struct log_event *e = f->event.v;
	char line[EVENT_LINE_MAX];
	const struct shown_event s = {
	    .time = e->when / 1000,
	    .time_ms = e->when,
	    .daemon = f->who,
	    .pid = e->pid,
	    .kind = event_kind_name(e->kind),
	    .transaction = e->tx,
	    .qid = e->qid,
	    .tenant = e->tenant,
	    .connector = e->connector,
	    .client = e->client,
	    .what = e->what,
	    .helo = e->helo,
	    .protocol = e->proto,
	    .user = e->user,
	    .mechanism = e->mechanism,
	    .sender = e->sender,
	    .rcpt = e->rcpt,
	    .orcpt = e->orcpt,
	    .message_id = e->msgid,
	    .relay = e->relay,
	    .dsn = e->dsn,
	    .status = event_status_name(e->status),
	    .size = e->size,
	    .nrcpt = e->nrcpt,
	    .delay_before = e->delay_a,
	    .delay_queue = e->delay_b,
	    .delay_connect = e->delay_c,
	    .delay_send = e->delay_d,
	    .text = e->text,
	    .line = line,
	};
	struct buf b;

	(void)event_line(line, sizeof line, e);
	if (l != NULL) {
		json_list_item(l, &rec_shown_event, &s);
		return;
	}
	buf_init(&b, JSON_MAX);
	if (json_from_rec(&rec_shown_event, &s, 0, &b) == 0)
		(void)printf("%.*s\n", (int)buf_len(&b), (const char *)buf_ptr(&b));
	buf_free(&b);
}

int
log_id(const char *s, char out[QUEUE_ID_MAX])
{
	size_t i, n = strlen(s);

	if (n == 0 || n >= QUEUE_ID_MAX)
		return -1;
	for (i = 0; i <= n; i++)
		out[i] = (char)toupper((unsigned char)s[i]);
	return 0;
}

enum tint
log_tint(const struct log_event *e)
{
	switch (e->kind) {
	case EV_REJECT:
	case EV_EXPIRED:
	case EV_LOGIN_FAILED:
		return TINT_BAD;
	case EV_HELD:
	case EV_LOST:
		return TINT_WARN;
	case EV_DELIVERY:
		return e->status == ES_SENT       ? TINT_GOOD
		       : e->status == ES_DEFERRED ? TINT_WARN
						  : TINT_BAD;
	default:
		return TINT_NONE;
	}
}

/* ---- gwctl log ---- */

struct listing {
	int how; /* LIST_* */
	int follow;
	char id[QUEUE_ID_MAX];
	struct json_list json;
	void *seen; /* ids that were printed */
};

static int
by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Each transaction once. */
static int
print_id(struct listing *l, const char *id)
{
	char *copy, **there;

	if (id[0] == '\0')
		return 0;
	if ((copy = strdup(id)) == NULL || (there = tsearch(copy, &l->seen, by_name)) == NULL)
		return complain(EX_OSERR, "out of memory");
	if (*there != copy) {
		free(copy);
		return 0;
	}
	(void)printf("%s\n", shown(id));
	return 0;
}

static void
print_line(const struct log_found *f)
{
	const struct log_event *e = f->event.v;
	char when[LOG_TIME_TEXT], line[EVENT_LINE_MAX];
	const char *at = NULL;
	size_t n;

	(void)event_line(line, sizeof line, e);
	(void)printf("%s %s[%u]: ", log_time_text(e->when, when), shown(f->who), e->pid);
	/* Of a delivery the outcome, of others that are told apart the whole line. */
	if (e->kind == EV_DELIVERY)
		at = strstr(line, ", status=");
	n = at != NULL ? (size_t)(at - line) + 2 : 0;
	put_tinted(TINT_NONE, line, n);
	put_tinted(log_tint(e), line + n, strlen(line + n));
	(void)putchar('\n');
}

static int
on_found(void *arg, const struct log_found *f)
{
	struct listing *l = arg;

	if (l->how == LIST_NAMES)
		return print_id(l, f->event.v->tx[0] != '\0' ? f->event.v->tx : f->event.v->qid);
	if (l->how == LIST_TABLE)
		print_line(f);
	else
		log_json(l->follow ? NULL : &l->json, f);
	/* Who reads has gone. */
	return ferror(stdout) ? EX_IOERR : 0;
}

static int
kind_of(const char *name, uint32_t *kinds)
{
	unsigned i;

	for (i = 0; i < EV_MAX; i++)
		if (strcmp(name, event_kind_name(i)) == 0) {
			*kinds |= 1U << i;
			return 0;
		}
	return complain(EX_USAGE, "--kind %s: there is no such kind", shown(name));
}

static int
status_of(const char *name, uint8_t *status)
{
	unsigned i;

	for (i = ES_SENT; i < ES_MAX; i++)
		if (strcmp(name, event_status_name(i)) == 0) {
			*status = (uint8_t)i;
			return 0;
		}
	return complain(EX_USAGE, "--status %s: sent, deferred or bounced", shown(name));
}

static int
time_of(const char *option, const char *s, uint64_t *out)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	if (log_time_parse(s, (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000, out) == 0)
		return 0;
	return complain(EX_USAGE,
	    "--%s %s: write it as \"2026-11-22 13:00\", 13:00, today, yesterday or -2h", option,
	    shown(s));
}

enum {
	O_SINCE = 256,
	O_UNTIL,
	O_FROM,
	O_TO,
	O_CLIENT,
	O_STATUS,
	O_MESSAGE_ID,
	O_TENANT,
	O_KIND,
	O_ID,
	O_FOLLOW,
	O_JSON,
};

/* One option; 0 or the exit code. */
static int
take_option(int o, struct log_search_req *q, struct listing *l, int *since)
{
	switch (o) {
	case O_SINCE:
		*since = 1;
		return time_of("since", optarg, &q->since);
	case O_UNTIL:
		return time_of("until", optarg, &q->until);
	case O_FROM:
		q->sender = optarg;
		return 0;
	case O_TO:
		q->rcpt = optarg;
		return 0;
	case O_CLIENT:
		q->client = optarg;
		return 0;
	case O_STATUS:
		return status_of(optarg, &q->status);
	case O_MESSAGE_ID:
		q->msgid = optarg;
		return 0;
	case O_TENANT:
		q->tenant = optarg;
		return 0;
	case O_KIND:
		return kind_of(optarg, &q->kinds);
	case O_ID:
		q->tx = l->id;
		return log_id(optarg, l->id) == 0
			   ? 0
			   : complain(EX_DATAERR, "--id %s: that is no queue id", shown(optarg));
	case O_FOLLOW:
	case 'f':
		l->follow = 1;
		return 0;
	case O_JSON:
	case 'q':
		if (l->how == LIST_TABLE || l->how == (o == 'q' ? LIST_NAMES : LIST_JSON)) {
			l->how = o == 'q' ? LIST_NAMES : LIST_JSON;
			return 0;
		}
		return complain_usage();
	default:
		return complain_usage();
	}
}

static int
options(struct log_search_req *q, struct listing *l, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"since", required_argument, NULL, O_SINCE},
	    {"until", required_argument, NULL, O_UNTIL},
	    {"from", required_argument, NULL, O_FROM},
	    {"sender", required_argument, NULL, O_FROM},
	    {"to", required_argument, NULL, O_TO},
	    {"rcpt", required_argument, NULL, O_TO},
	    {"client", required_argument, NULL, O_CLIENT},
	    {"status", required_argument, NULL, O_STATUS},
	    {"message-id", required_argument, NULL, O_MESSAGE_ID},
	    {"tenant", required_argument, NULL, O_TENANT},
	    {"kind", required_argument, NULL, O_KIND},
	    {"id", required_argument, NULL, O_ID},
	    {"follow", no_argument, NULL, O_FOLLOW},
	    {"json", no_argument, NULL, O_JSON},
	    {"quiet", no_argument, NULL, 'q'},
	    {NULL, 0, NULL, 0},
	};
	int o, rc, since = 0;

	while ((o = getopt_long(argc, argv, "fq", longs, NULL)) != -1)
		if ((rc = take_option(o, q, l, &since)) != 0)
			return rc;
	if (optind != argc)
		return complain_usage();
	if (l->follow && q->until != 0)
		return complain(EX_USAGE, "--follow has no --until");
	/* What is asked for by its name is wanted however old it is. */
	if (!since && q->tx[0] == '\0' && q->msgid[0] == '\0')
		return time_of("since", l->follow ? "now" : "-1d", &q->since);
	return 0;
}

static int
list(struct ipc *c, struct log_search_req *q, struct listing *l)
{
	const struct timespec pause = {FOLLOW_MS / 1000, FOLLOW_MS % 1000 * 1000000L};
	uint8_t after[16];
	int rc;

	if (l->how == LIST_JSON && !l->follow)
		json_list_begin(&l->json, "events");
	rc = log_each(c, q, after, on_found, l);
	while (l->follow && rc == 0 && fflush(stdout) == 0) {
		(void)nanosleep(&pause, NULL);
		rc = log_each(c, q, after, on_found, l);
	}
	if (l->how == LIST_JSON && !l->follow && json_list_end(&l->json) != 0 && rc == 0)
		rc = EX_OSERR;
	return rc;
}

int
verb_log(struct gwctl *t, int argc, char *argv[])
{
	struct log_search_req q = {
	    .tx = "", .sender = "", .rcpt = "", .client = "", .msgid = "", .tenant = ""};
	struct listing l = {.how = LIST_TABLE};
	struct ipc c = {.fd = -1};
	int rc;

	if ((rc = options(&q, &l, argc, argv)) != 0 || (rc = log_connect(t, &c)) != 0)
		return rc;
	rc = list(&c, &q, &l);
	ipc_close(&c);
	tdestroy(l.seen, free);
	return rc;
}
