#include "net/smtp_reply.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int
digit(char c)
{
	return c >= '0' && c <= '9';
}

void
smtp_reply_init(struct smtp_reply *r)
{
	memset(r, 0, sizeof *r);
	/* Each line costs a NUL beside its octets. */
	buf_init(&r->text, SMTP_REPLY_OCTETS_MAX + SMTP_REPLY_LINES_MAX);
}

void
smtp_reply_free(struct smtp_reply *r)
{
	buf_free(&r->text);
	smtp_reply_init(r);
}

void
smtp_reply_reset(struct smtp_reply *r)
{
	r->code = 0;
	r->lines = 0;
	r->enhanced[0] = '\0';
	buf_reset(&r->text);
}

/* 1 to 3 digits at s. Returns how many, or 0. */
static size_t
number(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n && digit(s[i]))
		i++;
	return i <= 3 ? i : 0;
}

/* Take class "." subject "." detail from the front of a text (RFC 2034, 4), if it is there. */
static void
enhanced_code(struct smtp_reply *r, const char *s, size_t n)
{
	size_t at, len;

	if (n < 5 || s[0] != (char)('0' + r->code / 100) || s[1] != '.' || s[0] == '3')
		return;
	at = 2;
	if ((len = number(s + at, n - at)) == 0)
		return;
	at += len;
	if (at >= n || s[at] != '.' || (len = number(s + at + 1, n - at - 1)) == 0)
		return;
	at += len + 1;
	if (at < n && s[at] != ' ')
		return;
	memcpy(r->enhanced, s, at);
	r->enhanced[at] = '\0';
}

/* Append one line's text; what a terminal or a log could misread becomes '?'. */
static int
put_text(struct smtp_reply *r, const char *s, size_t n)
{
	uint8_t *to;
	size_t i;

	if (buf_len(&r->text) + n > SMTP_REPLY_OCTETS_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if ((to = buf_reserve(&r->text, n + 1)) == NULL)
		return -1;
	for (i = 0; i < n; i++)
		to[i] = ((unsigned char)s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f ? '?'
										    : (uint8_t)s[i];
	to[n] = '\0';
	buf_added(&r->text, n + 1);
	return 0;
}

int
smtp_reply_line(struct smtp_reply *r, const char *line, size_t n)
{
	unsigned code;
	size_t from = n > 3 ? 4 : 3;

	if (n < 3 || line[0] < '2' || line[0] > '5' || !digit(line[1]) || !digit(line[2]))
		goto garbage;
	if (n > 3 && line[3] != ' ' && line[3] != '-')
		goto garbage;
	if (memchr(line, '\0', n) != NULL || memchr(line, '\r', n) != NULL ||
	    memchr(line, '\n', n) != NULL)
		goto garbage;
	code = (unsigned)((line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0'));
	if (r->lines > 0 && code != r->code)
		goto garbage;
	if (r->lines == SMTP_REPLY_LINES_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (put_text(r, line + from, n - from) == -1)
		return -1;
	r->code = code;
	if (r->lines++ == 0)
		enhanced_code(r, line + from, n - from);
	return n > 3 && line[3] == '-' ? 0 : 1;
garbage:
	errno = EPROTO;
	return -1;
}

const char *
smtp_reply_text(const struct smtp_reply *r, const char *prev)
{
	const char *begin, *p;

	if (buf_len(&r->text) == 0)
		return NULL;
	begin = (const char *)buf_ptr(&r->text);
	p = prev == NULL ? begin : prev + strlen(prev) + 1;
	return p >= begin + buf_len(&r->text) ? NULL : p;
}

/* The parameters in this line, if the extension is in it. */
static const char *
params_in(const char *line, const char *keyword)
{
	size_t n = strlen(keyword);

	if (strncasecmp(line, keyword, n) != 0)
		return NULL;
	if (line[n] == '\0')
		return line + n;
	if (line[n] == ' ' || (line[n] == '=' && strcasecmp(keyword, "AUTH") == 0))
		return line + n + 1 + strspn(line + n + 1, " ");
	return NULL;
}

const char *
smtp_reply_keyword(const struct smtp_reply *r, const char *keyword)
{
	const char *p = smtp_reply_text(r, NULL), *found = NULL;

	while (found == NULL && p != NULL && (p = smtp_reply_text(r, p)) != NULL)
		found = params_in(p, keyword);
	return found;
}

static bool
has_word(const char *list, const char *word)
{
	size_t n = strlen(word), len;

	while (*list != '\0') {
		list += strspn(list, " ");
		len = strcspn(list, " ");
		if (len == n && strncasecmp(list, word, n) == 0)
			return true;
		list += len;
	}
	return false;
}

bool
smtp_reply_has(const struct smtp_reply *r, const char *keyword, const char *word)
{
	const char *p = smtp_reply_text(r, NULL), *list;

	/* Some servers say AUTH= and AUTH, each with its own words. */
	while (p != NULL && (p = smtp_reply_text(r, p)) != NULL)
		if ((list = params_in(p, keyword)) != NULL && has_word(list, word))
			return true;
	return false;
}

uint64_t
smtp_reply_size(const struct smtp_reply *r)
{
	const char *p = smtp_reply_keyword(r, "SIZE");
	uint64_t size;
	char *end;

	/* Up to 20 digits. */
	if (p == NULL || !isdigit((unsigned char)*p) || strlen(p) > 20)
		return 0;
	errno = 0;
	size = strtoull(p, &end, 10);
	return *end != '\0' || errno != 0 ? 0 : size;
}
