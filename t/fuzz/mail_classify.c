/* The scan finds the same however the octets come, and all that the parsers would act on. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/vec.h"
#include "mail/classify.h"
#include "mail/header.h"
#include "mail/mime.h"
#include "mail/verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * Scan in chunks.  Octet by octet the automaton reads alone: then record receives what it had found
 * behind each octet, which the ends of longer chunks are compared with.
 */
static unsigned
scan(const uint8_t *p, size_t n, size_t first, size_t chunk, uint8_t *record, const uint8_t *want)
{
	struct mail_scan s;
	size_t off, k;

	mail_scan_init(&s);
	for (off = 0; off < n; off += k) {
		k = off == 0 && first > 0 ? first : chunk;
		k = n - off < k ? n - off : k;
		mail_scan_feed(&s, p + off, k);
		if (record != NULL)
			record[off] = (uint8_t)s.found;
		else if (want != NULL && want[off + k - 1] != s.found)
			abort();
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
	if (scan(o2.mem, o2.size, 0, o2.size + 1, NULL, NULL) & MAIL_SCAN_FORGED)
		abort();
	if (mail_strip_ours(&o2, 0, o2.size, &sb) == -1)
		abort();
	if (buf_len(&a) != buf_len(&b) ||
	    (buf_len(&a) > 0 && memcmp(buf_ptr(&a), buf_ptr(&b), buf_len(&a)) != 0))
		abort();
	buf_free(&a);
	buf_free(&b);
}

/* However the octets come: in chunks of any size, and as two cut anywhere. */
static unsigned
check_chunks(const uint8_t *data, size_t size)
{
	/* Every size and every cut for small inputs, fewer for large ones: the time is bounded. */
	size_t step = 1 + size / 256, i;
	uint8_t *record = malloc(size + 1);
	unsigned whole;

	if (record == NULL)
		abort();
	whole = scan(data, size, 0, 1, record, NULL);
	for (i = 1; i <= size; i += step) {
#ifdef VEC_AVX2
		vec_portable = i / step & 1;
#endif
		if (scan(data, size, 0, i, NULL, record) != whole ||
		    scan(data, size, i, size, NULL, record) != whole)
			abort();
	}
	free(record);
	return whole;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned whole = check_chunks(data, size), seen = parse(data, size);

	/* what is too long to judge may be anything */
	if ((seen & ~whole) != 0 && !(whole & MAIL_SCAN_ODD))
		abort();
	check_strip(data, size);
	return 0;
}
