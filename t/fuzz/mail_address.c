/* What an address list gives is normal, and read again is the same. */
#include <stdlib.h>
#include <string.h>

#include "mail/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_path(const uint8_t *data, size_t size)
{
	struct mail_path p, q;
	char again[MAIL_ADDR_MAX + 3];
	size_t used, n;

	if (mail_path_parse(&p, (const char *)data, size, &used) == -1 || p.null)
		return;
	n = (size_t)snprintf(again, sizeof again, "<%s>", p.addr);
	if (used > size || mail_path_parse(&q, again, n, &used) == -1 || used != n ||
	    strcmp(p.addr, q.addr) != 0 || strcmp(p.local, q.local) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mail_addrs a, b;
	struct buf text;
	char norm[MAIL_ADDR_MAX + 1];
	size_t i, whole = 0;

	check_path(data, size);
	if (mail_addrs_parse(&a, (struct bytes){data, size}) == -1)
		abort();
	for (i = 0; i < a.n; i++) {
		if (a.v[i].domain[0] == '\0')
			continue;
		if (mail_addr_normalise(a.v[i].addr, norm, sizeof norm) == -1 ||
		    strcmp(norm, a.v[i].addr) != 0)
			abort();
		whole++;
	}
	if (whole == a.n && whole > 0) {
		buf_init(&text, 64 + 4096 * whole);
		for (i = 0; i < a.n; i++)
			if (buf_printf(&text, "%s<%s>", i > 0 ? ", " : "", a.v[i].addr) == -1)
				abort();
		if (mail_addrs_parse(&b, (struct bytes){buf_ptr(&text), buf_len(&text)}) == -1 ||
		    b.n != a.n || b.bad != 0)
			abort();
		for (i = 0; i < a.n; i++)
			if (strcmp(a.v[i].addr, b.v[i].addr) != 0)
				abort();
		mail_addrs_free(&b);
		buf_free(&text);
	}
	mail_addrs_free(&a);
	return 0;
}
