/* One message at a server: commands, replies, text. */
#include "deliverd/transaction.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "deliverd/client_int.h"

#define END_FACTOR 5 /* the reply to the end of the text takes that many times longer */
#define TEXT_FACTOR 10 /* the text that many times, and a second for each KiB */
#define WINDOW (32 * 1024) /* octets of a message in a file, at a time */
#define ROOM_MIN (64 * 1024) /* octets of room that are worth going on with the text */
#define MARK_ROOM 16 /* of it for the end mark */

/* --- the end of it --- */

void
tx_drop(struct client *c)
{
	tx_free(&c->tx);
	memset(&c->tx, 0, sizeof c->tx);
}

/* Tell of the results; in there the next message may begin. */
static void
finish(struct client *c)
{
	struct client_mail *m = c->tx.m;
	struct transaction old;

	/* It reads the message, which may be gone behind done. */
	downgrade_free(c->tx.encoder);
	c->tx.encoder = NULL;
	old = c->tx;
	if (old.state == c->tx.few)
		old.state = NULL;
	memset(&c->tx, 0, sizeof c->tx);
	c->used = true;
	if (c->phase == CP_READY)
		client_clock(c, 0);
	m->done(c, m, m->arg);
	tx_free(&old);
}

/* Nobody is left to be tried, or only in another round; told when all input was looked at. */
static void
over(struct client *c)
{
	struct transaction *t = &c->tx;
	size_t i;

	for (i = 0; t->mail_refused && i < t->m->n; i++)
		if (t->state[i] < TX_SAID)
			tx_set(t, i, TX_SAID, &t->refusal);
	/* Each round has taken somebody, so this comes to an end. */
	t->again = t->later > 0 && t->accepted;
	if (t->again)
		tx_turn(t, TX_LATER, TX_WAITS);
	t->step = TX_OVER;
}

bool
tx_settles(const struct client *c)
{
	return c->tx.step == TX_TEXT_DUE || c->tx.step == TX_OVER;
}

const char *
tx_doing(const struct client *c)
{
	const struct transaction *t = &c->tx;

	switch (t->step) {
	case TX_TALKING:
		return t->rset_due    ? "sending RSET"
		       : t->mail_due  ? "sending MAIL FROM"
		       : t->asked > 0 ? "sending RCPT TO"
				      : "sending DATA command";
	case TX_TEXT_DUE:
	case TX_TEXT:
		return "sending message body";
	case TX_END:
	case TX_OVER:
		return "sending end of data -- message may be sent more than once";
	default:
		return "waiting for the next message";
	}
}

/* What a reply now would answer. */
static const char *
due_command(const struct transaction *t)
{
	switch (t->step) {
	case TX_TALKING:
		return t->rset_due    ? "RSET command"
		       : t->mail_due  ? "MAIL FROM command"
		       : t->asked > 0 ? "RCPT TO command"
		       : t->data_due  ? "DATA command"
				      : "";
	case TX_TEXT:
	case TX_END:
		return "end of DATA command";
	default:
		return "";
	}
}

void
tx_failed(struct client *c, const struct client_failure *why)
{
	struct transaction *t = &c->tx;
	struct client_rcpt res = {.status = JOB_DELAYED, .said = why->said};
	bool early = t->step < TX_TEXT;

	if (t->step == TX_NONE)
		return;
	(void)snprintf(res.dsn, sizeof res.dsn, "4%s", why->dsn + 1);
	res.text = tx_keep(t, why->text);
	res.reply_to = why->said ? due_command(t) : "";
	/* Out of step, or a reply was left out: nobody knows whom the others were about. */
	if (why->end != CLIENT_GARBLED && !c->silent)
		tx_turn(t, TX_SAID, TX_DONE);
	tx_turn(t, TX_LATER, TX_DONE);
	t->m->site = why->end == CLIENT_BYE || (early && why->end != CLIENT_OURS);
	t->m->stale =
	    c->used && early && !t->heard && (why->end == CLIENT_LOST || why->end == CLIENT_BYE);
	tx_set_rest(t, &res);
	finish(c);
}

/* --- text --- */

/* The pieces of a message, put together so that they leave in one write. */
struct gather {
	struct client *c;
	struct iovec v[CONN_PIECES_MAX];
	unsigned n;
};

static int
gather_flush(struct gather *g)
{
	unsigned n = g->n;

	g->n = 0;
	return n > 0 ? conn_writev(g->c->c, g->v, n) : 0;
}

static int
gather_write(void *ctx, const void *p, size_t n)
{
	struct gather *g = ctx;

	if (g->n == CONN_PIECES_MAX && gather_flush(g) == -1)
		return -1;
	g->v[g->n++] = (struct iovec){(void *)(uintptr_t)p, n};
	return 0;
}

/* The next octets, max at most, as they lie in memory or read from their file; NULL with errno. */
static const uint8_t *
next_octets(const struct octets *o, uint64_t off, size_t max, size_t *n)
{
	static uint8_t window[WINDOW];
	uint64_t left = o->size - off;

	*n = left < max ? (size_t)left : max;
	if (o->mem != NULL)
		return o->mem + off;
	if (*n > sizeof window)
		*n = sizeof window;
	return octets_read(o, window, *n, off) == 0 ? window : NULL;
}

/* One step: 1 when all is out, 0 to go on, -1 when a write has failed or nothing could be read. */
static int
put_text(struct client *c, struct gather *g)
{
	struct transaction *t = &c->tx;
	size_t n, max = conn_room(c->c) - MARK_ROOM;
	const uint8_t *p;
	int rc;

	if (t->facts.dots && !t->bdat)
		max /= 2; /* each octet may be a dot */
	if ((p = next_octets(t->body, t->off, max, &n)) == NULL) {
		client_fail(c, CLIENT_OURS, "3.0", "a message in the queue cannot be read: %s",
		    strerror(errno));
		return -1;
	}
	t->off += n;
	rc = n == 0 ? 0 : t->bdat ? gather_write(g, p, n) : dots_encode(&t->enc, p, n);
	if (rc == 0 && t->off == t->body->size && !t->bdat)
		rc = dots_encode_end(&t->enc);
	if (rc == 0)
		rc = gather_flush(g);
	if (rc == -1) {
		if (errno != EPIPE) { /* then closed tells */
			c->no_memory = true;
			client_wake(c);
		}
		return -1;
	}
	return t->off == t->body->size;
}

static void
stream(struct client *c)
{
	struct transaction *t = &c->tx;
	static struct gather g; /* nothing is left in it between calls */
	int rc = 0;

	g.c = c;
	g.n = 0;
	t->to = (struct sink){gather_write, &g};
	while (rc == 0 && conn_room(c->c) >= ROOM_MIN)
		rc = put_text(c, &g);
	if (rc != 1)
		return;
	t->step = TX_END;
	t->ends = c->how.lmtp ? t->taken : 1;
	conn_set_total(c->c, 0);
	client_clock(c, END_FACTOR);
}

static void
start_text(struct client *c)
{
	struct transaction *t = &c->tx;
	uint64_t ms = (uint64_t)c->how.reply_ms * TEXT_FACTOR;
	char line[64];

	ms = t->size < UINT32_MAX ? ms + t->size : UINT32_MAX;
	t->step = TX_TEXT;
	t->off = 0;
	t->ended = 0;
	client_clock(c, 1);
	conn_set_total(c->c, ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX);
	if (t->bdat) {
		(void)snprintf(line, sizeof line, "BDAT %" PRIu64 " LAST", t->size);
		client_say(c, line);
	} else
		dots_encode_init(&t->enc, &t->to);
	stream(c);
}

/* --- commands --- */

static bool
any_due(const struct transaction *t)
{
	return t->rset_due || t->mail_due || t->asked > 0 || t->data_due;
}

/* Behind the last RCPT. */
static bool
give_data(struct client *c, bool pipe)
{
	struct transaction *t = &c->tx;

	if (t->bdat || !pipe) {
		if (any_due(t) || t->taken == 0)
			return false;
	}
	if (t->bdat) {
		t->step = TX_TEXT_DUE;
		return false;
	}
	client_say(c, "DATA");
	t->data_given = t->data_due = true;
	return true;
}

/* Give the next command, if one may be given now. */
static bool
next_command(struct client *c)
{
	struct transaction *t = &c->tx;
	bool pipe = (c->features & CF_PIPELINING) != 0 && !t->bdat;
	char line[TX_COMMAND_MAX];
	size_t i;

	if ((any_due(t) && !pipe) || t->data_given || conn_room(c->c) < sizeof line + 2)
		return false;
	if (c->dirty) {
		c->dirty = false;
		client_say(c, "RSET");
		return t->rset_due = true;
	}
	if (!t->mail_given) {
		tx_mail_text(line, c);
		client_say(c, line);
		return t->mail_given = t->mail_due = true;
	}
	if (t->mail_refused)
		return false;
	if ((i = tx_next(t, t->ask, TX_WAITS)) == t->m->n)
		return give_data(c, pipe);
	tx_rcpt_text(line, c, t->m->rcpts[i].to);
	client_say(c, line);
	t->state[i] = TX_ASKED;
	t->asked++;
	t->ask = i + 1;
	return true;
}

static void
push(struct client *c)
{
	struct transaction *t = &c->tx;

	while (t->step == TX_TALKING && next_command(c))
		;
	if (t->step != TX_TALKING)
		return;
	if (any_due(t)) {
		client_clock(c, 1);
		return;
	}
	/* It ends before the text: what is open there has to be taken back. */
	c->dirty = !t->mail_refused;
	over(c);
}

void
tx_round(struct client *c)
{
	struct transaction *t = &c->tx;

	t->ask = t->answer = t->taken = t->later = 0;
	t->mail_given = t->mail_refused = t->data_given = t->accepted = t->again = false;
	t->step = TX_TALKING;
	push(c);
}

/* --- replies --- */

static void
garbled(struct client *c, const struct smtp_reply *r, const char *what)
{
	char said[256];

	client_fail(c, CLIENT_GARBLED, "5.0", "%s %s (it said: %s)", c->relay, what,
	    reply_line(said, sizeof said, r));
}

static void
on_mail(struct client *c, const struct smtp_reply *r)
{
	struct transaction *t = &c->tx;

	t->mail_due = false;
	if (tx_yes(r))
		return;
	/* RCPTs that were pipelined are refused as well: their replies come yet, and mean nothing.
	 */
	t->mail_refused = true;
	t->refusal = tx_result(c, r, "MAIL FROM command");
}

/*
 * Has it no room for one more recipient (RFC 5321, 4.5.3.1.10)?  552 5.2.2, 452 4.3.1 and so on are
 * something else.
 */
static bool
is_no_room(const struct smtp_reply *r)
{
	if (r->code != 452 && r->code != 552)
		return false;
	return r->enhanced[0] == '\0' || strcmp(r->enhanced + 1, ".5.3") == 0;
}

static void
on_rcpt(struct client *c, const struct smtp_reply *r)
{
	struct transaction *t = &c->tx;
	size_t i = tx_next(t, t->answer, TX_ASKED);
	struct client_rcpt res;

	t->asked--;
	t->answer = i + 1;
	if (tx_yes(r)) {
		t->state[i] = TX_TAKEN;
		t->taken++;
		return;
	}
	if (t->mail_refused)
		return;
	res = tx_result(c, r, "RCPT TO command");
	if (is_no_room(r) && t->taken > 0) {
		res.status = JOB_DELAYED;
		res.dsn[0] = '4';
		tx_set(t, i, TX_LATER, &res);
		t->later++;
	} else
		tx_set(t, i, TX_SAID, &res);
}

static void
on_data(struct client *c, const struct smtp_reply *r)
{
	struct transaction *t = &c->tx;
	struct client_rcpt res;

	t->data_due = false;
	if (r->code != 354) {
		/* Without recipients it says so, which is no news. */
		if (t->taken > 0 && !t->mail_refused) {
			res = tx_result(c, r, "DATA command");
			tx_set_all(t, TX_TAKEN, TX_SAID, &res);
		}
		return;
	}
	/* No other reply has this number: all before it were what they seemed. */
	tx_turn(t, TX_SAID, TX_DONE);
	if (t->taken > 0 && !t->mail_refused) {
		t->step = TX_TEXT_DUE;
	} else if (t->taken == 0 && !c->how.lmtp) {
		/* It wants a text for nobody: an empty one (RFC 2920, 3.1). */
		client_say(c, ".");
		client_clock(c, END_FACTOR);
		t->step = TX_END;
		t->ends = 1;
	} else
		garbled(c, r, "wants a text that is for nobody");
}

static void
on_end(struct client *c, const struct smtp_reply *r)
{
	struct transaction *t = &c->tx;
	/* Behind BDAT there was no 354. */
	enum tx_state known = t->bdat ? TX_SAID : TX_DONE;
	struct client_rcpt res;
	size_t i;

	t->ends--;
	if (t->taken > 0) {
		res = tx_result(c, r, "end of DATA command");
		if (c->how.lmtp) {
			i = tx_next(t, t->ended, TX_TAKEN);
			tx_set(t, i, known, &res);
			t->ended = i + 1;
		} else
			tx_set_all(t, TX_TAKEN, known, &res);
		t->accepted |= tx_yes(r);
	}
	if (t->ends > 0)
		return;
	if (t->accepted)
		c->sent++;
	over(c);
}

/* A reply while the text is on its way: a refusal, or nonsense. */
static void
on_early(struct client *c, const struct smtp_reply *r)
{
	struct transaction *t = &c->tx;
	struct client_rcpt res;

	if (r->code < 400 || c->how.lmtp) {
		garbled(c, r, "answered a message before its end");
		return;
	}
	res = tx_result(c, r, "end of DATA command");
	tx_set_all(t, TX_TAKEN, TX_DONE, &res);
	client_fail(c, CLIENT_LOST, "4.2", "%s refused a message before its end", c->relay);
}

/* Is this a number that such a reply may have?  354 is told from others elsewhere. */
static bool
fits(const struct transaction *t, const struct smtp_reply *r)
{
	bool data = t->step == TX_TALKING && !t->rset_due && !t->mail_due && t->asked == 0;

	if (t->step == TX_TALKING && t->rset_due)
		return tx_yes(r);
	return r->code >= 400 || (data ? r->code == 354 : tx_yes(r));
}

void
tx_reply(struct client *c, const struct smtp_reply *r)
{
	struct transaction *t = &c->tx;

	if (r->code == 421) {
		client_fail_reply(c, CLIENT_BYE, r);
		return;
	}
	if (t->step == TX_TEXT || (t->step == TX_END && conn_room(c->c) < CLIENT_OUT_MAX)) {
		on_early(c, r);
		return;
	}
	if (t->step != TX_END && (t->step != TX_TALKING || !any_due(t))) {
		garbled(c, r, "answered what nobody had asked");
		return;
	}
	if (!fits(t, r)) {
		garbled(c, r, "gave an answer that does not fit");
		return;
	}
	t->heard = true;
	if (t->step == TX_END) {
		on_end(c, r);
		return;
	}
	if (t->rset_due)
		t->rset_due = false;
	else if (t->mail_due)
		on_mail(c, r);
	else if (t->asked > 0)
		on_rcpt(c, r);
	else
		on_data(c, r);
	push(c);
}

void
tx_settle(struct client *c)
{
	struct transaction *t = &c->tx;

	if (t->step == TX_TEXT_DUE) {
		start_text(c);
	} else if (t->step == TX_OVER) {
		tx_turn(t, TX_SAID, TX_DONE);
		if (t->again)
			tx_round(c);
		else
			finish(c);
	}
}

void
tx_drained(struct client *c)
{
	if (c->tx.step == TX_TEXT)
		stream(c);
	else if (c->tx.step == TX_TALKING)
		push(c);
}
