#include "net/pop3_reply.h"

#include <errno.h>
#include <string.h>

/*
 * The code that a -ERR may begin with, "[LEVEL/LEVEL]" (RFC 2449, 8): printable but for brackets.
 * What does not fit is no code that anybody registered, and is left in the text only.
 */
static void
resp_code(struct pop3_reply *r)
{
	const char *end;
	size_t i, n;
	char c;

	if (r->len < 3 || r->text[0] != '[' || (end = memchr(r->text, ']', r->len)) == NULL)
		return;
	n = (size_t)(end - r->text) - 1;
	if (n == 0 || n >= sizeof r->code)
		return;
	for (i = 0; i < n; i++) {
		c = r->text[i + 1];
		if (c <= ' ' || c >= 0x7f || c == '[') {
			r->code[0] = '\0';
			return;
		}
		r->code[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
	}
	r->code[n] = '\0';
}

int
pop3_reply_parse(struct pop3_reply *r, const char *line, size_t n)
{
	static const struct {
		const char *word;
		size_t len;
		enum pop3_status status;
	} words[] = {{"+OK", 3, POP3_OK}, {"-ERR", 4, POP3_ERR}, {"+", 1, POP3_CONTINUE}};
	size_t i, len;

	memset(r, 0, sizeof *r);
	for (i = 0; i < n; i++)
		if (((unsigned char)line[i] < ' ' && line[i] != '\t') || line[i] == 0x7f)
			goto garbage;
	for (i = 0; i < sizeof words / sizeof words[0]; i++) {
		len = words[i].len;
		if (n < len || memcmp(line, words[i].word, len) != 0 ||
		    (n > len && line[len] != ' '))
			continue;
		r->status = words[i].status;
		r->text = line + (n > len ? len + 1 : n);
		r->len = n - (size_t)(r->text - line);
		if (r->status == POP3_ERR)
			resp_code(r);
		return 0;
	}
garbage:
	errno = EPROTO;
	return -1;
}
