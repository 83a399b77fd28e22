/* A message to be sent: what it needs, whether the server has it, or how it can do without. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deliverd/client_int.h"

#define LOOK_STEP (1024 * 1024) /* octets looked at before other connections have their turn */
#define LOOK_WINDOW (64 * 1024)

/* Nobody gets it: told from the loop. */
static void
refuse(struct client *c, enum job_status status, const char *dsn, const char *text)
{
	struct transaction *t = &c->tx;
	struct client_rcpt res = tx_ours(t, status, dsn, "%s", text);

	tx_set_rest(t, &res);
	t->step = TX_OVER;
}

/* --- octets --- */

/* Look at n octets from off on; -1 with errno. */
static int
look_at(struct facts *f, const struct octets *o, uint64_t off, uint64_t n)
{
	static uint8_t window[LOOK_WINDOW];
	size_t part;

	if (o->mem != NULL) {
		facts_add(f, o->mem + off, (size_t)n);
		return 0;
	}
	for (; n > 0; n -= part, off += part) {
		part = n < sizeof window ? (size_t)n : sizeof window;
		if (octets_read(o, window, part, off) == -1)
			return -1;
		facts_add(f, window, part);
	}
	return 0;
}

static int
look_at_all(struct facts *f, const struct octets *o)
{
	facts_init(f);
	if (look_at(f, o, 0, o->size) == -1)
		return -1;
	facts_end(f);
	return 0;
}

static void
cannot_read(struct client *c)
{
	char text[128];

	(void)snprintf(text, sizeof text, "the message in the queue cannot be read or encoded: %s",
	    strerror(errno));
	refuse(c, JOB_DELAYED, "4.3.0", text);
}

/* In a form of 7-bit lines, for a server that takes no other. */
static int
encode(struct client *c)
{
	struct transaction *t = &c->tx;
	bool strange = t->facts.binary && t->m->env->body != OCTETS_BINARY;

	spool_init(&t->spool, INT64_MAX, c->how.spooldir);
	t->has_spool = true;
	if (downgrade(t->m->body, &t->spool) == -1 || spool_octets(&t->spool, &t->encoded) == -1 ||
	    look_at_all(&t->facts, &t->encoded) == -1) {
		if (errno != EOPNOTSUPP)
			cannot_read(c);
		else if (strange)
			refuse(c, JOB_FAILED, "5.6.0",
			    "the message has octets that no mail may have (NUL, or CR and LF "
			    "apart), "
			    "and cannot be encoded");
		else
			refuse(c, JOB_FAILED, "5.6.3",
			    "the message has octets that the server does not take, and cannot be "
			    "encoded: it is signed, or malformed");
		return -1;
	}
	t->body = &t->encoded;
	if (!t->facts.eight && !t->facts.binary)
		return 0;
	refuse(c, JOB_FAILED, "5.6.0", "the message cannot be encoded");
	return -1;
}

/* --- what it needs --- */

static int
check_octets(struct client *c)
{
	struct transaction *t = &c->tx;
	char text[HOST_MAX + CIDR_TEXT_MAX + 120];

	t->bdat = t->facts.binary && t->m->env->body == OCTETS_BINARY &&
		  (c->features & CF_BINARYMIME) != 0;
	if (((t->facts.eight && !(c->features & CF_8BITMIME)) || t->facts.binary) && !t->bdat &&
	    encode(c) == -1)
		return -1;
	/* RFC 1870, 6: with the CRLF that is added, without the dots. */
	t->size = t->facts.size + (t->bdat || t->facts.ends ? 0 : 2);
	if (c->size == 0 || t->size <= c->size)
		return 0;
	(void)snprintf(text, sizeof text,
	    "message size %" PRIu64 " exceeds size limit %" PRIu64 " of server %s", t->size,
	    c->size, c->relay);
	refuse(c, JOB_FAILED, "5.3.4", text);
	return -1;
}

static int
check_tls(struct client *c)
{
	if (!c->tx.m->env->requiretls ||
	    ((c->features & CF_REQUIRETLS) && client_verified(c) && c->how.authentic))
		return 0;
	refuse(c, JOB_FAILED, "5.7.30",
	    c->features & CF_REQUIRETLS
		? "REQUIRETLS was asked for, and the server's name is not verified"
		: "REQUIRETLS was asked for, and the server does not support it");
	return -1;
}

/* Addresses one by one; -1 when nobody is left. */
static int
check_addresses(struct client *c)
{
	struct transaction *t = &c->tx;
	bool utf8 = (c->features & CF_SMTPUTF8) != 0;
	const char *addr, *sender = t->m->env->sender != NULL ? t->m->env->sender : "";
	struct client_rcpt res;
	size_t i;

	if (*sender != '\0' && !tx_path_valid(sender)) {
		refuse(c, JOB_FAILED, "5.1.7", "the sender's address is malformed");
		return -1;
	}
	t->utf8 = utf8 && (t->m->env->smtputf8 || !tx_is_ascii(sender));
	if (!utf8 && !tx_is_ascii(sender)) {
		refuse(c, JOB_FAILED, "5.6.7",
		    "the sender's address needs SMTPUTF8, which the server does not support");
		return -1;
	}
	for (i = 0; i < t->m->n; i++) {
		addr = t->m->rcpts[i].to->addr;
		if (!tx_path_valid(addr))
			res = tx_ours(t, JOB_FAILED, "5.1.3", "the address is malformed");
		else if (!utf8 && !tx_is_ascii(addr))
			res = tx_ours(t, JOB_FAILED, "5.6.7",
			    "the address needs SMTPUTF8, which the server does not support");
		else {
			t->utf8 |= !tx_is_ascii(addr);
			continue;
		}
		tx_set(t, i, TX_DONE, &res);
	}
	if (tx_next(t, 0, TX_WAITS) < t->m->n)
		return 0;
	t->step = TX_OVER;
	return -1;
}

/* RFC 6531, 3.2: fields in UTF-8 go to who takes them only. */
static int
check_header(struct client *c)
{
	struct transaction *t = &c->tx;
	int rc;

	if (!t->m->env->smtputf8 || t->utf8)
		return 0;
	if ((rc = head_is_utf8(t->m->body)) == 0)
		return 0;
	if (rc == -1)
		cannot_read(c);
	else
		refuse(c, JOB_FAILED, "5.6.9",
		    "the header needs SMTPUTF8, which the server does not support");
	return -1;
}

/* All octets were seen. */
static void
looked(struct client *c)
{
	facts_end(&c->tx.facts);
	if (check_tls(c) == 0 && check_addresses(c) == 0 && check_header(c) == 0 &&
	    check_octets(c) == 0)
		tx_round(c);
	else
		client_wake(c);
}

/* --- the beginning --- */

void
tx_soon(struct client *c)
{
	struct transaction *t = &c->tx;
	uint64_t left;

	if (t->step == TX_OVER)
		tx_settle(c);
	if (t->step != TX_LOOKING)
		return;
	left = t->body->size - t->facts.size;
	if (look_at(&t->facts, t->body, t->facts.size, left < LOOK_STEP ? left : LOOK_STEP) == -1) {
		cannot_read(c);
		tx_settle(c);
	} else if (left <= LOOK_STEP)
		looked(c);
	else
		client_wake(c);
}

void
tx_start(struct client *c, struct client_mail *m)
{
	struct transaction *t = &c->tx;
	size_t i;

	memset(t, 0, sizeof *t);
	t->m = m;
	t->body = m->body;
	t->step = TX_LOOKING;
	m->site = m->stale = false;
	for (i = 0; i < m->n; i++)
		m->rcpts[i] =
		    (struct client_rcpt){.to = m->rcpts[i].to, .text = "", .reply_to = ""};
	/* All of them are TX_WAITS. */
	t->state = m->n <= TX_FEW ? t->few : calloc(m->n, sizeof *t->state);
	if (t->state == NULL) {
		c->no_memory = true;
		client_wake(c);
		return;
	}
	facts_init(&t->facts);
	if (m->body->mem == NULL) {
		client_wake(c);
		return;
	}
	facts_add(&t->facts, m->body->mem, (size_t)m->body->size);
	looked(c);
}
