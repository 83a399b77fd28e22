/* The text of a message: received, and judged as to form. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "smtpd/session.h"
#include "smtpd/trace.h"

void
text_refuse(struct session *s, unsigned code, const char *text)
{
	if (s->refused.code == 0)
		answer_set(&s->refused, code, "%s", text);
	s->spooling = 0;
}

/* Octets of the header, which ends at the first empty line. */
static void
count_header(struct session *s, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n, *lf;
	size_t line;

	for (; p < end && s->in_header; p = lf + 1) {
		if ((lf = memchr(p, '\n', (size_t)(end - p))) == NULL) {
			line = (size_t)(end - p);
			s->header += line;
			/* A CR at the end of it is that of the line, or a bare one, which is
			 * refused. */
			s->header_line += line - (p[line - 1] == '\r');
			return;
		}
		line = (size_t)(lf - p);
		s->header += line + 1;
		if (s->header_line + line == 0 ||
		    (s->header_line == 0 && line == 1 && p[0] == '\r'))
			s->in_header = 0;
		s->header_line = 0;
	}
}

/* Has any octet bit 7 set? Nobody needs to know which. */
static uint64_t
or_all(const uint8_t *p, size_t n)
{
	uint64_t all = 0, v;

	for (; n >= sizeof v; p += sizeof v, n -= sizeof v) {
		memcpy(&v, p, sizeof v);
		all |= v;
	}
	for (; n > 0; n--)
		all |= *p++;
	return all;
}

int
text_take(void *session, const void *p, size_t n)
{
	struct session *s = session;

	if (s->in_header)
		count_header(s, p, n);
	s->text += n;
	if (s->header > s->route->limits.headers)
		text_refuse(s, 554, "5.6.0 the header of the message is too large");
	else if (memchr(p, '\0', n) != NULL)
		text_refuse(s, 554, "5.6.0 the message has a NUL character");
	else if (s->text > s->route->limits.message_size)
		text_refuse(s, 552, "5.3.4 the message is too large");
	else if (spool_write(&s->spool, p, n) == 0) {
		s->wide |= or_all(p, n);
		if (s->backend->took != NULL)
			s->backend->took(s, p, n);
		return 0;
	} else {
		log_err("%s: cannot keep a message: %s", s->qid, strerror(errno));
		text_refuse(s, 452,
		    errno == ENOSPC || errno == EDQUOT ? "4.3.1 the gateway is out of room"
						       : "4.3.0 the gateway cannot keep it now");
	}
	return -1;
}

/* Only those whom the peer takes go on. */
static void
keep_accepted(struct session *s)
{
	struct rcpt *r;
	size_t i, n = 0;

	for (i = 0; i < s->nrcpts; i++) {
		r = &s->rcpts[i];
		if (r->accepted)
			s->rcpts[n++] = *r;
		else {
			free(r->addr);
			free(r->params);
			free(r->orcpt);
		}
	}
	s->nrcpts = n;
}

void
text_begin(struct session *s)
{
	keep_accepted(s);
	spool_init(&s->spool, s->route->limits.message_size + TRACE_MAX, smtpd_spool);
	spool_expect(&s->spool, s->mail.size > 0 ? s->mail.size + TRACE_MAX : 0);
	dots_decode_init(&s->dots, true);
	s->refused.code = 0;
	s->text = s->wide = s->header = 0;
	s->header_line = 0;
	s->in_header = s->spooling = 1;
	if (s->backend->text(s) == -1)
		text_refuse(s, 452, "4.3.0 the gateway cannot keep it now");
}

int
data_command(struct session *s, const char *args)
{
	const uint8_t *p;
	size_t n;

	(void)args;
	if (s->chunk.begun) {
		session_error(s, 503, "5.5.1 DATA and BDAT are not for the same message");
		return 0;
	}
	if (s->naccepted == 0) {
		session_error(s, s->nrcpts == 0 ? 503 : 554, "5.5.1 no valid recipients");
		return 0;
	}
	p = conn_in(s->c, &n);
	if (n > 0 && s->gate != NULL && gate_hasty(s->gate, "DATA", p, n) == GATE_CLOSE) {
		session_gate_closes(s);
		return 0;
	}
	text_begin(s);
	s->state = ST_DATA;
	session_say(s, 354, "End data with <CR><LF>.<CR><LF>");
	session_clock(s, s->route->limits.data_timeout);
	return 0;
}

void
text_ends(struct session *s)
{
	unsigned flags = s->chunk.begun ? s->chunk.flags : s->dots.flags;
	size_t longest = s->chunk.begun ? s->chunk.longest : s->dots.longest;
	struct answer a;

	s->received = s->secured = clock_ms();
	session_no_clock(s);
	s->state = ST_WORK;
	if (flags & (DOTS_BARE_CR | DOTS_BARE_LF))
		text_refuse(s, 550, "5.6.11 a line of the message does not end with CR LF");
	else if (longest + 2 > s->route->limits.text_line)
		text_refuse(s, 554, "5.6.0 a line of the message is too long");
	if (s->refused.code == 0 && spool_octets(&s->spool, &s->octets) == -1)
		text_refuse(s, 452, "4.3.0 the gateway cannot keep it now");
	if (s->refused.code != 0) {
		a = s->refused;
		session_log_reject(s, "END-OF-MESSAGE", &a, NULL);
		data_finish(s, &a);
		return;
	}
	s->backend->message(s);
}

int
data_input(struct session *s)
{
	const struct sink to = {text_take, s};
	const uint8_t *p;
	size_t n, used;

	p = conn_in(s->c, &n);
	if (n == 0) {
		if (s->eof) /* it came while something else was waited for */
			session_left(s, "");
		return 0;
	}
	if (s->backend->receiving != NULL)
		s->backend->receiving(s);
	/* After -1 the octets are read all the same, and spooling is over. */
	(void)dots_decode(&s->dots, p, n, &used, s->spooling ? &to : NULL);
	conn_consume(s->c, used);
	if (dots_ended(&s->dots))
		text_ends(s);
	return 1;
}

void
data_finish(struct session *s, const struct answer *a)
{
	struct answer copy = *a;

	if (copy.code / 100 == 4)
		tally.deferred++;
	else if (copy.code / 100 == 5)
		tally.refused++;
	session_answer(s, &copy);
	envelope_reset(s);
	session_clock(s, s->route->limits.idle_timeout);
	if (s->c == NULL)
		session_end(s);
	else if (s->leaving)
		session_say(s, 421, "4.3.2 %s is going down", s->route->hostname);
	session_process(s);
}
