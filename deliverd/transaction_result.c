/* What becomes of each recipient. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deliverd/client_int.h"

const char *
tx_keep(struct transaction *t, const char *s)
{
	size_t n = strlen(s) + 1;
	struct tx_text *x = malloc(sizeof *x + n);

	if (x == NULL)
		return "";
	memcpy(x->s, s, n);
	x->next = t->texts;
	t->texts = x;
	return x->s;
}

bool
tx_yes(const struct smtp_reply *r)
{
	return r->code / 10 == 25;
}

struct client_rcpt
tx_result(struct client *c, const struct smtp_reply *r, const char *reply_to)
{
	struct client_rcpt res = {.said = true, .reply_to = reply_to};
	char text[DIAG_MAX + 1];

	if (tx_yes(r))
		res.status = c->features & CF_DSN ? JOB_SENT : JOB_RELAYED;
	else
		res.status = r->code < 500 ? JOB_DELAYED : JOB_FAILED;
	reply_dsn(res.dsn, r, (char)('0' + r->code / 100));
	res.text = tx_keep(&c->tx, reply_line(text, sizeof text, r));
	return res;
}

struct client_rcpt
tx_ours(struct transaction *t, enum job_status status, const char *dsn, const char *fmt, ...)
{
	struct client_rcpt res = {.status = status, .reply_to = ""};
	char text[DIAG_MAX + 1];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	(void)snprintf(res.dsn, sizeof res.dsn, "%s", dsn);
	res.text = tx_keep(t, text);
	return res;
}

void
tx_set(struct transaction *t, size_t i, enum tx_state now, const struct client_rcpt *res)
{
	const struct job_rcpt *to = t->m->rcpts[i].to;

	t->m->rcpts[i] = *res;
	t->m->rcpts[i].to = to;
	if (t->state != NULL)
		t->state[i] = (uint8_t)now;
}

void
tx_set_all(
    struct transaction *t, enum tx_state in, enum tx_state now, const struct client_rcpt *res)
{
	size_t i;

	for (i = 0; i < t->m->n; i++)
		if (t->state[i] == in)
			tx_set(t, i, now, res);
}

void
tx_set_rest(struct transaction *t, const struct client_rcpt *res)
{
	size_t i;

	for (i = 0; i < t->m->n; i++)
		if (t->state == NULL || t->state[i] != TX_DONE)
			tx_set(t, i, TX_DONE, res);
}

void
tx_turn(struct transaction *t, enum tx_state from, enum tx_state to)
{
	size_t i;

	for (i = 0; t->state != NULL && i < t->m->n; i++)
		if (t->state[i] == from)
			t->state[i] = (uint8_t)to;
}

size_t
tx_next(const struct transaction *t, size_t i, enum tx_state state)
{
	while (i < t->m->n && t->state[i] != state)
		i++;
	return i;
}

void
tx_free(struct transaction *t)
{
	struct tx_text *x;

	while ((x = t->texts) != NULL) {
		t->texts = x->next;
		free(x);
	}
	downgrade_free(t->encoder);
	if (t->has_spool)
		spool_free(&t->spool);
	if (t->state != t->few)
		free(t->state);
}
