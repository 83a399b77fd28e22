/* Lines: every cut of the input gives the same lines, and no octet is lost or read twice. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "net/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MAX 16

static void
must(int ok)
{
	if (!ok)
		abort();
}

/* All lines of the input as one record, the input arriving in steps. */
static void
lines(struct buf *out, const uint8_t *data, size_t n, size_t step)
{
	struct line_reader r;
	enum line_status st;
	size_t off = 0, end = 0, used;

	buf_init(out, 1 << 22);
	line_init(&r, MAX);
	for (;;) {
		st = line_next(&r, data + off, end - off, &used);
		must(used <= end - off);
		off += used;
		if (st == LINE_ENDLESS)
			break;
		if (st != LINE_MORE) {
			must(r.len <= MAX && r.text[r.len] == '\0' && used > 0);
			must(memchr(r.text, '\n', r.len) == NULL && data[off - 1] == '\n');
			must(buf_printf(out, "%d %zu %u ", st, r.len, r.flags) == 0);
			must(buf_put(out, r.text, r.len) == 0);
			continue;
		}
		if (end == n)
			break;
		/* A line that is not whole never needs more than this much room. */
		must(end - off <= MAX + 1);
		end += step < n - end ? step : n - end;
	}
	line_free(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const size_t steps[] = {1, 2, 7, 31};
	struct buf whole, cut;
	size_t i;

	if (n == 0 || n > LINE_SKIP_MAX)
		return 0;
	lines(&whole, data, n, n);
	for (i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		lines(&cut, data, n, steps[i]);
		must(buf_len(&whole) == buf_len(&cut));
		must(buf_len(&cut) == 0 ||
		     memcmp(buf_ptr(&whole), buf_ptr(&cut), buf_len(&cut)) == 0);
		buf_free(&cut);
	}
	buf_free(&whole);
	return 0;
}
