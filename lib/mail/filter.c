/* Transfer encodings (RFC 2045, 6.7 and 6.8) and line ends. */
#include <string.h>

#include "base/enc.h"
#include "mail/write.h"

#define QP_LINE 75 /* octets before the "=" of a soft break */
#define B64_LINE 76

static const char hex[] = "0123456789ABCDEF";

void
mail_filter_init(struct mail_filter *f, enum mail_filter_kind kind, const struct sink *to)
{
	memset(f, 0, offsetof(struct mail_filter, hold));
	f->kind = kind;
	f->to = *to;
}

static int
flush(struct mail_filter *f)
{
	size_t n = f->nout;

	f->nout = 0;
	return sink_write(&f->to, f->out, n);
}

static inline int
out(struct mail_filter *f, uint8_t c)
{
	if (f->nout == sizeof f->out && flush(f) == -1)
		return -1;
	f->out[f->nout++] = c;
	return 0;
}

static int
out_n(struct mail_filter *f, const void *data, size_t n)
{
	const uint8_t *p = data;

	for (; n > 0; n--)
		if (out(f, *p++) == -1)
			return -1;
	return 0;
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int
b64_put(struct mail_filter *f, uint8_t c)
{
	f->bits = f->bits << 8 | c;
	f->nbits += 8;
	while (f->nbits >= 6) {
		f->nbits -= 6;
		if (out(f, (uint8_t)digits[f->bits >> f->nbits & 63]) == -1)
			return -1;
		if (++f->col == B64_LINE) {
			f->col = 0;
			if (out_n(f, "\r\n", 2) == -1)
				return -1;
		}
	}
	return 0;
}

static int
b64_encode_end(struct mail_filter *f)
{
	unsigned rest = f->nbits; /* 2 or 4 bits: 1 or 2 octets in the last group */

	if (rest > 0) {
		if (out(f, (uint8_t)digits[f->bits << (6 - rest) & 63]) == -1 ||
		    out_n(f, "==", rest == 2 ? 2 : 1) == -1)
			return -1;
		f->col += 4; /* at most the last group of a line */
	}
	return f->col > 0 ? out_n(f, "\r\n", 2) : 0;
}

static int
b64_take(struct mail_filter *f, uint8_t c)
{
	int v;

	if (f->state || (v = b64_value(c)) == -1) {
		f->state |= c == '=';
		return 0;
	}
	f->bits = f->bits << 6 | (uint32_t)v;
	f->nbits += 6;
	if (f->nbits < 8)
		return 0;
	f->nbits -= 8;
	return out(f, (uint8_t)(f->bits >> f->nbits));
}

/* One octet of quoted-printable as itself or as "=XX", behind a soft break if need be. */
static int
qp_put(struct mail_filter *f, uint8_t c, bool encode)
{
	if (f->col + (encode ? 3 : 1) > QP_LINE) {
		if (out_n(f, "=\r\n", 3) == -1)
			return -1;
		f->col = f->from = 0;
	}
	if ((f->col == 0 && c == '-') || (f->from == 4 && f->col == 4 && c == ' '))
		encode = true;
	if (encode) {
		f->col += 3;
		return out(f, '=') == -1 || out(f, (uint8_t)hex[c >> 4]) == -1
			   ? -1
			   : out(f, (uint8_t)hex[c & 15]);
	}
	if (f->from == f->col && f->from < 4 && c == (uint8_t) "From"[f->from])
		f->from++;
	f->col++;
	return out(f, c);
}

/* hold has white space and then a CR that the octets to come decide about. */
static int
qp_encode(struct mail_filter *f, uint8_t c)
{
	if (f->state) { /* a CR came last */
		f->state = 0;
		if (c == '\n') {
			if (f->nhold > 0 && qp_put(f, f->hold[0], true) == -1)
				return -1;
			f->nhold = 0;
			f->col = f->from = 0;
			return out_n(f, "\r\n", 2);
		}
		if (f->nhold > 0 && qp_put(f, f->hold[0], false) == -1)
			return -1;
		f->nhold = 0;
		if (qp_put(f, '\r', true) == -1)
			return -1;
	}
	if (c == '\r') {
		f->state = 1;
		return 0;
	}
	if (f->nhold > 0 && qp_put(f, f->hold[0], false) == -1)
		return -1;
	f->nhold = 0;
	if (c == ' ' || c == '\t') {
		f->hold[f->nhold++] = c;
		return 0;
	}
	return qp_put(f, c, c < 33 || c > 126 || c == '=');
}

static int
qp_encode_end(struct mail_filter *f)
{
	if (f->nhold > 0 && qp_put(f, f->hold[0], true) == -1)
		return -1;
	return f->state ? qp_put(f, '\r', true) : 0;
}

static int
hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* hold is "=" and what follows, or white space that may be at a line's end. */
static int
qp_decode(struct mail_filter *f, uint8_t c)
{
	bool soft = f->nhold > 0 && f->hold[0] == '=';
	uint8_t last = f->nhold > 0 ? f->hold[f->nhold - 1] : 0;
	int a, b;

	if (f->nhold > 0) {
		if (c == '\n') {
			if (f->nhold == 2 && soft && hex_digit(last) >= 0) {
				if (out_n(f, f->hold, 2) == -1)
					return -1;
			} else if (soft) {
				f->nhold = 0;
				return 0;
			}
			f->nhold = 0;
			return last == '\r' ? out_n(f, "\r\n", 2) : out(f, '\n');
		}
		if (soft && f->nhold == 1 && hex_digit(c) >= 0) {
			f->hold[f->nhold++] = c;
			return 0;
		}
		if (soft && f->nhold == 2 && (a = hex_digit(last)) >= 0) {
			if ((b = hex_digit(c)) >= 0) {
				f->nhold = 0;
				return out(f, (uint8_t)(a << 4 | b));
			}
		} else if (last != '\r' && f->nhold < MAIL_FILTER_HOLD &&
			   (c == ' ' || c == '\t' || c == '\r')) {
			f->hold[f->nhold++] = c;
			return 0;
		}
		if (out_n(f, f->hold, f->nhold) == -1)
			return -1;
		f->nhold = 0;
	}
	if (c == '=' || c == ' ' || c == '\t' || c == '\r') {
		f->hold[f->nhold++] = c;
		return 0;
	}
	return out(f, c);
}

static int
qp_decode_end(struct mail_filter *f)
{
	uint8_t last = f->nhold > 0 ? f->hold[f->nhold - 1] : 0;

	/* "=" or white space at the very end is a line's end; "=X" and CR are not */
	return last == '\r' || hex_digit(last) >= 0 ? out_n(f, f->hold, f->nhold) : 0;
}

static int
crlf(struct mail_filter *f, uint8_t c)
{
	if (c == '\n' && !f->state && out(f, '\r') == -1)
		return -1;
	f->state = c == '\r';
	return out(f, c);
}

int
mail_filter_write(struct mail_filter *f, const void *data, size_t n)
{
	static int (*const step[])(struct mail_filter *, uint8_t) = {
	    [MAIL_B64_ENCODE] = b64_put,
	    [MAIL_B64_DECODE] = b64_take,
	    [MAIL_QP_ENCODE] = qp_encode,
	    [MAIL_QP_DECODE] = qp_decode,
	    [MAIL_CRLF] = crlf,
	};
	int (*one)(struct mail_filter *, uint8_t) = step[f->kind];
	const uint8_t *p = data, *end = p + n;

	while (p < end)
		if (one(f, *p++) == -1)
			return -1;
	return 0;
}

int
mail_filter_end(struct mail_filter *f)
{
	int rc = 0;

	if (f->kind == MAIL_B64_ENCODE)
		rc = b64_encode_end(f);
	else if (f->kind == MAIL_QP_ENCODE)
		rc = qp_encode_end(f);
	else if (f->kind == MAIL_QP_DECODE)
		rc = qp_decode_end(f);
	return rc == -1 ? -1 : flush(f);
}

static int
sink_filter(void *ctx, const void *p, size_t n)
{
	return mail_filter_write(ctx, p, n);
}

struct sink
mail_filter_sink(struct mail_filter *f)
{
	return (struct sink){.write = sink_filter, .ctx = f};
}
