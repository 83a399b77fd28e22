/* The scan finds the same however the octets come, and all that the parsers would act on. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "mail/classify.h"
#include "mail/header.h"
#include "mail/mime.h"
#include "mail/verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned
scan(const uint8_t *p, size_t n, size_t chunk)
{
	struct mail_scan s;
	size_t k;

	mail_scan_init(&s);
	for (; n > 0; p += k, n -= k) {
		k = n < chunk ? n : chunk;
		mail_scan_feed(&s, p, k);
	}
	return mail_scan_end(&s);
}

/* The parsers' view. */
static unsigned
parse(const uint8_t *data, size_t size)
{
	struct octets o = octets_mem(data, size);
	struct mail_index ix;
	struct mail_header h;
	struct mail_field f;
	struct buf b;
	struct sink s;
	unsigned found = 0;
	size_t pos = 0;
	uint32_t i;

	if (mail_index_make(&ix, &o) == -1)
		abort();
	for (i = 0; i < ix.n; i++) {
		struct mail_part *p = &ix.parts[i];

		if (mail_part_is(p, "multipart", "encrypted") ||
		    mail_part_is(p, "application", "pgp-encrypted"))
			found |= MAIL_SCAN_ENCRYPTED;
		if (mail_part_is(p, "application", "pgp-signature") ||
		    (mail_part_is(p, "multipart", "signed") && strstr(p->protocol, "pgp")))
			found |= MAIL_SCAN_SIGNED;
		if (!mail_part_leaf(p))
			continue;
		buf_init(&b, size + 64);
		s = sink_buf(&b);
		if (mail_part_decode(&o, p, &s) == -1)
			abort();
		if (buf_len(&b) > 0 && memmem(buf_ptr(&b), buf_len(&b), "-----BEGIN PGP ", 15))
			found |= MAIL_SCAN_INLINE;
		buf_free(&b);
	}
	if (mail_header_load(&h, &o, 0, ix.parts[0].head_len) == -1)
		abort();
	while (mail_field_next(&h, &pos, &f))
		if (mail_is_ours(f.name.p, f.name.n))
			found |= MAIL_SCAN_FORGED;
	mail_header_free(&h);
	mail_index_free(&ix);
	return found;
}

/* Nothing of ours is left, and a second pass changes nothing. */
static void
check_strip(const uint8_t *data, size_t size)
{
	struct octets o = octets_mem(data, size), o2;
	struct buf a, b;
	struct sink sa = sink_buf(&a), sb = sink_buf(&b);

	buf_init(&a, size + 64);
	buf_init(&b, size + 64);
	if (mail_strip_ours(&o, 0, size, &sa) == -1)
		abort();
	o2 = octets_mem(buf_ptr(&a), buf_len(&a));
	if (scan(o2.mem, o2.size, o2.size + 1) & MAIL_SCAN_FORGED)
		abort();
	if (mail_strip_ours(&o2, 0, o2.size, &sb) == -1)
		abort();
	if (buf_len(&a) != buf_len(&b) ||
	    (buf_len(&a) > 0 && memcmp(buf_ptr(&a), buf_ptr(&b), buf_len(&a)) != 0))
		abort();
	buf_free(&a);
	buf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t chunks[] = {1, 2, 3, 5, 7, 16, 61};
	unsigned whole = scan(data, size, size + 1), seen;
	size_t i;

	for (i = 0; i < sizeof chunks / sizeof chunks[0]; i++)
		if (scan(data, size, chunks[i]) != whole)
			abort();
	seen = parse(data, size);
	/* what is too long to judge may be anything */
	if ((seen & ~whole) != 0 && !(whole & MAIL_SCAN_ODD))
		abort();
	check_strip(data, size);
	return 0;
}
