#include <string.h>

#include "dnsd/dnsd.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char name[NAME_MAX_OCTETS + 1], zone[NAME_MAX_OCTETS + 2];
	struct anchors a;
	struct err e;
	size_t i;

	if (anchors_parse("fuzz", (const char *)p, n, &a, &e) == 0)
		for (i = 0; i < a.n; i++)
			anchors_zone(&a, i, zone);
	anchors_free(&a);
	if (n < sizeof name) {
		memcpy(name, p, n);
		name[n] = '\0';
		(void)name_check_tlsa(name, zone);
	}
	return 0;
}
