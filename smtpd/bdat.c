/* BDAT (RFC 3030): the text of a message in chunks. */
#include <string.h>

#include "net/dots.h"
#include "smtpd/session.h"

/* A chunk beyond this many times the largest message is not waited for. */
#define WAIT_FACTOR 4

/* Why it is not taken, and what is said behind it; NULL: it is. */
static const char *
refusal(const struct session *s, unsigned *code)
{
	*code = 503;
	if (s->route->tls_required && !conn_is_tls(s->c)) {
		*code = 530;
		return "5.7.0 Must issue a STARTTLS command first";
	}
	if (s->state == ST_START)
		return "5.5.1 send HELO or EHLO first";
	if (s->state != ST_MAIL)
		return "5.5.1 send MAIL first";
	if (s->naccepted == 0) {
		*code = s->nrcpts == 0 ? 503 : 554;
		return "5.5.1 no valid recipients";
	}
	return NULL;
}

/* The octets of a chunk are all here. */
static void
chunk_ends(struct session *s)
{
	struct chunk *k = &s->chunk;
	struct answer a;

	session_clock(s, s->route->limits.idle_timeout);
	if (k->code != 0) {
		a.code = k->code;
		k->code = 0;
		s->state = (enum state)k->before;
		session_error(s, a.code, "%s", k->why);
		return;
	}
	s->state = ST_MAIL;
	if (k->last) {
		chunk_lines_end(k);
		if (!chunk_is_whole(k) && s->spooling)
			(void)text_take(s, "\r\n", 2);
		text_ends(s);
		return;
	}
	/* What follows would be for nothing. */
	if (s->refused.code == 0 && k->flags != 0)
		text_refuse(s, 550, "5.6.11 a line of the message does not end with CR LF");
	if (s->refused.code != 0) {
		a = s->refused;
		session_log_reject(s, "BDAT", &a, NULL);
		session_answer(s, &a);
		envelope_reset(s);
		return;
	}
	session_say(s, 250, "2.0.0 Ok: %llu octets received", (unsigned long long)k->size);
}

int
bdat_command(struct session *s, const char *args)
{
	struct chunk *k = &s->chunk;
	uint64_t n;
	int last;

	if ((s->backend->features(s) & F_CHUNKING) == 0) {
		session_error(s, 502, "5.5.1 command not implemented");
		return 0;
	}
	if (chunk_parse(args, &n, &last) == -1 || n > WAIT_FACTOR * s->route->limits.message_size) {
		/* Where the next command is nobody knows, or will live to see. */
		session_error(s, 501, "5.5.4 BDAT needs a number of octets, and perhaps LAST");
		session_end(s);
		return 0;
	}
	k->why = refusal(s, &k->code);
	if (k->why == NULL) {
		k->code = 0;
		if (!k->begun)
			text_begin(s);
		k->begun = 1;
	}
	k->before = s->state;
	k->last = last;
	k->left = k->size = n;
	s->state = ST_CHUNK;
	session_clock(s, s->route->limits.data_timeout);
	if (n == 0)
		chunk_ends(s);
	return 0;
}

int
bdat_input(struct session *s)
{
	struct chunk *k = &s->chunk;
	const uint8_t *p;
	size_t n;

	p = conn_in(s->c, &n);
	if (n == 0) {
		if (s->eof) /* it came while something else was waited for */
			session_left(s, "");
		return 0;
	}
	if (n > k->left)
		n = (size_t)k->left;
	if (k->code == 0) {
		chunk_lines(k, p, n);
		if (s->spooling && k->flags == 0)
			(void)text_take(s, p, n);
	}
	conn_consume(s->c, n);
	k->left -= n;
	if (k->left == 0)
		chunk_ends(s);
	return 1;
}
