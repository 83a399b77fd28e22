/* A message for the queue is whole: what is in front of it, what it wants, and who has to see it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "smtpd/queue.h"
#include "smtpd/trace.h"

void
queue_message_free(struct intake *in)
{
	inbound_free(in);
	free(in->screen_rcpts);
	in->screen_rcpts = NULL;
	free(in->scan);
	in->scan = NULL;
	in->head.msgid[0] = '\0';
	in->opened = in->unopened = 0;
}

/* --- as it comes --- */

static int
begin_scan(struct session *s)
{
	size_t i;

	for (i = 0; i < s->nrcpts && !s->rcpts[i].reads; i++)
		;
	if (i == s->nrcpts)
		return 0;
	if ((s->intake->scan = malloc(sizeof *s->intake->scan)) == NULL)
		return -1;
	mail_scan_init(s->intake->scan);
	return 0;
}

int
queue_text(struct session *s)
{
	const struct trace_facts f = {.helo = s->helo,
	    .name = s->name,
	    .ip = s->client,
	    .hostname = s->route->hostname,
	    .tls = conn_tls_text(s->c),
	    .esmtp = s->esmtp,
	    .utf8 = s->mail.smtputf8,
	    .authed = s->authed,
	    .qid = s->qid,
	    .rcpt = s->nrcpts == 1 ? s->rcpts[0].addr : NULL,
	    .when = s->arrived};
	struct buf b;
	int rc;

	if (begin_scan(s) == -1)
		return -1;
	buf_init(&b, TRACE_MAX);
	rc = trace_received(&b, &f);
	if (rc == 0)
		rc = spool_write(&s->spool, buf_ptr(&b), buf_len(&b));
	/* The name of a client has octets as it likes, in a transaction of SMTPUTF8. */
	if (rc == 0 && s->mail.smtputf8)
		for (; buf_len(&b) > 0; buf_drain(&b, 1))
			s->wide |= *buf_ptr(&b);
	buf_free(&b);
	return rc;
}

void
queue_took(struct session *s, const void *p, size_t n)
{
	if (s->intake->scan != NULL)
		mail_scan_feed(s->intake->scan, p, n);
}

/* --- whole --- */

static void
refuse(struct session *s, unsigned code, const char *text)
{
	struct answer a;

	answer_set(&a, code, "%s", text);
	session_log_reject(s, "END-OF-MESSAGE", &a, NULL);
	data_finish(s, &a);
}

/* Octets of the header, our own field with it. */
static uint64_t
header_length(const struct session *s)
{
	return s->spool.size - s->text + s->header;
}

/* Without the fields that only we may write. */
static int
strip(struct session *s)
{
	struct spool clean;
	struct sink to;

	spool_init(&clean, s->spool.max, smtpd_spool);
	to = spool_sink(&clean);
	if (head_strip(&s->octets, header_length(s), &to) == -1) {
		spool_free(&clean);
		return -1;
	}
	spool_free(&s->spool);
	s->spool = clean;
	return spool_octets(&s->spool, &s->octets);
}

void
queue_wants(const struct session *s, struct secure_req *q)
{
	/*
	 * Whom it goes to takes 8BITMIME or not: what is signed is written so that it passes in any
	 * case.  Addresses that need SMTPUTF8 need it there, too.
	 */
	q->eightbit = 0;
	q->smtputf8 = (uint8_t)s->mail.smtputf8;
	q->max_size = 0;
}

/* Where the answer is that of everybody who sends without a login. */
static int
is_kept(const struct session *s)
{
	return s->nrcpts == 1 && !s->authed;
}

static void
on_screened(int worker, void *arg)
{
	struct session *s = arg;

	if (!worker && is_kept(s))
		screen_keep(s->route->connector, s->mail.path.addr, s->rcpts[0].addr);
	if (worker)
		secure_begin(s);
	else
		put_begin(s);
}

/* Have keys or people to do with it? */
static void
screen(struct session *s)
{
	struct intake *in = s->intake;
	size_t i;

	if (is_kept(s) && screen_find(s->route->connector, s->mail.path.addr, s->rcpts[0].addr)) {
		put_begin(s);
		return;
	}
	if (s->worker == NULL)
		s->worker = proxy_worker_new(s->route, "", "", s->by_address, s->client);
	free(in->screen_rcpts);
	in->screen_rcpts = calloc(s->nrcpts, sizeof *in->screen_rcpts);
	if (s->worker == NULL || in->screen_rcpts == NULL) {
		secure_defer(s, strerror(errno));
		return;
	}
	for (i = 0; i < s->nrcpts; i++)
		in->screen_rcpts[i].addr = s->rcpts[i].addr;
	in->screen = (struct screen_req){.sender = s->mail.path.addr};
	in->screen.rcpts.v = in->screen_rcpts;
	in->screen.rcpts.n = s->nrcpts;
	if (proxy_worker_screen(s->worker, &in->screen, on_screened, s) == -1)
		secure_defer(s, strerror(errno));
}

/* Does its sender want something, in words that the policy knows? */
static int
asks(const struct session *s)
{
	const char *one = s->rcpts[0].addr, **all;
	size_t i;
	int yes;

	if (s->nrcpts == 1)
		return head_asks(&s->intake->head, s->mail.path.addr, &one, 1);
	if ((all = calloc(s->nrcpts, sizeof *all)) == NULL)
		return 1;
	for (i = 0; i < s->nrcpts; i++)
		all[i] = s->rcpts[i].addr;
	yes = head_asks(&s->intake->head, s->mail.path.addr, all, s->nrcpts);
	free(all);
	return yes;
}

static void
come_in(struct session *s)
{
	struct intake *in = s->intake;

	if (in->head.forged && strip(s) == -1) {
		log_err("%s: cannot keep a message: %s", s->qid, strerror(errno));
		refuse(s, 452, "4.3.0 the gateway cannot keep it now");
	} else if (in->scan != NULL &&
		   (mail_scan_end(in->scan) & MAIL_SCAN_WORKER & ~(unsigned)MAIL_SCAN_FORGED) != 0)
		inbound_begin(s);
	else
		put_begin(s);
}

/* Would its first line go on with the field that we have put in front?  1, 0, or -1 with errno. */
static int
goes_on(struct session *s)
{
	uint8_t first;

	if (s->text == 0)
		return 0;
	if (octets_read(&s->octets, &first, 1, s->spool.size - s->text) == -1)
		return -1;
	return first == ' ' || first == '\t';
}

void
queue_message(struct session *s)
{
	struct intake *in = s->intake;
	int bad = goes_on(s);

	if (bad == 1) {
		refuse(s, 554, "5.6.0 the message begins with white space");
		return;
	}
	if (bad == -1 || head_read(&in->head, &s->octets, header_length(s)) == -1) {
		refuse(s, 451, "4.3.0 the gateway cannot read the message now");
		return;
	}
	/* One is ours. */
	if (in->head.received > HEAD_HOPS_MAX + 1) {
		refuse(s, 554, "5.4.6 too many hops: this message goes round in a loop");
		return;
	}
	tally.messages_in++;
	if (s->route->service == CONF_MX)
		come_in(s);
	else if (asks(s))
		secure_begin(s);
	else
		screen(s);
}
