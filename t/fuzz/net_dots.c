/*
 * Dot-stuffing: what is encoded decodes to itself, and decoding does not depend on how the input
 * was cut, strict or not.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/vec.h"
#include "net/dots.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MAX (1 << 22)

struct result {
	struct buf out;
	struct dots_decoder d;
	size_t used;
	int ret;
};

static void
must(int ok)
{
	if (!ok)
		abort();
}

/* Decode in chunks of 1 to step octets, sizes drawn from seed; step 0: in one piece. */
static void
decode(struct result *r, const uint8_t *p, size_t n, bool strict, size_t step, uint32_t seed)
{
	struct sink s;
	size_t len, used;

	buf_init(&r->out, MAX);
	s = sink_buf(&r->out);
	dots_decode_init(&r->d, strict);
	r->ret = 0;
	for (r->used = 0; r->used < n && r->ret == 0; r->used += used) {
		seed = seed * 1664525 + 1013904223;
		len = step > 0 ? 1 + (seed >> 16) % step : n;
		if (len > n - r->used)
			len = n - r->used;
		r->ret = dots_decode(&r->d, p + r->used, len, &used, &s);
		must(r->ret == 1 || (r->ret == 0 && used == len));
	}
}

static void
same(const struct buf *b, const void *p, size_t n)
{
	must(buf_len(b) == n && (n == 0 || memcmp(buf_ptr(b), p, n) == 0));
}

static void
cuts_agree(const uint8_t *p, size_t n, bool strict)
{
	struct result whole, cut;
	size_t step;

	decode(&whole, p, n, strict, 0, 0);
	for (step = 1; step <= 256; step *= 4) {
		decode(&cut, p, n, strict, step, (uint32_t)n);
		must(cut.ret == whole.ret && cut.used == whole.used);
		must(cut.d.flags == whole.d.flags && cut.d.first_bad == whole.d.first_bad &&
		     cut.d.octets == whole.d.octets && cut.d.longest == whole.d.longest &&
		     cut.d.odd == whole.d.odd);
		/* Both hold back a CR at the very end only, so the outputs are the same. */
		same(&cut.out, buf_len(&whole.out) ? buf_ptr(&whole.out) : p, buf_len(&whole.out));
		buf_free(&cut.out);
	}
	must(whole.ret == 0 || whole.d.flags != 0 || buf_len(&whole.out) == whole.d.octets);
	must(whole.ret == 0 || (whole.used >= 3 && memcmp(p + whole.used - 3, ".\r\n", 3) == 0));
	buf_free(&whole.out);
}

static void
encode(struct buf *wire, const uint8_t *p, size_t n, size_t step, bool any_lf)
{
	struct dots_encoder e;
	struct sink s;
	size_t off, len;

	buf_init(wire, MAX);
	s = sink_buf(wire);
	dots_encode_init(&e, &s);
	if (any_lf)
		dots_encode_any_lf(&e);
	for (off = 0; off < n; off += len) {
		len = n - off < step ? n - off : step;
		must(dots_encode(&e, p + off, len) == 0);
	}
	must(dots_encode_end(&e) == 0 && e.octets == buf_len(wire));
}

/* What is not odd is encoded as it came, what is odd is not. */
static void
odd_is_what_changes(const uint8_t *p, size_t n)
{
	struct result r;
	struct buf wire;

	decode(&r, p, n, false, 0, 0);
	encode(&wire, buf_ptr(&r.out), buf_len(&r.out), buf_len(&r.out) + 1, true);
	must(r.ret == 0 ||
	     r.d.odd != (buf_len(&wire) == r.used && memcmp(buf_ptr(&wire), p, r.used) == 0));
	buf_free(&wire);
	buf_free(&r.out);
}

static void
round_trip(const uint8_t *p, size_t n)
{
	struct result back;
	struct buf wire;

	encode(&wire, p, n, n / 2 + 1, false);
	decode(&back, buf_ptr(&wire), buf_len(&wire), false, 0, 0);
	must(back.ret == 1 && back.used == buf_len(&wire));
	if (buf_len(&back.out) == n + 2)
		must(memcmp(buf_ptr(&back.out) + n, "\r\n", 2) == 0);
	else
		must(buf_len(&back.out) == n);
	must(n == 0 || memcmp(buf_ptr(&back.out), p, n) == 0);
	buf_free(&back.out);
	buf_free(&wire);
}

static void
encoded_cuts_agree(const uint8_t *p, size_t n, bool any_lf)
{
	struct buf one, many;
	size_t step;

	encode(&one, p, n, 1, any_lf);
	for (step = 7; step < n + 7; step *= 5) {
		encode(&many, p, n, step, any_lf);
		same(&many, buf_ptr(&one), buf_len(&one));
		buf_free(&many);
	}
	buf_free(&one);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n > 1 << 16)
		return 0;
#ifdef VEC_AVX2
	vec_portable = n & 1;
#endif
	cuts_agree(data, n, false);
	cuts_agree(data, n, true);
	odd_is_what_changes(data, n);
	round_trip(data, n);
	encoded_cuts_agree(data, n, false);
	encoded_cuts_agree(data, n, true);
	return 0;
}
