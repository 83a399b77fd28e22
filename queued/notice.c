/*
 * Notices to senders: written here, and queued in the same group as the state of the message that
 * they tell of, so that a crash neither loses nor doubles one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "mail/dsn.h"
#include "queued/queued.h"

#define NOTICE_MAX (4 * 1024 * 1024) /* octets of one */
#define RETURN_MAX (50 * 1024) /* octets of a message that is returned whole */
#define NOTICE_PRIORITY 3
#define MSGID_MAX 255

/* A group on its way to the disk. */
struct group {
	LIST_ENTRY(group) next;
	struct msg *m;
	struct msg *notices[2];
	enum notice_kind kinds[2];
	unsigned n;
};

static LIST_HEAD(, group) groups = LIST_HEAD_INITIALIZER(groups);

struct kind {
	const char *subject, *before, *after, *event;
};

static const struct kind kinds[] = {
    [NOTICE_FAILED] = {"Undelivered mail returned to sender",
	"Your message could not be delivered to these recipients:",
	"The gateway does not try again by itself.", "sender non-delivery notification"},
    [NOTICE_DELAYED] = {"Your mail is delayed",
	"Your message has not reached these recipients yet:",
	"You need not send it again: the gateway goes on trying, and tells you if it gives up.",
	"sender delay notification"},
    [NOTICE_SUCCESS] = {"Your mail was delivered",
	"Your message was delivered to these recipients, or handed to a mail server that does\n"
	"not send such notices itself:",
	"", "sender delivery status notification"},
};

static const struct kind to_postmaster = {"Undeliverable notice",
    "A message from <>, most often a notice, could not be delivered to these recipients:",
    "It has nobody to be returned to, and is gone.", "postmaster non-delivery notification"};

static int
is_null(const struct msg *m)
{
	return msg_text(m, MT_SENDER)[0] == '\0';
}

/* ---- who is told of what ---- */

static int
is_told(const struct msg *m, const struct rcpt *r, enum notice_kind kind)
{
	switch (kind) {
	case NOTICE_FAILED:
		/* A notice about a notice says NEVER: there is no third. */
		return r->state == R_FAILED &&
		       (is_null(m) ? r->notify != RCPT_NEVER
				   : r->notify == 0 || (r->notify & RCPT_FAILURE) != 0);
	case NOTICE_SUCCESS:
		return r->state == R_DELIVERED;
	default:
		return (r->state == R_TASK || r->state == R_DEFERRED) && !r->told &&
		       (r->notify == 0 || (r->notify & RCPT_DELAY) != 0);
	}
}

static enum dsn_action
action_of(const struct rcpt *r, enum notice_kind kind)
{
	if (kind == NOTICE_FAILED)
		return DSN_FAILED;
	if (kind == NOTICE_DELAYED)
		return DSN_DELAYED;
	return r->relayed ? DSN_RELAYED : DSN_DELIVERED;
}

static const char *
status_of(const struct rcpt *r, enum notice_kind kind)
{
	if (r->diag != NULL && r->diag->dsn[0] != '\0')
		return r->diag->dsn;
	return kind == NOTICE_FAILED ? "5.0.0" : kind == NOTICE_DELAYED ? "4.0.0" : "2.0.0";
}

static size_t
gather(const struct msg *m, enum notice_kind kind, struct dsn_rcpt *out)
{
	const struct rcpt *r;
	size_t i, n = 0;

	for (i = 0; i < m->nrcpts; i++) {
		r = &m->rcpts[i];
		if (!is_told(m, r, kind))
			continue;
		out[n++] = (struct dsn_rcpt){
		    .addr = rcpt_addr(m, r),
		    .orcpt = rcpt_orcpt(m, r),
		    .action = action_of(r, kind),
		    .status = status_of(r, kind),
		    .mta = r->diag != NULL ? diag_mta(r->diag) : "",
		    .text = r->diag != NULL          ? diag_text(r->diag)
			    : kind == NOTICE_DELAYED ? "it has not been tried yet"
						     : "",
		    .until = kind == NOTICE_DELAYED ? life_end(m) / 1000 : 0,
		};
	}
	return n;
}

/* ---- the text ---- */

static ssize_t
read_message(void *ctx, void *p, size_t n, uint64_t off)
{
	const struct msg *m = ctx;

	if (off >= m->size)
		return 0;
	if (n > m->size - off)
		n = (size_t)(m->size - off);
	return qstore_read(Q.store, m->id, p, n, off) == -1 ? -1 : (ssize_t)n;
}

/*
 * RFC 3461, 4.3: all of it only where that was asked for, and only with a failure; RFC 8689, 5:
 * of one that wants TLS on its whole way only what names it, for the notice may go without.
 */
static enum dsn_return
what_of(const struct msg *m, enum notice_kind kind)
{
	if (m->conceal || m->requiretls)
		return DSN_FIELDS;
	if (kind == NOTICE_FAILED && !is_null(m) && m->ret == MAIL_RET_FULL &&
	    m->body != OCTETS_BINARY)
		return DSN_MESSAGE;
	return DSN_HEADERS;
}

static int
needs_utf8(const struct msg *m)
{
	size_t i;

	if (!m->smtputf8)
		return 0;
	if (dsn_is_8bit(msg_text(m, MT_SENDER)))
		return 1;
	for (i = 0; i < m->nrcpts; i++)
		if (dsn_is_8bit(rcpt_addr(m, &m->rcpts[i])))
			return 1;
	return 0;
}

/* *eightbit: does it have octets above 127? */
static int
write_text(struct msg *m, enum notice_kind kind, const struct dsn_facts *about,
    const struct kind *words, struct buf *b, int *eightbit)
{
	char before[512];
	struct octets o = {.size = m->size, .pread = read_message, .ctx = m};
	struct dsn_facts f = *about;

	(void)snprintf(before, sizeof before, "This is the mail gateway at %s.\n\n%s",
	    Q.conf->node.hostname, words->before);
	f.hostname = Q.conf->node.hostname;
	f.subject = words->subject;
	f.log_id = msg_text(m, MT_QID);
	f.envid = msg_text(m, MT_ENVID);
	f.before = before;
	f.after = words->after;
	f.label = "The mail server said: ";
	f.arrived = m->arrived / 1000;
	f.now = Q.now / 1000;
	f.message = &o;
	f.what = what_of(m, kind);
	f.hide_subject = m->conceal || m->requiretls;
	f.eightbit = m->body == OCTETS_8BIT;
	f.message_max = RETURN_MAX;
	*eightbit = f.utf8 || (f.what == DSN_MESSAGE && f.eightbit);
	if (dsn_build(&f, b) == 0)
		return 0;
	if (errno == ENOMEM || errno == EMSGSIZE)
		return -1;
	/* Better without the message than not at all. */
	log_warn("%s: a notice is made without its message: %s", f.log_id, strerror(errno));
	buf_reset(b);
	f.message = NULL;
	return dsn_build(&f, b);
}

/* ---- into the queue ---- */

/* One notice into the group that is open. 0 and it is in g, 1 nobody is told, -1 with errno. */
static int
add_notice(struct group *g, enum notice_kind kind)
{
	static struct dsn_rcpt rcpts[RCPTS_MAX];
	struct msg *m = g->m, *fresh;
	int null = is_null(m), eightbit;
	const struct kind *words = null ? &to_postmaster : &kinds[kind];
	char qid[QID_LEN], msgid[MSGID_MAX + 1];
	struct dsn_facts f = {.rcpts = rcpts, .msgid = msgid};
	struct queue_rcpt to = {.orcpt = "", .hold = "", .notify = null ? RCPT_NEVER : 0};
	struct envelope e = {.qid = qid,
	    .tx = msg_text(m, MT_TX),
	    .tenant = msg_text(m, MT_TENANT),
	    .connector = "",
	    .sender = "",
	    .envid = "",
	    .priority = NOTICE_PRIORITY,
	    .arrived = Q.now,
	    .msgid = msgid};
	struct qstore_entry entry = {.envelope = {&e, 1}, .rcpts = {&to, 1}};
	struct octets o;
	struct buf b;
	int rc = -1;

	if ((f.n = gather(m, kind, rcpts)) == 0)
		return 1;
	f.to = to.addr = null ? Q.conf->queue.postmaster : msg_text(m, MT_SENDER);
	if (f.to[0] == '\0' || (null && kind != NOTICE_FAILED))
		return 1;
	qid_new(qid);
	(void)snprintf(msgid, sizeof msgid, "%s.%llx.notice@%s", qid,
	    (unsigned long long)(Q.now / 1000), Q.conf->node.hostname);
	f.utf8 = needs_utf8(m);
	buf_init(&b, NOTICE_MAX);
	if (write_text(m, kind, &f, words, &b, &eightbit) == -1)
		goto out;
	e.body = eightbit ? OCTETS_8BIT : OCTETS_7BIT;
	e.smtputf8 = (uint8_t)f.utf8;
	o = octets_mem(buf_ptr(&b), buf_len(&b));
	entry.size = o.size;
	if ((fresh = msg_new(&e, &to, 1, o.size, NULL)) == NULL)
		goto out;
	if (qstore_add(Q.store, &entry, &o, &fresh->id) == -1) {
		msg_free(fresh);
		goto out;
	}
	g->kinds[g->n] = kind;
	g->notices[g->n++] = fresh;
	rc = 0;
out:
	buf_free(&b);
	return rc;
}

static void
group_free(struct group *g)
{
	while (g->n > 0)
		msg_free(g->notices[--g->n]);
	free(g);
}

static void
launch(const struct msg *m, struct msg *fresh, enum notice_kind kind)
{
	struct log_event e = {.kind = EV_NOTICE,
	    .tx = msg_text(m, MT_TX),
	    .qid = msg_text(m, MT_QID),
	    .tenant = msg_text(m, MT_TENANT),
	    .connector = msg_text(m, MT_CONNECTOR),
	    .rcpt = msg_text(fresh, MT_QID),
	    .text = is_null(m) ? to_postmaster.event : kinds[kind].event};

	Q.tally.notices++;
	proc_event(&e);
	log_msg(fresh, EV_MESSAGE, "");
	log_msg(fresh, EV_QUEUED, "");
	life_begin(fresh);
}

static void
on_durable(void *arg, int ok, const char *why)
{
	struct group *g = arg;
	struct msg *m = g->m;
	unsigned i;

	round_begin();
	LIST_REMOVE(g, next);
	Q.groups--;
	if (!ok)
		log_warn("%s: a notice could not be queued, it is tried again: %s",
		    msg_text(m, MT_QID), why);
	for (i = 0; ok && i < g->n; i++) {
		if (msg_link(g->notices[i]) == -1)
			/* Out of memory: a restart finds it on the disk. */
			log_err("%s: %s", msg_text(g->notices[i], MT_QID), strerror(errno));
		else {
			launch(m, g->notices[i], g->kinds[i]);
			g->notices[i] = NULL;
		}
	}
	for (i = 0; i < g->n; i++)
		if (g->notices[i] != NULL)
			msg_free(g->notices[i]);
	free(g);
	life_settled(m, ok);
	kick();
}

/* The message's state goes with its notices. */
static int
commit(struct group *g)
{
	struct qstore_state s;

	life_state(g->m, &s);
	if (qstore_change(Q.store, g->m->id, &s) == -1 ||
	    qstore_commit(Q.store, 0, on_durable, g) == -1)
		return -1;
	LIST_INSERT_HEAD(&groups, g, next);
	Q.groups++;
	return 0;
}

static struct group *
group_begin(struct msg *m)
{
	struct group *g = calloc(1, sizeof *g);

	if (g == NULL)
		return NULL;
	g->m = m;
	if (qstore_begin(Q.store) == -1) {
		free(g);
		return NULL;
	}
	return g;
}

static void
give_up(struct group *g)
{
	/* That there is no room is told once, not for each of them. */
	if (errno != ENOSPC && errno != EAGAIN)
		log_warn(
		    "%s: no notice can be queued now: %s", msg_text(g->m, MT_QID), strerror(errno));
	qstore_abort(Q.store);
	group_free(g);
}

/* What cannot be told to anybody is in the log at least. */
static void
log_dropped(const struct msg *m)
{
	size_t i, n = 0;

	for (i = 0; i < m->nrcpts; i++)
		n += m->rcpts[i].state == R_FAILED;
	if (n == 0 || !is_null(m))
		return;
	Q.tally.dropped++;
	log_warn("%s: undeliverable, and its sender is <>: dropped", msg_text(m, MT_QID));
}

int
notice_settle(struct msg *m)
{
	struct group *g = group_begin(m);
	struct rcpt *r;
	size_t i;
	int failed, success;

	if (g == NULL)
		return -1;
	/* The message ends with it, or nearly so. */
	qstore_frees(Q.store);
	failed = add_notice(g, NOTICE_FAILED);
	success = failed == -1 ? -1 : add_notice(g, NOTICE_SUCCESS);
	if (failed == -1 || success == -1) {
		give_up(g);
		return -1;
	}
	if (g->n == 0) {
		log_dropped(m);
		qstore_abort(Q.store);
		group_free(g);
		return 1;
	}
	for (i = 0; i < m->nrcpts; i++) {
		r = &m->rcpts[i];
		if (r->state != R_FAILED && r->state != R_DELIVERED)
			continue;
		r->was = r->state & 15;
		rcpt_set(m, r, R_SETTLING);
	}
	if (commit(g) == 0)
		return 0;
	for (i = 0; i < m->nrcpts; i++)
		if (m->rcpts[i].state == R_SETTLING)
			rcpt_set(m, &m->rcpts[i], (enum rcpt_state)m->rcpts[i].was);
	give_up(g);
	return -1;
}

int
notice_delay(struct msg *m)
{
	struct group *g = group_begin(m);
	size_t i;
	int rc;

	if (g == NULL)
		return -1;
	if ((rc = add_notice(g, NOTICE_DELAYED)) != 0) {
		if (rc == 1) {
			qstore_abort(Q.store);
			group_free(g);
		} else
			give_up(g);
		return rc;
	}
	for (i = 0; i < m->nrcpts; i++)
		if (is_told(m, &m->rcpts[i], NOTICE_DELAYED))
			m->rcpts[i].told = 2;
	if (commit(g) == 0)
		return 0;
	for (i = 0; i < m->nrcpts; i++)
		if (m->rcpts[i].told == 2)
			m->rcpts[i].told = 0;
	give_up(g);
	return -1;
}

void
notices_free(void)
{
	struct group *g;

	while ((g = LIST_FIRST(&groups)) != NULL) {
		LIST_REMOVE(g, next);
		group_free(g);
	}
}
