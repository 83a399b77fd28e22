/* A policy of MTA-STS; and TXT records, one in each line. */
#include <stdlib.h>
#include <string.h>

#include "keyd/sts.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
must(int ok)
{
	if (!ok)
		abort();
}

static void
check(const struct sts_policy *s)
{
	struct sts_policy again;
	const char *p;
	struct err e;
	size_t i;

	must(s->mode <= STS_ENFORCE && s->max_age <= STS_AGE_MAX && s->nmx <= STS_MXS_MAX);
	must(s->nmx > 0 || s->mode == STS_NONE);
	for (i = 0; i < s->nmx; i++)
		must(host_valid(strncmp(s->mx[i], "*.", 2) == 0 ? s->mx[i] + 2 : s->mx[i]));
	must(strlen(s->text) <= STS_TEXT_MAX);
	for (p = s->text; *p != '\0'; p++)
		must(*p == '\n' || (*p >= ' ' && *p <= '~'));
	/* What is told in reports says the same, unless it was cut. */
	if (strlen(s->text) < STS_TEXT_MAX - 300) {
		must(sts_parse((const uint8_t *)s->text, strlen(s->text), &again, &e) == 0);
		must(again.mode == s->mode && again.nmx == s->nmx && again.max_age == s->max_age);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const uint8_t *at = p, *end = p + n, *line;
	struct dns_txt v[DNS_TXTS_MAX];
	char id[STS_ID_MAX + 1];
	struct sts_policy s;
	size_t count = 0;
	struct err e;

	if (sts_parse(p, n, &s, &e) == 0)
		check(&s);
	while (at < end && count < DNS_TXTS_MAX) {
		if ((line = memchr(at, '\n', (size_t)(end - at))) == NULL)
			line = end;
		v[count++].text = (struct bytes){at, (size_t)(line - at)};
		at = line + (line < end);
	}
	if (sts_record(v, count, id, &e) == 0)
		must(id[0] != '\0' && strspn(id, "0123456789abcdefghijklmnopqrstuvwxyz"
						 "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(id));
	return 0;
}
