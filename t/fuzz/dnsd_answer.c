#include <stdlib.h>
#include <string.h>

#include "dnsd/dnsd.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
must_be_host(const char *s)
{
	char name[NAME_MAX_OCTETS + 1];

	if (name_check(s, name) == -1 || strcmp(s, name) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char owner[NAME_MAX_OCTETS + 1];
	struct addrs a = {.n = 0};
	struct ptrs ptrs;
	struct tlsas t;
	struct txts txts;
	struct mxs mxs;
	size_t i;

	(void)answer_parse(p, n, TYPE_A, &a);
	(void)answer_parse(p, n, TYPE_AAAA, &a);
	(void)answer_tlsas(p, n, &t);
	if (answer_owner(p, n, TYPE_A, owner) == 0 && strlen(owner) > NAME_MAX_OCTETS)
		abort();
	if (answer_mxs(p, n, &mxs) == 0)
		for (i = 0; i < mxs.n; i++) {
			must_be_host(mxs.v[i].host);
			if (i > 0 && mxs.v[i].preference < mxs.v[i - 1].preference)
				abort();
		}
	if (answer_ptrs(p, n, &ptrs) == 0)
		for (i = 0; i < ptrs.n; i++)
			must_be_host(ptrs.v[i]);
	if (answer_txts(p, n, &txts) == 0) {
		for (i = 0; i < txts.n; i++)
			if (txts.v[i].text.n > DNS_TXT_LEN)
				abort();
		txts_free(&txts);
	}
	return 0;
}
