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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct octets o = octets_mem(data, size), o2;
	struct mail_index ix, ix2;
	struct mail_lines l;
	struct buf out;
	struct sink s = sink_buf(&out);
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
		mail_lines_init(&l);
		mail_lines_feed(&l, o2.mem, o2.size);
		if (mail_lines_end(&l) & MAIL_7BIT_HARD)
			abort();
		if (!mail_7bit_needed(&ix, 0) &&
		    (o2.size != size || (size > 0 && memcmp(o2.mem, data, size) != 0)))
			abort();
		mail_index_free(&ix2);
	}
	buf_free(&out);
	mail_index_free(&ix);
	return 0;
}
