#include "net/dots.h"

#include <string.h>

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

/* A bare CR or LF whose offset in the data is off; the data before it ends at "to". */
static void
run_bad(struct run *r, unsigned flag, uint64_t off, const uint8_t *to)
{
	struct dots_decoder *d = r->d;

	if (d->flags == 0)
		d->first_bad = off;
	d->flags |= flag;
	if (d->strict && r->out != NULL) {
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

/*
 * Inside a line: take octets up to the next CR, which is taken too.  Returns the first octet not
 * taken.
 */
static const uint8_t *
in_line(struct run *r, const uint8_t *p, const uint8_t *end)
{
	struct dots_decoder *d = r->d;
	const uint8_t *cr = memchr(p, '\r', (size_t)(end - p)), *to = cr != NULL ? cr : end;
	const uint8_t *lf = memchr(p, '\n', (size_t)(to - p));

	if (lf != NULL)
		run_bad(r, DOTS_BARE_LF, d->octets + (size_t)(lf - p), lf);
	line_grow(d, (size_t)(to - p));
	if (cr == NULL)
		return end;
	d->octets++;
	d->state = AFTER_CR;
	return cr + 1;
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
	run_bad(r, DOTS_BARE_CR, d->octets - 1, p > r->from ? p - 1 : p);
	d->line++;
	if (d->line > d->longest)
		d->longest = d->line;
	d->state = IN_LINE;
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
			}
			break;
		case AFTER_DOT_CR:
			p = after_dot_cr(&r, p);
			break;
		case AFTER_CR:
			p = after_cr(&r, p);
			break;
		default:
			p = in_line(&r, p, end);
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
	const uint8_t *p = data, *end = p + n, *from = p, *cr, *lf;

	while (p < end) {
		if ((e->state == AT_START || e->state == AFTER_LF) && *p == '.') {
			if (put(e, from, (size_t)(p - from)) == -1 || put(e, ".", 1) == -1)
				return -1;
			from = p;
		}
		if (e->state == AFTER_CR && *p == '\n') {
			e->state = AT_START;
			p++;
			continue;
		}
		e->state = IN_LINE;
		cr = memchr(p, '\r', (size_t)(end - p));
		lf = e->any_lf ? memchr(p, '\n', (size_t)((cr != NULL ? cr : end) - p)) : NULL;
		if (lf != NULL) {
			e->state = AFTER_LF;
			p = lf + 1;
			continue;
		}
		if (cr == NULL)
			break;
		e->state = AFTER_CR;
		p = cr + 1;
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
