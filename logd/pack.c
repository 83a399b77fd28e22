#include "logd/pack.h"

#include <errno.h>
#include <string.h>

#define WHO_MAX 32 /* octets of a process' name, as in log_found */
#define NUMBER_MAX 10 /* octets of a variable number */
#define FIELDS_MAX 64

static uint8_t *
put_number(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

/* -1: it does not end, or is written in more octets than it needs. */
static int
take_number(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	unsigned shift;

	*v = 0;
	for (shift = 0; shift < 64 && *p < end; shift += 7) {
		uint8_t c = *(*p)++;

		if (shift == 63 && c > 1)
			return -1;
		*v |= (uint64_t)(c & 0x7f) << shift;
		if (c < 0x80)
			return c == 0 && shift > 0 ? -1 : 0;
	}
	return -1;
}

static const char *
string_of(const struct rec_field *f, const struct log_event *e)
{
	const char *s;

	memcpy(&s, (const uint8_t *)e + f->off, sizeof s);
	return s != NULL ? s : "";
}

/* Which fields are there; their strings' lengths, and the most octets that all of them take. */
static uint64_t
survey(const struct log_event *e, size_t lens[FIELDS_MAX], size_t *room)
{
	const struct rec_field *f;
	uint64_t mask = 0;
	unsigned i, n;

	f = rec_log_event.rows(&n);
	*room = 0;
	for (i = 0; i < n && i < FIELDS_MAX; i++, f++) {
		if (f->type == REC_STR) {
			if ((lens[i] = strlen(string_of(f, e))) == 0)
				continue;
			*room += lens[i] + 1;
		} else {
			if (rec_uint(f, (const uint8_t *)e) == 0)
				continue;
			*room += NUMBER_MAX;
		}
		mask |= 1ULL << i;
	}
	return mask;
}

int
pack_event(struct buf *out, const char *who, const struct log_event *e)
{
	const struct rec_field *f;
	size_t lens[FIELDS_MAX], room, wholen = strlen(who) + 1;
	uint64_t mask = survey(e, lens, &room);
	uint8_t *start, *p;
	unsigned i, n;

	if (wholen > WHO_MAX || 2 + wholen + NUMBER_MAX + room > PACKED_MAX) {
		errno = EINVAL;
		return -1;
	}
	if ((start = buf_reserve(out, 2 + wholen + NUMBER_MAX + room)) == NULL)
		return -1;
	memcpy(start + 2, who, wholen);
	p = put_number(start + 2 + wholen, mask);
	f = rec_log_event.rows(&n);
	for (i = 0; i < n && i < FIELDS_MAX; i++, f++) {
		if ((mask & 1ULL << i) == 0)
			continue;
		if (f->type == REC_STR) {
			memcpy(p, string_of(f, e), lens[i] + 1);
			p += lens[i] + 1;
		} else
			p = put_number(p, rec_uint(f, (const uint8_t *)e));
	}
	put_be16(start, (uint16_t)(p - start - 2));
	buf_added(out, (size_t)(p - start));
	return 0;
}

static int
take_string(const uint8_t **p, const uint8_t *end, size_t max, const char **s)
{
	const uint8_t *nul = memchr(*p, 0, (size_t)(end - *p));

	if (nul == NULL || (size_t)(nul - *p) > max)
		return -1;
	*s = (const char *)*p;
	*p = nul + 1;
	return 0;
}

static int
set_number(const struct rec_field *f, struct log_event *e, uint64_t v)
{
	uint8_t *at = (uint8_t *)e + f->off;
	uint32_t u32 = (uint32_t)v;
	uint16_t u16 = (uint16_t)v;

	if (v < f->min || v > f->max)
		return -1;
	switch (f->type) {
	case REC_U8:
		*at = (uint8_t)v;
		break;
	case REC_U16:
		memcpy(at, &u16, sizeof u16);
		break;
	case REC_U32:
		memcpy(at, &u32, sizeof u32);
		break;
	default:
		memcpy(at, &v, sizeof v);
	}
	return 0;
}

/* The fields that mask names; none of a later version than this. */
static int
take_fields(const uint8_t **p, const uint8_t *end, uint64_t mask, struct log_event *e)
{
	const struct rec_field *f;
	const char *s;
	unsigned i, n;
	uint64_t v;

	f = rec_log_event.rows(&n);
	if (n < 64 && mask >> n != 0)
		return -1;
	for (i = 0; i < n && i < FIELDS_MAX; i++, f++) {
		s = "";
		v = 0;
		if ((mask & 1ULL << i) != 0) {
			if (f->type == REC_STR ? take_string(p, end, f->max, &s) == -1 || *s == '\0'
					       : take_number(p, end, &v) == -1 || v == 0)
				return -1;
		}
		if (f->type == REC_STR)
			memcpy((uint8_t *)e + f->off, &s, sizeof s);
		else if (set_number(f, e, v) == -1)
			return -1;
	}
	return 0;
}

ssize_t
unpack_event(const uint8_t *p, size_t n, const char **who, struct log_event *e)
{
	const uint8_t *at = p + 2, *end;
	uint64_t mask;

	if (n == 0)
		return 0;
	if (n < 2 || get_be16(p) > n - 2)
		goto bad;
	end = at + get_be16(p);
	if (take_string(&at, end, WHO_MAX - 1, who) == -1 || take_number(&at, end, &mask) == -1 ||
	    take_fields(&at, end, mask, e) == -1 || at != end)
		goto bad;
	return end - p;
bad:
	errno = EBADMSG;
	return -1;
}
