/* The header of a balancer: whatever it is cut at, and whoever says that he is one. */
#include <stdlib.h>
#include <string.h>

#include "smtpd/proxyproto.h"

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

/* A block of its own, so that a look behind it is seen. */
static ssize_t
parse(const uint8_t *data, size_t n, struct proxyproto *h)
{
	uint8_t *copy = malloc(n > 0 ? n : 1);
	ssize_t rc;

	if (copy == NULL)
		return 0;
	memcpy(copy, data, n);
	rc = proxyproto_parse(copy, n, h);
	free(copy);
	return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxyproto h, again;
	ssize_t rc = parse(data, size, &h);

	must(rc >= -1 && rc <= (ssize_t)size && rc <= PROXYPROTO_MAX);
	must(rc != 0 || size < PROXYPROTO_MAX);
	if (rc <= 0)
		return 0;
	must(h.local || (h.from.ss_family == h.to.ss_family &&
			    (h.from.ss_family == AF_INET || h.from.ss_family == AF_INET6)));
	/* It needs all of it and nothing behind it. */
	must(parse(data, (size_t)rc, &again) == rc && same(&h, &again, sizeof h));
	must(parse(data, (size_t)rc - 1, &again) == 0);
	return 0;
}
