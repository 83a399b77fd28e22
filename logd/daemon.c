#include <errno.h>
#include <event2/event_struct.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "logd/logd.h"
#include "logd/order.h"
#include "logd/pack.h"
#include "logd/records.h"
#include "logd/scrape.h"
#include "proc/event.h"

#define ADMIN_GROUP "_gwadm" /* may use the tools, and look at the figures */
#define DAY_MS 86400000ULL
#define FACTS_MAX 16
#define INSTANCES_MAX 64 /* as in struct plumb */

static struct output *out;
static struct records *records; /* NULL: log.records = no */
static int metrics_fd = -1;
static char *metrics; /* as configured */
static struct order *order; /* what was said just now */
static struct event flush; /* when it is to be given on */
static struct buf packed;

/* Of the configuration, at hand for each line. */
static struct {
	char tag[LINE_TAG_MAX + 1];
	int postfix_names;
	enum log_level level;
} style;

/* In its order: the line, and the record. */
static void
give(const struct said *s)
{
	const struct line l = {.level = s->level,
	    .tag = style.tag,
	    .who = s->who,
	    .pid = s->pid,
	    .text = s->text,
	    .escaped = s->escaped,
	    .stamp = line_stamp((time_t)(s->when / 1000))};

	if (s->text != NULL)
		output_line(out, &l);
	if (s->event.n > 0 && records != NULL)
		records_event(records, s->event);
}

static void
flush_all(void)
{
	order_flush(order, UINT64_MAX);
	output_flush(out);
}

/* For what is held; the timer of the first of it runs on.  Not for each thing by itself. */
static void
set_timer(uint64_t now)
{
	uint64_t due = order_due(order), ms = due > now ? due - now : 0;
	struct timeval tv = {0, 0};

	if (ms < ORDER_MS / 2)
		ms = ORDER_MS / 2;
	tv.tv_usec = (suseconds_t)((ms < ORDER_MS ? ms : ORDER_MS) * 1000);
	if (due != 0 && !event_pending(&flush, EV_TIMEOUT, NULL))
		(void)event_add(&flush, &tv);
}

/* All lines of this time in one write. */
static void
on_flush(evutil_socket_t fd, short what, void *arg)
{
	uint64_t now = clock_unix_ms();

	(void)fd;
	(void)what;
	(void)arg;
	/* Nothing was said in the future: the clock was set back. */
	if (order_due(order) > now + ORDER_MS)
		order_flush(order, UINT64_MAX);
	order_flush(order, now - ORDER_MS + 1);
	output_flush(out);
	set_timer(now);
}

static void
hold(struct said *s)
{
	uint64_t now = clock_unix_ms();

	if (s->when == 0)
		s->when = now;
	order_add(order, s, now);
	set_timer(now);
}

/* Our own lines wait for nothing: perhaps it is the last one. */
static void
sink(enum log_level level, const char *line, void *arg)
{
	const struct said s = {.when = clock_unix_ms(),
	    .level = level,
	    .who = "logd",
	    .pid = (uint32_t)getpid(),
	    .text = line};

	(void)arg;
	order_flush(order, UINT64_MAX);
	give(&s);
	output_flush(out);
}

/* Whose line it is, the channel says: nobody writes in another's name. */
static void
on_line(struct chan *c, struct ipc_msg *m)
{
	const struct log_line *l = m->body;
	struct said s = {.when = l->when,
	    .level = l->level,
	    .who = line_name(style.postfix_names, chan_peer(c)),
	    .pid = l->pid,
	    .text = l->text};

	hold(&s);
}

/* Batches of several processes come in any order: what can only be behind something else. */
static int
step_of(uint8_t kind)
{
	switch (kind) {
	case EV_QUEUED:
		return 1;
	case EV_DELIVERY:
	case EV_HELD:
	case EV_NOTICE:
	case EV_EXPIRED:
		return 2;
	case EV_REMOVED:
		return 3;
	default:
		return 0;
	}
}

static void
on_event(struct chan *c, struct ipc_msg *m)
{
	const struct log_event *e = m->body;
	char text[EVENT_LINE_MAX];
	struct said s = {.when = e->when,
	    .level = e->level,
	    .who = event_name(style.postfix_names, chan_peer(c), e->kind),
	    .pid = e->pid,
	    .escaped = 1,
	    .step = step_of(e->kind)};

	counts_event(e);
	if (e->level <= style.level) {
		(void)event_line(text, sizeof text, e);
		s.text = text;
	}
	buf_reset(&packed);
	if (records != NULL && pack_event(&packed, proc_name(chan_peer(c)), e) == 0)
		s.event = (struct bytes){buf_ptr(&packed), buf_len(&packed)};
	hold(&s);
}

static void
answer_search(const struct log_search_rep *rep, uint64_t id, void *arg)
{
	(void)chan_send(arg, M_log_search_rep, id, rep, -1);
}

static void
on_search(struct chan *c, struct ipc_msg *m)
{
	const struct log_search_rep none = {
	    .end = 1, .text = "nothing is recorded: log.records is no in the configuration"};

	/* With all that was said before. */
	flush_all();
	if (records != NULL)
		records_search(records, m->body, m->id, answer_search, c);
	else
		answer_search(&none, m->id, c);
}

static const struct chan_handler handlers[] = {
    {M_log_event, on_event}, {M_log_line, on_line}, {M_log_search_req, on_search}, {0, NULL}};

static void
take_style(const struct conf *c)
{
	(void)strlcpy(style.tag, c->log.tag, sizeof style.tag);
	style.postfix_names = c->log.postfix_names;
	style.level = c->log.level;
}

static int
open_metrics(const struct proc_env *env, struct err *e)
{
	const struct group *gr = env->privileged ? getgrnam(ADMIN_GROUP) : NULL;

	if ((metrics = strdup(env->conf->log.metrics)) == NULL)
		return err_sys(e, "metrics");
	metrics_fd = scrape_open(metrics, gr != NULL ? gr->gr_gid : (gid_t)-1, e);
	return metrics_fd == -1 && e->code != 0 ? -1 : 0;
}

/* The folder of the records is the jail: its path is another one there. */
static int
open_records(const struct proc_env *env, struct err *e)
{
	struct records_options o = {
	    .keep_ms = env->conf->log.keep_days * DAY_MS, .size = env->conf->log.keep_size};
	char name[1100];

	if (!env->conf->log.records)
		return 0;
	(void)snprintf(name, sizeof name, "%s/" ARCHIVE_DIR, env->conf->node.state_dir);
	o.name = name;
	o.dir = env->privileged ? "/" : name;
	if ((records = records_new(&o)) == NULL)
		return err_sys(e, "records");
	return sandbox_allow(".", 1, e);
}

static int
logd_open(const struct proc_env *env, struct err *e)
{
	/* The zone's file is out of reach later. */
	tzset();
	take_style(env->conf);
	out = output_open(env->conf, env->uid, env->gid, e);
	if (out == NULL || open_metrics(env, e) == -1)
		return -1;
	return open_records(env, e);
}

static int
logd_start(const struct proc_env *env, struct err *e)
{
	buf_init(&packed, PACKED_MAX);
	if ((order = order_new(give)) == NULL ||
	    evtimer_assign(&flush, env->base, on_flush, NULL) == -1)
		return err_set(e, ENOMEM, "no memory for lines");
	log_set_sink(sink, NULL);
	return records != NULL ? records_check(records, env->base, e) : 0;
}

/* What logd counts, as gwctl status and Prometheus have it. */
static struct fact facts[FACTS_MAX];
static char values[FACTS_MAX][ERR_TEXT_MAX];

static void
add_number(size_t *n, const char *name, uint64_t value)
{
	(void)snprintf(values[*n], sizeof values[*n], "%llu", (unsigned long long)value);
	facts[*n] = (struct fact){name, values[*n]};
	++*n;
}

static void
add_trouble(size_t *n, const char *what, const char *text)
{
	if (text[0] == '\0')
		return;
	/* A fact has 500 octets at most. */
	(void)snprintf(values[*n], sizeof values[*n], "%s: %.400s", what, text);
	facts[*n] = (struct fact){"trouble", values[*n]};
	++*n;
}

static size_t
own_facts(const struct fact **v)
{
	struct output_counts o;
	struct records_counts r;
	size_t n = 0;

	*v = facts;
	output_count(out, &o);
	add_number(&n, "lines", o.written);
	add_number(&n, "lost", o.lost);
	add_trouble(&n, "lines are being lost", o.trouble);
	if (records == NULL)
		return n;
	records_count(records, &r);
	add_number(&n, "records", r.stored);
	add_number(&n, "records.lost", r.lost);
	add_number(&n, "records.octets", r.archive.octets);
	add_number(&n, "records.oldest", r.archive.oldest / 1000);
	add_number(&n, "searches", r.searches);
	add_trouble(&n, "what happens is not recorded", r.trouble);
	return n;
}

static const struct scrape_ops scrape_ops = {.own = counts_put, .facts = own_facts};

static int
logd_serve(const struct proc_env *env, struct err *e)
{
	if (records != NULL && records_start(records, env->base, e) == -1)
		return -1;
	return metrics_fd != -1 ? scrape_serve(metrics_fd, &scrape_ops, e) : 0;
}

/* Searches of a tool that is gone are nobody's; its number may be another's soon. */
static void
logd_plumbed(enum proc_id peer, unsigned instance, struct chan *c)
{
	static struct chan *tools[INSTANCES_MAX];

	scrape_plumbed(peer, instance, c);
	if (peer != P_GWCTL || instance >= INSTANCES_MAX)
		return;
	if (records != NULL && tools[instance] != NULL)
		records_forget(records, tools[instance]);
	tools[instance] = c;
}

static int
logd_reload(const struct proc_env *env, struct err *e)
{
	const struct conf_log *l = &env->conf->log;

	if (strcmp(l->metrics, metrics) != 0)
		return err_set(e, EINVAL, "log: metrics changed: that needs a restart");
	if (l->records != (records != NULL))
		return err_set(e, EINVAL, "log: records changed: that needs a restart");
	if (output_reload(out, env->conf, e) == -1)
		return -1;
	take_style(env->conf);
	if (records != NULL)
		records_limits(records, l->keep_days * DAY_MS, l->keep_size);
	scrape_reload();
	return 0;
}

static void
logd_status(void)
{
	const struct fact *v;
	size_t n = own_facts(&v), i;

	for (i = 0; i < n; i++)
		proc_fact(v[i].name, "%s", v[i].value);
}

static void
logd_reopen(int fd)
{
	flush_all();
	output_reopen(out, fd);
}

static void
stopped(void *arg)
{
	(void)arg;
	flush_all();
	proc_drained();
}

/* All others are gone already; their last words may still be in the channels. */
static void
logd_drain(unsigned seconds)
{
	struct chan *c;
	unsigned p, i;

	(void)seconds;
	for (p = 1; p < P_MAX; p++)
		for (i = 0; i < INSTANCES_MAX; i++)
			if ((c = proc_chan((enum proc_id)p, i)) != NULL)
				chan_poll(c);
	flush_all();
	if (records != NULL)
		records_stop(records, stopped, NULL);
	else
		stopped(NULL);
}

static const struct sandbox sandbox = {
    .calls = SB_UNIX | SB_FILES | SB_MAPFILE | SB_THREADS | SB_ACCEPT,
    .starting = SB_FORK,
    .files = 512,
};

const struct proc logd = {
    .self = P_LOGD,
    .sandbox = &sandbox,
    .handlers = handlers,
    .open = logd_open,
    .start = logd_start,
    .serve = logd_serve,
    .plumbed = logd_plumbed,
    .reload = logd_reload,
    .drain = logd_drain,
    .status = logd_status,
    .reopen = logd_reopen,
};
