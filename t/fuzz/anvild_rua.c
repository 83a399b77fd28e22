/* TXT records that wish for reports about TLS, one in each line; and the report as what they ask
 * for. */
#include <stdlib.h>
#include <string.h>

#include "anvild/tlsrpt_mail.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
must(int ok)
{
	if (!ok)
		abort();
}

static void
check_addresses(const struct ruas *to)
{
	size_t i, j;

	must(to->n > 0 && to->n <= RUAS_MAX);
	for (i = 0; i < to->n; i++) {
		must(strchr(to->v[i], '@') != NULL);
		for (j = 0; to->v[i][j] != '\0'; j++)
			must(to->v[i][j] > ' ' && to->v[i][j] <= '~' && to->v[i][j] != '>');
	}
}

/* A day of a server that says all of this. */
static void
check_report(const uint8_t *p, size_t n)
{
	static const struct ruas to = {{"a@example.org"}, 1};
	char text[256];
	struct tls_session s = {.domain = "example.org",
	    .policy = TLSPOL_STS,
	    .policy_text = text,
	    .mx = text,
	    .ip = "",
	    .result = "validation-failure",
	    .reason = text,
	    .our_ip = ""};
	struct days days;
	struct report r = {.hostname = "gw.example", .from = "b@example.net", .to = &to};
	struct buf b;

	days_init(&days);
	memcpy(text, p, n < 255 ? n : 255);
	text[n < 255 ? n : 255] = '\0';
	days_add(&days, &s, 0);
	r.day = &days_first(&days)->r;
	buf_init(&b, REPORT_MAX);
	must(report_mail(&r, &b) == 0);
	buf_free(&b);
	days_clear(&days);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct dns_txt v[DNS_TXTS_MAX];
	const uint8_t *at = p, *end = p + n, *line;
	size_t count = 0;
	struct ruas to;
	struct err e;

	while (at < end && count < DNS_TXTS_MAX) {
		if ((line = memchr(at, '\n', (size_t)(end - at))) == NULL)
			line = end;
		v[count++].text = (struct bytes){at, (size_t)(line - at)};
		at = line + (line < end);
	}
	if (rua_parse(v, count, &to, &e) == 0)
		check_addresses(&to);
	check_report(p, n);
	return 0;
}
