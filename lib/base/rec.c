#include "base/rec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REC_DEPTH_MAX 4 /* lists in lists; a declaration deeper than that is a bug */

uint64_t
rec_uint(const struct rec_field *f, const uint8_t *base)
{
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;

	switch (f->type) {
	case REC_U8:
		memcpy(&u8, base + f->off, sizeof u8);
		return u8;
	case REC_U16:
		memcpy(&u16, base + f->off, sizeof u16);
		return u16;
	case REC_U32:
		memcpy(&u32, base + f->off, sizeof u32);
		return u32;
	default:
		memcpy(&u64, base + f->off, sizeof u64);
		return u64;
	}
}

static int
within(const struct rec_field *f, uint64_t v)
{
	return v >= f->min && v <= f->max;
}

/* Octets and contents of a STR or BYTES member. */
static struct bytes
get_octets(const struct rec_field *f, const uint8_t *base)
{
	struct bytes b;
	const char *s;

	if (f->type == REC_BYTES) {
		memcpy(&b, base + f->off, sizeof b);
		return b;
	}
	memcpy(&s, base + f->off, sizeof s);
	b.p = (const uint8_t *)(s ? s : "");
	b.n = s ? strlen(s) : 0;
	return b;
}

const char *
rec_bad_field(const struct rec *r, const void *v)
{
	struct rec_list l;
	const char *bad;
	unsigned i, n;
	size_t k;
	const struct rec_field *f = r->rows(&n);

	for (i = 0; i < n; i++, f++) {

		switch (f->type) {
		case REC_STR:
		case REC_BYTES:
			if (!within(f, get_octets(f, v).n))
				return f->name;
			break;
		case REC_LIST:
			memcpy(&l, (const uint8_t *)v + f->off, sizeof l);
			if (!within(f, l.n))
				return f->name;
			for (k = 0; k < l.n; k++)
				if ((bad = rec_bad_field(f->item,
					 (const uint8_t *)l.v + k * f->item->size)) != NULL)
					return bad;
			break;
		default:
			if (!within(f, rec_uint(f, v)))
				return f->name;
		}
	}
	return NULL;
}

static int
put_uint(struct buf *out, enum rec_type type, uint64_t v)
{
	static const size_t width[] = {[REC_U8] = 1, [REC_U16] = 2, [REC_U32] = 4, [REC_U64] = 8};
	uint8_t b[8];

	put_be64(b, v);
	return buf_put(out, b + 8 - width[type], width[type]);
}

static int
encode(const struct rec *r, const uint8_t *v, struct buf *out)
{
	struct rec_list l;
	struct bytes b;
	unsigned i, n;
	size_t k;
	const struct rec_field *f = r->rows(&n);

	for (i = 0; i < n; i++, f++) {

		switch (f->type) {
		case REC_STR:
		case REC_BYTES:
			b = get_octets(f, v);
			if (put_uint(out, REC_U32, b.n) == -1 || buf_put(out, b.p, b.n) == -1)
				return -1;
			if (f->type == REC_STR && buf_putc(out, 0) == -1)
				return -1;
			break;
		case REC_LIST:
			memcpy(&l, v + f->off, sizeof l);
			if (put_uint(out, REC_U32, l.n) == -1)
				return -1;
			for (k = 0; k < l.n; k++)
				if (encode(f->item, (uint8_t *)l.v + k * f->item->size, out) == -1)
					return -1;
			break;
		default:
			if (put_uint(out, f->type, rec_uint(f, v)) == -1)
				return -1;
		}
	}
	return 0;
}

int
rec_encode(const struct rec *r, const void *v, struct buf *out)
{
	size_t len = buf_len(out);

	if (rec_bad_field(r, v) != NULL) {
		errno = EINVAL;
		return -1;
	}
	if (encode(r, v, out) == -1) {
		out->end = out->off + len;
		return -1;
	}
	return 0;
}

struct in {
	const uint8_t *p, *end;
	uint8_t *mem; /* next free octet behind the struct; NULL while only measuring */
	size_t used; /* octets of list storage so far */
};

static int
take(struct in *in, size_t n, const uint8_t **p)
{
	if ((size_t)(in->end - in->p) < n)
		return -1;
	*p = in->p;
	in->p += n;
	return 0;
}

static int
take_count(struct in *in, const struct rec_field *f, size_t *n)
{
	const uint8_t *p;

	if (take(in, 4, &p) == -1)
		return -1;
	*n = get_be32(p);
	return within(f, *n) ? 0 : -1;
}

static int
decode_octets(struct in *in, const struct rec_field *f, uint8_t *v)
{
	struct bytes b;
	const uint8_t *nul;
	const char *s;

	if (take_count(in, f, &b.n) == -1 || take(in, b.n, &b.p) == -1)
		return -1;
	if (f->type == REC_BYTES) {
		if (v != NULL)
			memcpy(v + f->off, &b, sizeof b);
		return 0;
	}
	if (take(in, 1, &nul) == -1 || *nul != 0 || memchr(b.p, 0, b.n) != NULL)
		return -1;
	s = (const char *)b.p;
	if (v != NULL)
		memcpy(v + f->off, &s, sizeof s);
	return 0;
}

static int
decode_uint(struct in *in, const struct rec_field *f, uint8_t *v)
{
	const uint8_t *p;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;

	switch (f->type) {
	case REC_U8:
		if (take(in, 1, &p) == -1 || !within(f, *p))
			return -1;
		if (v != NULL)
			v[f->off] = *p;
		return 0;
	case REC_U16:
		if (take(in, 2, &p) == -1 || !within(f, u16 = get_be16(p)))
			return -1;
		if (v != NULL)
			memcpy(v + f->off, &u16, sizeof u16);
		return 0;
	case REC_U32:
		if (take(in, 4, &p) == -1 || !within(f, u32 = get_be32(p)))
			return -1;
		if (v != NULL)
			memcpy(v + f->off, &u32, sizeof u32);
		return 0;
	default:
		if (take(in, 8, &p) == -1 || !within(f, u64 = get_be64(p)))
			return -1;
		if (v != NULL)
			memcpy(v + f->off, &u64, sizeof u64);
		return 0;
	}
}

static int decode(struct in *in, const struct rec *r, uint8_t *v, int depth);

static int
decode_list(struct in *in, const struct rec_field *f, uint8_t *v, int depth)
{
	struct rec_list l = {NULL, 0};
	size_t k, room;

	if (depth >= REC_DEPTH_MAX || take_count(in, f, &l.n) == -1)
		return -1;
	/* An item takes at least one octet: a count that the rest cannot hold is refused before
	 * anything is allocated for it. */
	if (l.n > (size_t)(in->end - in->p))
		return -1;
	room = (l.n * f->item->size + 15) & ~(size_t)15;
	if (in->mem != NULL && l.n > 0)
		l.v = in->mem + in->used;
	in->used += room;
	for (k = 0; k < l.n; k++)
		if (decode(in, f->item, l.v ? (uint8_t *)l.v + k * f->item->size : NULL,
			depth + 1) == -1)
			return -1;
	if (v != NULL)
		memcpy(v + f->off, &l, sizeof l);
	return 0;
}

static int
decode(struct in *in, const struct rec *r, uint8_t *v, int depth)
{
	unsigned i, n;
	const struct rec_field *f = r->rows(&n);
	int rc;

	for (i = 0; i < n; i++, f++) {

		if (f->type == REC_STR || f->type == REC_BYTES)
			rc = decode_octets(in, f, v);
		else if (f->type == REC_LIST)
			rc = decode_list(in, f, v, depth);
		else
			rc = decode_uint(in, f, v);
		if (rc == -1)
			return -1;
	}
	return 0;
}

void *
rec_decode(const struct rec *r, const void *p, size_t n)
{
	struct in in = {p, (const uint8_t *)p + n, NULL, 0};
	size_t head = (r->size + 15) & ~(size_t)15;
	uint8_t *mem;

	/* Once to check and to measure, once to fill. */
	if (decode(&in, r, NULL, 0) == -1 || in.p != in.end) {
		errno = EBADMSG;
		return NULL;
	}
	if ((mem = calloc(1, head + in.used)) == NULL)
		return NULL;
	in = (struct in){p, (const uint8_t *)p + n, mem + head, 0};
	(void)decode(&in, r, mem, 0);
	return mem;
}
