/* Lines of an auth server: what is made of them is text within the line, and what is asked stays
 * one. */
#include <stdlib.h>
#include <string.h>

#include "smtpd/dovecot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must_be_within(const char *s, const char *line, size_t n)
{
	if (*s != '\0' && (s < line || s + strlen(s) > line + n))
		abort();
}

static void
reply(const uint8_t *data, size_t size)
{
	struct dovecot_line l;
	char *line = malloc(size + 1);

	if (line == NULL)
		return;
	memcpy(line, data, size);
	line[size] = '\0';
	if (dovecot_parse(line, &l) == 0) {
		must_be_within(l.word, line, size);
		must_be_within(l.user, line, size);
		must_be_within(l.reason, line, size);
	}
	free(line);
}

static void
request(const char *s)
{
	struct buf b;
	size_t i, n;

	buf_init(&b, 2 * DOVECOT_LINE_MAX);
	if (dovecot_auth(&b, 1, "PLAIN", 1, s, s, s) == 0 && dovecot_cont(&b, 1, s) == 0)
		for (i = n = 0; i < buf_len(&b); i++)
			n += buf_ptr(&b)[i] == '\n';
	else
		n = buf_len(&b) == 0 ? 2 : 0;
	if (n != 2 && buf_len(&b) > 0 && buf_ptr(&b)[buf_len(&b) - 1] != '\n')
		abort();
	buf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s;

	if (size > DOVECOT_LINE_MAX || memchr(data, '\n', size) != NULL)
		return 0;
	reply(data, size);
	if ((s = strndup((const char *)data, size)) == NULL)
		return 0;
	request(s);
	free(s);
	return 0;
}
