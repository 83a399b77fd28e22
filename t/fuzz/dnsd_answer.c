#include "dnsd/dnsd.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct addrs a = {.n = 0};
	struct tlsas t;

	(void)answer_parse(p, n, TYPE_A, &a);
	(void)answer_parse(p, n, TYPE_AAAA, &a);
	(void)answer_tlsas(p, n, &t);
	return 0;
}
