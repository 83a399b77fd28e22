/* Arguments of MAIL, RCPT and HELO: what passes goes to the peer in one line, and again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must_be_a_line(const char *s)
{
	if (strpbrk(s, "\r\n") != NULL)
		abort();
}

/* What was understood is written so that it is understood the same. */
static void
mail(const char *s, unsigned offered)
{
	char out[COMMAND_MAX], again[COMMAND_MAX];
	struct mail_cmd m;
	struct answer why;

	if (command_mail(s, offered, &m, &why) == -1) {
		if (why.code < 500 || why.code > 599)
			abort();
		return;
	}
	command_mail_text(out, &m, offered, m.size);
	must_be_a_line(out);
	if (command_mail(out + 5, offered, &m, &why) == -1)
		abort();
	command_mail_text(again, &m, offered, m.size);
	if (strcmp(out, again) != 0)
		abort();
}

static void
rcpt(const char *s, unsigned offered, int utf8)
{
	char params[RCPT_PARAMS_MAX], line[COMMAND_MAX];
	struct rcpt_cmd r, r2;
	struct answer why;

	if (command_rcpt(s, offered, utf8, &r, &why) == -1)
		return;
	command_rcpt_params(params, sizeof params, &r, offered);
	if (snprintf(line, sizeof line, "TO:<%s>%s", r.path.addr, params) >= (int)sizeof line)
		abort();
	must_be_a_line(line);
	if (command_rcpt(line, offered, utf8, &r2, &why) == -1 ||
	    strcmp(r.path.addr, r2.path.addr) != 0 || r.notify != r2.notify)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned offered;
	char *s;

	if (size < 1 || (s = malloc(size)) == NULL)
		return 0;
	memcpy(s, data + 1, size - 1);
	s[size - 1] = '\0';
	offered = data[0];
	/* The session lets no controls but tabs through. */
	if (strpbrk(s, "\r\n") == NULL) {
		mail(s, offered);
		rcpt(s, offered, data[0] & 1);
		(void)command_helo_valid(s);
	}
	free(s);
	return 0;
}
