/*
 * Where mail goes, as strangers say it: domains of recipients as address literals, patterns of a
 * domain's MTA-STS policy, and what a header asks of TLS.
 */
#include <stdlib.h>
#include <string.h>

#include "deliverd/job_int.h"
#include "deliverd/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
must(int ok)
{
	if (!ok)
		abort();
}

/* An address that was taken is one, and has that text again. */
static void
check_literal(const char *text)
{
	char again[NETADDR_TEXT_MAX + 16], plain[NETADDR_TEXT_MAX];
	struct netaddr a, b;

	if (dest_literal(text, &a) == -1)
		return;
	must(dest_is_literal(text));
	a.port = 0;
	(void)netaddr_format(plain, sizeof plain, ':', &a);
	(void)snprintf(again, sizeof again, a.family == AF_INET6 ? "[IPv6:%s]" : "[%s]", plain);
	must(dest_literal(again, &b) == 0 && a.family == b.family &&
	     memcmp(a.addr, b.addr, a.family == AF_INET ? 4 : 16) == 0);
}

/* A pattern with a wildcard covers one label, and never the domain itself. */
static void
check_pattern(const char *pattern, const char *host)
{
	struct sts_mx mx = {pattern};
	const struct sts_rep rep = {.mxs = {&mx, 1}};

	if (!policy_sts_match(&rep, host))
		return;
	if (strncmp(pattern, "*.", 2) == 0)
		must(strlen(host) > strlen(pattern + 1) && strchr(host, '.') != host);
	else
		must(strcasecmp(pattern, host) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = malloc(n + 1), *rest;
	struct octets o = octets_mem(data, n);

	must(text != NULL);
	memcpy(text, data, n);
	text[n] = '\0';
	check_literal(text);
	rest = strchr(text, '\n');
	if (rest != NULL) {
		*rest = '\0';
		check_pattern(text, rest + 1);
	}
	/* Only a line of the header that begins so is one. */
	if (job_tls_optional(&o))
		must(memmem(data, n, "\n", 1) != NULL && n > strlen("TLS-Required:no"));
	free(text);
	return 0;
}
