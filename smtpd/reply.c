/* Replies: ours, and the peer's on their way to the client. */
#include "smtpd/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "net/conn.h"

/* Nothing but printable ASCII reaches a client's terminal or log. */
static void
printable(char *s)
{
	for (; *s != '\0'; s++)
		if ((*s < ' ' && *s != '\n') || *s > '~')
			*s = *s == '\t' ? ' ' : '?';
}

static void
no_newline(char *s)
{
	while ((s = strchr(s, '\n')) != NULL)
		*s = ' ';
}

void
answer_set(struct answer *a, unsigned code, const char *fmt, ...)
{
	va_list ap;

	a->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(a->text, sizeof a->text, fmt, ap);
	va_end(ap);
	no_newline(a->text);
	printable(a->text);
}

static void
append_line(struct answer *a, const char *line)
{
	size_t at = strlen(a->text), n = strlen(line);

	if (at + 1 + n >= sizeof a->text)
		return;
	if (at > 0)
		a->text[at++] = '\n';
	memcpy(a->text + at, line, n + 1);
}

void
answer_add(struct answer *a, const char *fmt, ...)
{
	char line[ANSWER_LINE_MAX + 1];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	no_newline(line);
	printable(line);
	append_line(a, line);
}

void
answer_from_peer(struct answer *a, const struct smtp_reply *r)
{
	char line[ANSWER_LINE_MAX + 1];
	const char *p = NULL;

	a->code = r->code;
	a->text[0] = '\0';
	while ((p = smtp_reply_text(r, p)) != NULL) {
		(void)strlcpy(line, p, sizeof line);
		printable(line);
		append_line(a, line);
	}
}

/* Octets of "class.subject.detail" (RFC 3463, 2) at s, or 0. */
static size_t
status_length(const char *s, unsigned class)
{
	size_t n = 1, digits, i;

	if (s[0] != (char)('0' + class))
		return 0;
	for (i = 0; i < 2; i++) {
		if (s[n] != '.')
			return 0;
		digits = strspn(s + n + 1, "0123456789");
		if (digits < 1 || digits > 3)
			return 0;
		n += 1 + digits;
	}
	return s[n] == ' ' || s[n] == '\0' || s[n] == '\n' ? n : 0;
}

char *
answer_dsn(char *out, size_t outsz, const struct answer *a)
{
	unsigned class = a->code / 100;
	size_t n = status_length(a->text, class);

	if (n > 0)
		(void)snprintf(out, outsz, "%.*s", (int)n, a->text);
	else
		(void)snprintf(out, outsz, "%u.0.0", class);
	return out;
}

char *
answer_line(char *out, size_t outsz, const struct answer *a)
{
	int n = snprintf(out, outsz, "%u %s", a->code, a->text);

	(void)n;
	no_newline(out);
	return out;
}

int
answer_put_buf(struct buf *b, const struct answer *a)
{
	const char *p = a->text, *end;
	char code[5] = {(char)('0' + a->code / 100 % 10), (char)('0' + a->code / 10 % 10),
	    (char)('0' + a->code % 10)};
	size_t len, had = buf_len(b);

	do {
		end = strchrnul(p, '\n');
		len = (size_t)(end - p);
		if (len > ANSWER_LINE_MAX)
			len = ANSWER_LINE_MAX;
		code[3] = *end == '\n' ? '-' : ' ';
		if (buf_put(b, code, 4) == -1 || buf_put(b, p, len) == -1 ||
		    buf_put(b, "\r\n", 2) == -1) {
			b->end = b->off + had;
			return -1;
		}
		p = end + 1;
	} while (*end == '\n');
	return 0;
}

int
answer_put(struct conn *c, const struct answer *a)
{
	struct buf b;
	int rc;

	buf_init(&b, 2 * ANSWER_TEXT_MAX);
	rc = answer_put_buf(&b, a);
	if (rc == 0)
		rc = conn_write(c, buf_ptr(&b), buf_len(&b));
	buf_free(&b);
	return rc;
}
