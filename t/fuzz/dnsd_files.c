#include "dnsd/dnsd.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct netaddr servers[3];
	struct addrs a = {.n = 0};
	struct hosts *h = hosts_parse((const char *)p, n);

	(void)hosts_find(h, "mail", &a);
	hosts_free(h);
	(void)resolv_parse((const char *)p, n, servers, 3);
	return 0;
}
