/* Replies of a hostile server: SMTP replies line by line, and each line as a POP3 status. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/pop3_reply.h"
#include "net/smtp_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
must(int ok)
{
	if (!ok)
		abort();
}

/* What a whole reply promises to those who send it on. */
static void
check_smtp(const struct smtp_reply *r)
{
	const char *p = NULL;
	unsigned lines = 0;
	size_t i;

	must(r->code >= 200 && r->code <= 599);
	must(r->enhanced[0] == '\0' || r->enhanced[0] - '0' == (int)(r->code / 100));
	while ((p = smtp_reply_text(r, p)) != NULL) {
		lines++;
		for (i = 0; p[i] != '\0'; i++)
			must(p[i] == '\t' || ((unsigned char)p[i] >= ' ' && p[i] != 0x7f));
	}
	must(lines == r->lines && lines <= SMTP_REPLY_LINES_MAX);
	(void)smtp_reply_keyword(r, "AUTH");
	(void)smtp_reply_keyword(r, "SIZE");
}

static void
check_pop3(const char *line, size_t n)
{
	struct pop3_reply r;

	if (pop3_reply_parse(&r, line, n) == -1)
		return;
	must(r.text >= line && r.text + r.len == line + n);
	must(memchr(r.code, '\0', sizeof r.code) != NULL);
	must(r.code[0] == '\0' || r.status == POP3_ERR);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const uint8_t *lf;
	struct smtp_reply r;
	size_t len;
	char *line;
	int ret = 0;

	smtp_reply_init(&r);
	for (; n > 0 && ret != -1; data += len, n -= len) {
		lf = memchr(data, '\n', n);
		len = lf != NULL ? (size_t)(lf - data) : n;
		/* A block of its own, so that reading behind it is seen. */
		must((line = malloc(len ? len : 1)) != NULL);
		memcpy(line, data, len);
		ret = smtp_reply_line(&r, line, len);
		check_pop3(line, len);
		free(line);
		if (ret == 1) {
			check_smtp(&r);
			smtp_reply_reset(&r);
		}
		len += lf != NULL;
	}
	smtp_reply_free(&r);
	return 0;
}
