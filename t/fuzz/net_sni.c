/* The name that a client asks for in its hello, and names in certificates of servers. */
#include <stdlib.h>
#include <string.h>

#include "net/sni.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
must(int ok)
{
	if (!ok)
		abort();
}

/* What came out is what would come out again. */
static void
check(const char *out, size_t n, int wildcard)
{
	char again[SNI_NAME_MAX + 1];

	must(strlen(out) > 0 && strlen(out) <= n && strlen(out) <= SNI_NAME_MAX);
	must(strspn(out, "abcdefghijklmnopqrstuvwxyz0123456789-.*") == strlen(out));
	must(wildcard || strchr(out, '*') == NULL);
	must(sni_host_name(out, strlen(out), wildcard, again) == 0 && strcmp(out, again) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char out[SNI_NAME_MAX + 1];
	int wildcard;

	if (sni_parse(data, n, out) == 0)
		check(out, n, 0);
	else
		must(out[0] == '\0');
	for (wildcard = 0; wildcard < 2; wildcard++)
		if (sni_host_name(data, n, wildcard, out) == 0)
			check(out, n, wildcard);
		else
			must(out[0] == '\0');
	return 0;
}
