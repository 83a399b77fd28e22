/*
 * Text of a message in chunks, and its header: what is found does not depend on the cuts, agrees
 * with what DATA would have found, and a header without our fields has none.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "net/dots.h"
#include "smtpd/chunk.h"
#include "smtpd/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX (32 * 1024)

static void
lines(struct chunk *c, const uint8_t *p, size_t n, size_t cut)
{
	memset(c, 0, sizeof *c);
	chunk_lines(c, p, cut);
	chunk_lines(c, p + cut, n - cut);
	chunk_lines_end(c);
}

/* The same octets behind DATA. */
static void
as_data(const struct chunk *c, const uint8_t *p, size_t n)
{
	struct dots_decoder d;
	struct dots_encoder e;
	struct buf b;
	struct sink to;
	size_t used;

	if (c->flags != 0)
		return;
	buf_init(&b, 4 * MAX);
	to = sink_buf(&b);
	dots_encode_init(&e, &to);
	if (dots_encode(&e, p, n) == -1 || dots_encode_end(&e) == -1)
		abort();
	dots_decode_init(&d, true);
	if (dots_decode(&d, buf_ptr(&b), buf_len(&b), &used, NULL) != 1 || used != buf_len(&b) ||
	    d.flags != 0 || d.longest != c->longest)
		abort();
	if (chunk_is_whole(c) != (d.octets == n))
		abort();
	buf_free(&b);
}

static void
header(const uint8_t *p, size_t n)
{
	struct octets o = octets_mem(p, n);
	const char *rcpt = "a@b";
	struct head h, again;
	struct buf b;
	struct sink to;

	if (head_read(&h, &o, n) == -1)
		abort();
	(void)head_asks(&h, "", &rcpt, 1);
	buf_init(&b, 2 * MAX);
	to = sink_buf(&b);
	if (head_strip(&o, n, &to) == -1)
		abort();
	o = octets_mem(buf_ptr(&b), buf_len(&b));
	if (head_read(&again, &o, buf_len(&b)) == -1 || again.forged)
		abort();
	buf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct chunk one, two;
	uint64_t octets;
	size_t cut;
	char *s;
	int last;

	if (size < 2 || size > MAX)
		return 0;
	cut = (size_t)(data[0] << 8 | data[1]) % (size - 1);
	data += 2;
	size -= 2;
	if (cut > size)
		cut = size;
	lines(&one, data, size, 0);
	lines(&two, data, size, cut);
	if (one.flags != two.flags || one.longest != two.longest ||
	    (one.flags == 0 && chunk_is_whole(&one) != chunk_is_whole(&two)))
		abort();
	as_data(&one, data, size);
	header(data, size);
	if ((s = strndup((const char *)data, size)) == NULL)
		return 0;
	(void)chunk_parse(s, &octets, &last);
	free(s);
	return 0;
}
