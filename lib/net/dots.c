#include "net/dots.h"

#include <string.h>

#include "base/vec.h"

enum { AT_START, AFTER_DOT, AFTER_DOT_CR, IN_LINE, AFTER_CR, AFTER_LF, AT_END };

/*
 * One run of dots_decode.  Octets that go out stand side by side in the input but for the dots
 * taken away, so they are put out in runs.
 */
struct run {
	struct dots_decoder *d;
	const struct sink *out;
	const uint8_t *from; /* first octet not yet put out */
	int failed;
};

void
dots_decode_init(struct dots_decoder *d, bool strict)
{
	memset(d, 0, sizeof *d);
	d->strict = strict;
	d->state = AT_START;
}

bool
dots_ended(const struct dots_decoder *d)
{
	return d->state == AT_END;
}

/* Put out what stands before "to". */
static void
run_flush(struct run *r, const uint8_t *to)
{
	if (to > r->from && r->out != NULL && !r->failed &&
	    sink_write(r->out, r->from, (size_t)(to - r->from)) == -1)
		r->failed = 1;
	r->from = to;
}

/* Strict: a bare CR or LF whose offset in the data is off; the data before it ends at "to". */
static void
run_bad(struct run *r, unsigned flag, uint64_t off, const uint8_t *to)
{
	struct dots_decoder *d = r->d;

	if (d->flags == 0)
		d->first_bad = off;
	d->flags |= flag;
	if (r->out != NULL) {
		run_flush(r, to);
		r->out = NULL;
	}
}

static void
line_grow(struct dots_decoder *d, size_t n)
{
	d->octets += n;
	d->line += n;
	if (d->line > d->longest)
		d->longest = d->line;
}

/* Put out a CR that was held back, or never stood by itself in this input. */
static void
run_cr(struct run *r)
{
	if (r->out != NULL && !r->failed && sink_write(r->out, "\r", 1) == -1)
		r->failed = 1;
}

#ifdef VEC_AVX2
/* The same as lf_dot, or where fewer than 65 octets are left. */
VEC_AVX2 static const uint8_t *
lf_dot_wide(const uint8_t *p, const uint8_t *end)
{
	const __m256i lf = _mm256_set1_epi8('\n'), dot = _mm256_set1_epi8('.');
	__m256i a, b;

	for (; end - p > 64; p += 64) {
		a = _mm256_and_si256(_mm256_cmpeq_epi8(vec_load32(p), lf),
		    _mm256_cmpeq_epi8(vec_load32(p + 1), dot));
		b = _mm256_and_si256(_mm256_cmpeq_epi8(vec_load32(p + 32), lf),
		    _mm256_cmpeq_epi8(vec_load32(p + 33), dot));
		if (!_mm256_testz_si256(_mm256_or_si256(a, b), _mm256_set1_epi8(-1)))
			return p + __builtin_ctzll(vec_mask64(a, b));
	}
	return p;
}
#endif

/* The first LF from p on with a dot behind it, or end when there is none. */
static const uint8_t *
lf_dot(const uint8_t *p, const uint8_t *end)
{
	vec at;

#ifdef VEC_AVX2
	if (end - p > 64 && vec_avx2())
		p = lf_dot_wide(p, end);
#endif
	for (; end - p > VEC_OCTETS; p += VEC_OCTETS) {
		at = vec_is(vec_load(p), '\n') & vec_is(vec_load(p + 1), '.');
		if (vec_any(at))
			return p + vec_first(at);
	}
	for (; end - p > 1; p++)
		if (p[0] == '\n' && p[1] == '.')
			return p;
	return end;
}

/* The first CR or LF from p on, or end when there is none. */
static const uint8_t *
cr_or_lf(const uint8_t *p, const uint8_t *end)
{
	vec v, at;

	for (; end - p >= VEC_OCTETS; p += VEC_OCTETS) {
		v = vec_load(p);
		at = vec_is(v, '\r') | vec_is(v, '\n');
		if (vec_any(at))
			return p + vec_first(at);
	}
	while (p < end && *p != '\r' && *p != '\n')
		p++;
	return p;
}

/* Where octets leave us that begin inside a line; to > p. */
static uint8_t
state_behind(const uint8_t *p, const uint8_t *to)
{
	if (to[-1] == '\r')
		return AFTER_CR;
	if (to[-1] != '\n')
		return IN_LINE;
	return to - p > 1 && to[-2] == '\r' ? AT_START : AFTER_LF;
}

/*
 * Inside a line, not strict: take octets up to where a dot may be stuffed, or all.  Returns the
 * first octet not taken.
 */
static const uint8_t *
in_text(struct run *r, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *lf = lf_dot(p, end), *to = lf < end ? lf + 1 : end;

	r->d->octets += (size_t)(to - p);
	r->d->state = state_behind(p, to);
	return to;
}

/*
 * Inside a line, strict: take octets up to the next CR, which is taken too.  Returns the first
 * octet not taken.
 */
static const uint8_t *
in_line(struct run *r, const uint8_t *p, const uint8_t *end)
{
	struct dots_decoder *d = r->d;
	const uint8_t *to = cr_or_lf(p, end);

	if (to < end && *to == '\n') {
		run_bad(r, DOTS_BARE_LF, d->octets + (size_t)(to - p), to);
		line_grow(d, (size_t)(to + 1 - p));
		return to + 1;
	}
	line_grow(d, (size_t)(to - p));
	if (to == end)
		return end;
	d->octets++;
	d->state = AFTER_CR;
	return to + 1;
}

/* The octet behind a CR of the data. */
static const uint8_t *
after_cr(struct run *r, const uint8_t *p)
{
	struct dots_decoder *d = r->d;

	if (*p == '\n') {
		d->octets++;
		d->line = 0;
		d->state = AT_START;
		return p + 1;
	}
	d->state = IN_LINE;
	if (!d->strict)
		return p;
	run_bad(r, DOTS_BARE_CR, d->octets - 1, p > r->from ? p - 1 : p);
	d->line++;
	if (d->line > d->longest)
		d->longest = d->line;
	return p;
}

/* Behind CRLF and ".\r", both held back. */
static const uint8_t *
after_dot_cr(struct run *r, const uint8_t *p)
{
	struct dots_decoder *d = r->d;

	if (*p == '\n') {
		d->state = AT_END;
		r->from = p + 1;
		return p + 1;
	}
	/* The dot was stuffed before a line that begins with a CR of its own. */
	d->octets++;
	d->odd = true;
	d->state = AFTER_CR;
	if (!d->strict)
		run_cr(r);
	r->from = p;
	return after_cr(r, p);
}

int
dots_decode(
    struct dots_decoder *d, const uint8_t *p, size_t n, size_t *used, const struct sink *out)
{
	const uint8_t *begin = p, *end = p + n;
	struct run r = {d, d->strict && d->flags != 0 ? NULL : out, p, 0};

	/* A CR at the end of an input waits for what is behind it: strict never puts out a bare
	 * one. */
	if (d->state == AFTER_CR && n > 0 && (*p == '\n' || !d->strict))
		run_cr(&r);
	while (p < end && d->state != AT_END)
		switch (d->state) {
		case AT_START:
			d->state = IN_LINE;
			if (*p == '.') {
				run_flush(&r, p);
				r.from = ++p;
				d->state = AFTER_DOT;
			}
			break;
		case AFTER_DOT:
			d->state = IN_LINE;
			if (*p == '\r') {
				r.from = ++p;
				d->state = AFTER_DOT_CR;
			} else if (*p != '.')
				d->odd = true;
			break;
		case AFTER_LF:
			d->state = IN_LINE;
			if (*p == '.')
				d->odd = true;
			break;
		case AFTER_DOT_CR:
			p = after_dot_cr(&r, p);
			break;
		case AFTER_CR:
			p = after_cr(&r, p);
			break;
		default:
			p = d->strict ? in_line(&r, p, end) : in_text(&r, p, end);
		}
	if (d->state != AT_END)
		run_flush(&r, d->state == AFTER_CR && n > 0 ? end - 1 : end);
	*used = (size_t)(p - begin);
	if (r.failed)
		return -1;
	return d->state == AT_END;
}

void
dots_encode_init(struct dots_encoder *e, const struct sink *out)
{
	memset(e, 0, sizeof *e);
	e->out = out;
	e->state = AT_START;
}

void
dots_encode_any_lf(struct dots_encoder *e)
{
	e->any_lf = true;
}

static int
put(struct dots_encoder *e, const void *p, size_t n)
{
	e->octets += n;
	return sink_write(e->out, p, n);
}

int
dots_encode(struct dots_encoder *e, const void *data, size_t n)
{
	const uint8_t *p = data, *end = p + n, *from = p, *lf, *to;

	while (p < end) {
		if (e->state == AFTER_CR && *p == '\n') {
			e->state = AT_START;
			p++;
			continue;
		}
		if (*p == '.' && (e->state == AT_START || (e->state == AFTER_LF && e->any_lf))) {
			if (put(e, from, (size_t)(p - from)) == -1 || put(e, ".", 1) == -1)
				return -1;
			from = p;
		}
		lf = lf_dot(p, end);
		to = lf < end ? lf + 1 : end;
		e->state = state_behind(p, to);
		p = to;
	}
	return put(e, from, (size_t)(end - from));
}

int
dots_encode_end(struct dots_encoder *e)
{
	static const char mark[] = "\r\n.\r\n";
	size_t skip = e->state == AT_START ? 2 : 0;

	e->state = AT_START;
	return put(e, mark + skip, sizeof mark - 1 - skip);
}
