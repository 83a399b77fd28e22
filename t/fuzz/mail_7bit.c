/* What mail_to_7bit writes is 7bit, has the same parts, and their content is the same. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "mail/encode.h"
#include "mail/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
content(const struct octets *o, const struct mail_part *p, struct buf *b)
{
	struct sink s = sink_buf(b);

	buf_init(b, o->size + 64);
	if (mail_part_decode(o, p, &s) == -1)
		abort();
}

static void
compare(const struct octets *o, const struct mail_index *ix, const struct octets *o2,
    const struct mail_index *ix2)
{
	struct buf a, b;
	uint32_t i;

	if (ix->n != ix2->n)
		abort();
	for (i = 0; i < ix->n; i++) {
		if (ix->parts[i].depth != ix2->parts[i].depth)
			abort();
		if (!mail_part_leaf(&ix->parts[i]))
			continue;
		content(o, &ix->parts[i], &a);
		content(o2, &ix2->parts[i], &b);
		if (buf_len(&a) != buf_len(&b) ||
		    (buf_len(&a) > 0 && memcmp(buf_ptr(&a), buf_ptr(&b), buf_len(&a)) != 0))
			abort();
		buf_free(&a);
		buf_free(&b);
	}
}

/* Nothing that MAIL_7BIT_HARD names. */
static void
check_lines(const uint8_t *p, size_t n)
{
	size_t i, col = 0;

	for (i = 0; i < n; i++) {
		if (p[i] == '\r' && i + 1 < n && p[i + 1] == '\n') {
			i++;
			col = 0;
		} else if (p[i] == 0 || p[i] >= 0x80 || p[i] == '\r' || p[i] == '\n' || ++col > 998)
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct octets o = octets_mem(data, size), o2;
	struct mail_index ix, ix2;
	struct buf out, again;
	struct sink s = sink_buf(&out), s2 = sink_buf(&again);
	int rc;

	if (mail_index_make(&ix, &o) == -1)
		abort();
	buf_init(&out, 64 * size + 65536);
	rc = mail_to_7bit(&o, &ix, 0, 0, &s);
	if (rc == -1 && errno != EOPNOTSUPP)
		abort();
	if (rc == 0) {
		o2 = octets_mem(buf_ptr(&out), buf_len(&out));
		if (mail_index_make(&ix2, &o2) == -1)
			abort();
		compare(&o, &ix, &o2, &ix2);
		check_lines(o2.mem, o2.size);
		/* what is 7bit already stays as it is */
		buf_init(&again, 64 * size + 65536);
		if (mail_to_7bit(&o2, &ix2, 0, 0, &s2) == -1 || buf_len(&again) != o2.size ||
		    (o2.size > 0 && memcmp(buf_ptr(&again), o2.mem, o2.size) != 0))
			abort();
		buf_free(&again);
		mail_index_free(&ix2);
	}
	buf_free(&out);
	mail_index_free(&ix);
	return 0;
}
