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

static void
cannot_read(struct client *c)
{
	char text[128];

	(void)snprintf(text, sizeof text, "the message in the queue cannot be read or encoded: %s",
	    strerror(errno));
	refuse(c, JOB_DELAYED, "4.3.0", text);
}

/* Look at the next octets; -1 with errno. */
static int
look(struct facts *f, const struct octets *o)
{
	static uint8_t window[LOOK_WINDOW];
	uint64_t left = o->size - f->size;
	size_t n = left < LOOK_STEP ? (size_t)left : LOOK_STEP, part;

	if (o->mem != NULL) {
		facts_add(f, o->mem + f->size, n);
		return 0;
	}
	for (; n > 0; n -= part) {
		part = n < sizeof window ? n : sizeof window;
		if (octets_read(o, window, part, f->size) == -1)
			return -1;
		facts_add(f, window, part);
	}
	return 0;
}

/* Begin with a form of 7-bit lines, for a server that takes no other. */
static void
start_encoding(struct client *c)
{
	struct transaction *t = &c->tx;

	spool_init(&t->spool, INT64_MAX, c->how.spooldir);
	t->has_spool = true;
	t->step = TX_ENCODING;
	if ((t->encoder = downgrade_start(t->m->body, &t->spool)) == NULL)
		cannot_read(c);
}

static void
go_on_encoding(struct client *c)
{
	struct transaction *t = &c->tx;
	bool strange = t->facts.binary && t->m->env->body != OCTETS_BINARY;
	int rc = downgrade_step(t->encoder);

	if (rc == 0)
		return;
	if (rc == 1 && spool_octets(&t->spool, &t->encoded) == 0) {
		/* It is looked at as the other one was. */
		t->body = &t->encoded;
		facts_init(&t->facts);
		t->step = TX_LOOKING;
	} else if (errno != EOPNOTSUPP)
		cannot_read(c);
	else if (strange)
		refuse(c, JOB_FAILED, "5.6.0",
		    "the message has octets that no mail may have (NUL, or CR and LF apart), and "
		    "cannot be encoded");
	else
		refuse(c, JOB_FAILED, "5.6.3",
		    "the message has octets that the server does not take, and cannot be encoded: "
		    "it is signed, or malformed");
	downgrade_free(t->encoder);
	t->encoder = NULL;
}

/* --- what it needs --- */

/* Does it have to be encoded?  Then 1, and that has begun. */
static int
check_octets(struct client *c)
{
	struct transaction *t = &c->tx;
	bool plain = !t->facts.binary && (!t->facts.eight || (c->features & CF_8BITMIME) != 0);

	t->binary = t->facts.binary && t->m->env->body == OCTETS_BINARY &&
		    (c->features & CF_BINARYMIME) != 0;
	t->bdat = t->binary ||
		  (plain && (c->features & CF_CHUNKING) != 0 && t->facts.size >= TX_BDAT_MIN);
	if (plain || t->binary)
		return 0;
	if (t->has_spool)
		refuse(c, JOB_FAILED, "5.6.0", "the message cannot be encoded");
	else
		start_encoding(c);
	return 1;
}

static int
check_size(struct client *c)
{
	struct transaction *t = &c->tx;
	char text[HOST_MAX + CIDR_TEXT_MAX + 120];

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
	if ((c->tx.has_spool ||
		(check_tls(c) == 0 && check_addresses(c) == 0 && check_header(c) == 0)) &&
	    check_octets(c) == 0 && check_size(c) == 0)
		tx_round(c);
}

/* --- the beginning --- */

/* As far as it goes without holding up others; a message of some size takes several turns. */
static void
go_on(struct client *c)
{
	struct transaction *t = &c->tx;
	bool large = t->m->body->size > LOOK_STEP;

	do {
		if (t->step == TX_ENCODING)
			go_on_encoding(c);
		else if (look(&t->facts, t->body) == -1)
			cannot_read(c);
		else if (t->facts.size == t->body->size)
			looked(c);
	} while (!large && (t->step == TX_LOOKING || t->step == TX_ENCODING));
	if (t->step != TX_TALKING)
		client_wake(c);
}

void
tx_soon(struct client *c)
{
	if (c->tx.step == TX_LOOKING || c->tx.step == TX_ENCODING)
		go_on(c);
	else if (c->tx.step == TX_OVER)
		tx_settle(c);
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
	go_on(c);
}
