/* Arguments of XCLIENT and XFORWARD, several of them into one, and names in HELO. */
#include <stdlib.h>
#include <string.h>

#include "smtpd/gate_int.h"
#include "smtpd/xclient.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(int ok)
{
	if (!ok)
		abort();
}

/* Octet for octet: both were zeroed when they were made. */
static int
same(const void *a, const void *b, size_t n)
{
	return memcmp(a, b, n) == 0;
}

static void
must_be_text(const char *s, size_t max)
{
	must(strlen(s) <= max);
	for (; *s != '\0'; s++)
		must((unsigned char)*s >= ' ' && *s != 0x7f);
}

static void
check(const struct xclient *x)
{
	must((x->set & ~x->given) == 0);
	must_be_text(x->name, 253);
	must_be_text(x->helo, 255);
	must_be_text(x->login, XCLIENT_VALUE_MAX);
	must_be_text(x->ident, XCLIENT_VALUE_MAX);
	must_be_text(x->source, 6);
	must((x->set & X_ADDR) == 0 || x->addr.family == AF_INET || x->addr.family == AF_INET6);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct xclient x, before;
	struct netaddr from = {.family = AF_INET, .addr = {192, 0, 2, 1}};
	struct answer why;
	char *s, *line;

	if ((s = malloc(size + 1)) == NULL)
		return 0;
	memcpy(s, data, size);
	s[size] = '\0';
	memset(&x, 0, sizeof x);
	for (line = strtok(s, "\r\n"); line != NULL; line = strtok(NULL, "\r\n")) {
		before = x;
		if ((strlen(line) & 1 ? xforward_parse : xclient_parse)(line, &x, &why) == 0)
			check(&x);
		else
			must(why.code == 501 && same(&x, &before, sizeof x));
		(void)gate_helo_judge(line, "gw.example.org", &from);
	}
	free(s);
	return 0;
}
