/*
 * Messages on their way to queued.  A transaction whose recipients get different messages is a
 * group of them, of which queued takes all or none.
 */
#include "smtpd/put.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "mail/dsn.h"
#include "smtpd/queue.h"

#define BUCKETS 256
#define PENDING_MAX (IPC_OUT_MAX / 2) /* octets in the channel, then the next message waits */
#define RETRY_MS 5 /* milliseconds until it is looked at again */
#define ANSWER_S 120 /* seconds for queued to answer: its disk may be slow */
#define PRIORITY 5
#define WIDE 0x8080808080808080

LIST_HEAD(put_list, put);

static struct put_list under_way[BUCKETS];
static unsigned count;
static uint64_t last_id;
static int full;

int
put_full(void)
{
	return full;
}

unsigned
put_count(void)
{
	return count;
}

static void
forget(struct put *p)
{
	if (p->s == NULL)
		return;
	LIST_REMOVE(p, next);
	count--;
	p->s = NULL;
	if (p->retry != NULL)
		event_free(p->retry);
	p->retry = NULL;
}

void
put_forget(struct session *s)
{
	forget(&s->intake->put);
}

static void
finish(struct put *p, unsigned code, const char *text)
{
	struct session *s = p->s;
	struct answer a;

	forget(p);
	answer_set(&a, code, "%s", text);
	if (code != 250)
		session_log_reject(s, "END-OF-MESSAGE", &a, NULL);
	data_finish(s, &a);
}

void
put_on_answer(struct chan *c, struct ipc_msg *m)
{
	const struct queue_put_rep *r = m->body;
	struct put *p;
	char text[64];

	(void)c;
	LIST_FOREACH (p, &under_way[m->id % BUCKETS], next)
		if (p->id == m->id)
			break;
	if (p == NULL) /* given up meanwhile */
		return;
	switch (r->status) {
	case QUEUE_OK:
		(void)snprintf(text, sizeof text, "2.0.0 Ok: queued as %s", p->s->qid);
		tally.messages_out += p->n;
		finish(p, 250, text);
		return;
	case QUEUE_FULL:
		finish(p, 452, "4.3.1 Insufficient system storage");
		return;
	case QUEUE_BUSY:
		finish(p, 451, "4.3.2 too much is waiting for the disk, try again later");
		return;
	default:
		log_err("%s: queue: %s", p->s->qid, log_str(r->text));
		finish(p, 451, "4.3.0 the queue cannot take it now, try again later");
	}
}

void
put_on_room(struct chan *c, struct ipc_msg *m)
{
	const struct queue_room *r = m->body;

	(void)c;
	if (full != r->full)
		log_warn("queue: %s%s%s", r->full ? "no room: mail is deferred" : "room again",
		    r->text[0] != '\0' ? ": " : "", log_str(r->text));
	full = r->full;
}

void
put_plumbed(struct chan *c)
{
	struct put *p, *next;
	uint64_t upto = last_id; /* what follows a message in the same session is for the new one */
	size_t i;

	/* The new one tells us anew. */
	full = 0;
	for (i = 0; i < BUCKETS; i++)
		LIST_FOREACH_SAFE (p, &under_way[i], next, next) {
			if (p->id > upto)
				continue;
			/* Perhaps it is on the disk: then it is sent twice, never lost. */
			log_warn("%s: the queue has gone before it answered", p->s->qid);
			finish(p, 451, "4.3.0 the queue is not there now, try again later");
		}
	if (c != NULL)
		queue_came();
}

void
put_expired(struct session *s)
{
	struct put *p = &s->intake->put;

	if (p->s == NULL)
		return;
	log_warn("%s: the queue does not answer", s->qid);
	finish(p, 451, "4.3.0 the queue does not answer, try again later");
}

/* --- what is sent --- */

/* 1, 0, or -1 with errno: has it octets above 127? */
static int
is_wide(struct octets *o)
{
	static uint8_t window[64 * 1024];
	const uint8_t *p = o->mem;
	uint64_t off, v;
	size_t n, i;

	for (off = 0; off < o->size; off += n) {
		n = o->size - off < sizeof window ? (size_t)(o->size - off) : sizeof window;
		if (o->mem != NULL)
			p = o->mem + off;
		else if (octets_read(o, window, n, off) == -1)
			return -1;
		else
			p = window;
		for (i = 0; i + sizeof v <= n; i += sizeof v) {
			memcpy(&v, p + i, sizeof v);
			if (v & WIDE)
				return 1;
		}
		for (; i < n; i++)
			if (p[i] & 0x80)
				return 1;
	}
	return 0;
}

/* NULL: the message as it is, for everybody. */
static struct copy *
copy_at(struct session *s, size_t i)
{
	return s->copies.n > 0 ? &s->copies.v[i] : NULL;
}

static struct queue_rcpt *
list_rcpts(struct session *s, const struct copy *y, size_t *n)
{
	static struct queue_rcpt rcpts[RCPTS_MAX];
	const struct rcpt *r;
	size_t i;

	*n = y != NULL ? y->n : s->nrcpts;
	for (i = 0; i < *n; i++) {
		r = &s->rcpts[y != NULL ? y->who[i] : i];
		rcpts[i] = (struct queue_rcpt){.addr = r->addr,
		    .orcpt = r->orcpt,
		    .notify = (uint8_t)r->notify,
		    .hold = r->held ? "cannot be opened now" : ""};
	}
	return rcpts;
}

/* Lines about a message that is not the transaction's first, and what was done to it. */
static void
log_message(struct session *s, const char *qid, const struct copy *y)
{
	struct log_event e = {
	    .kind = EV_MESSAGE, .qid = qid, .tx = s->qid, .msgid = s->intake->head.msgid};

	if (qid != s->qid)
		session_log_client(s, qid);
	session_event(s, &e);
	if (y == NULL || y->facts[0] == '\0')
		return;
	e = (struct log_event){.kind = EV_CRYPTO, .qid = qid, .tx = s->qid, .text = y->facts};
	e.nrcpt = (uint32_t)y->n;
	session_event(s, &e);
}

static int
fill_blob(struct session *s, struct copy *y, struct envelope *v, struct blob *b, int *fd)
{
	struct octets o;
	int wide = (s->wide & WIDE) != 0;

	if (y == NULL || y->unchanged) {
		v->body = wide ? OCTETS_8BIT : OCTETS_7BIT;
		return spool_send(&s->spool, b, fd);
	}
	if (spool_octets(&y->spool, &o) == -1 || (wide = is_wide(&o)) == -1)
		return -1;
	v->body = wide ? OCTETS_8BIT : OCTETS_7BIT;
	return spool_send(&y->spool, b, fd);
}

/* The next message of the group. 0, or -1 with errno. */
static int
send_one(struct put *p, struct chan *c)
{
	struct session *s = p->s;
	struct copy *y = copy_at(s, p->at);
	char qid[QID_MAX];
	struct blob b;
	struct envelope v = {.qid = s->qid,
	    .tx = s->qid,
	    .tenant = s->tenant,
	    .connector = s->route->connector,
	    .sender = s->mail.path.addr,
	    .envid = s->mail.envid,
	    .ret = (uint8_t)s->mail.ret,
	    .smtputf8 = (uint8_t)s->mail.smtputf8,
	    .requiretls = (uint8_t)s->mail.requiretls,
	    .conceal = (uint8_t)p->conceal,
	    .priority = PRIORITY,
	    .arrived = s->intake->arrived,
	    .msgid = s->intake->head.msgid};
	struct queue_put_req q = {
	    .more = p->at + 1 < p->n, .envelope = {&v, 1}, .message = {&b, 1}};
	int fd;

	if (p->at > 0) {
		envelope_qid(qid);
		v.qid = qid;
	}
	q.rcpts.v = list_rcpts(s, y, &q.rcpts.n);
	if (fill_blob(s, y, &v, &b, &fd) == -1)
		return -1;
	log_message(s, p->at > 0 ? qid : s->qid, y);
	if (chan_send(c, M_queue_put_req, p->id, &q, fd) == -1)
		return -1;
	p->at++;
	return 0;
}

static void send_on(struct put *p);

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	send_on(arg);
}

/* There is room in the channel soon; nobody tells when. */
static void
wait_for_room(struct put *p)
{
	static const struct timeval soon = {0, RETRY_MS * 1000};

	if ((p->retry != NULL || (p->retry = evtimer_new(proc_env()->base, on_retry, p)) != NULL) &&
	    event_add(p->retry, &soon) == 0)
		return;
	finish(p, 451, "4.3.0 out of memory");
}

/* As much of the group as the channel takes. */
static void
send_on(struct put *p)
{
	struct chan *c = proc_chan(P_QUEUED, 0);

	while (p->at < p->n) {
		if (chan_pending(c) > PENDING_MAX) {
			wait_for_room(p);
			return;
		}
		if (send_one(p, c) == 0)
			continue;
		/* What has begun has to come to its end: memory and descriptors come back. */
		if (p->at > 0 && (errno == ENOMEM || errno == EMFILE || errno == ENFILE)) {
			wait_for_room(p);
			return;
		}
		log_err("%s: cannot hand it to the queue: %s", p->s->qid, strerror(errno));
		finish(p, 451, "4.3.0 the queue cannot take it now, try again later");
		return;
	}
}

/* Was any of it encrypted?  Then no notice shows what the others have in clear. */
static int
is_secret(struct session *s)
{
	struct octets o;
	size_t i;

	for (i = 0; i < s->copies.n; i++)
		if (!s->copies.v[i].unchanged &&
		    (spool_octets(&s->copies.v[i].spool, &o) == -1 || dsn_is_encrypted(&o)))
			return 1;
	return 0;
}

void
put_begin(struct session *s)
{
	struct put *p = &s->intake->put;

	p->s = s;
	p->id = ++last_id;
	p->at = 0;
	p->n = s->copies.n > 0 ? s->copies.n : 1;
	p->conceal = s->intake->opened > 0 || is_secret(s);
	LIST_INSERT_HEAD(&under_way[p->id % BUCKETS], p, next);
	count++;
	if (proc_chan(P_QUEUED, 0) == NULL) {
		finish(p, 451, "4.3.0 the queue is not there now, try again later");
		return;
	}
	session_clock(s, ANSWER_S);
	send_on(p);
}
