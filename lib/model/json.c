#include "model/json.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/enc.h"

#define PATH_TEXT_MAX 200

/* Octets of the UTF-8 sequence at p (RFC 3629, 4), 0 when there is none. */
static size_t
utf8_len(const uint8_t *p, size_t n)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t len, i;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : (p[0] < 0xf0 ? 3 : 4);
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f; /* no surrogates */
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (n < len || p[1] < low || p[1] > high)
		return 0;
	for (i = 2; i < len; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return len;
}

static int
put_string(struct buf *out, const char *s)
{
	const uint8_t *p = (const uint8_t *)(s != NULL ? s : "");
	size_t n = strlen((const char *)p), len;
	int rc = buf_putc(out, '"');

	for (; rc == 0 && n > 0; p += len, n -= len) {
		if ((len = utf8_len(p, n)) == 0) {
			rc = buf_puts(out, "\xef\xbf\xbd");
			len = 1;
		} else if (*p == '"' || *p == '\\')
			rc = buf_printf(out, "\\%c", *p);
		else if (*p < 0x20 || *p == 0x7f)
			rc = buf_printf(out, "\\u%04x", *p);
		else
			rc = buf_put(out, p, len);
	}
	return rc == 0 ? buf_putc(out, '"') : -1;
}

static int
put_hex(struct buf *out, const struct bytes *b)
{
	char text[2 * 256 + 1];
	size_t i, n;

	if (buf_putc(out, '"') == -1)
		return -1;
	for (i = 0; i < b->n; i += n) {
		n = b->n - i < 256 ? b->n - i : 256;
		if (buf_puts(out, hex_encode(text, b->p + i, n)) == -1)
			return -1;
	}
	return buf_putc(out, '"');
}

/* What stands between two fields or items: a new line in text for people. */
static int
put_break(struct buf *out, int flags, unsigned level)
{
	if (!(flags & JSON_LINES))
		return 0;
	return buf_printf(out, "\n%*s", (int)(2 * level), "");
}

static int put_rec(
    const struct rec *r, const uint8_t *v, int flags, unsigned level, struct buf *out);

static int
put_list(const struct rec_field *f, const uint8_t *v, int flags, unsigned level, struct buf *out)
{
	struct rec_list l;
	size_t i;

	memcpy(&l, v + f->off, sizeof l);
	if (buf_putc(out, '[') == -1)
		return -1;
	for (i = 0; i < l.n; i++)
		if ((i > 0 && buf_putc(out, ',') == -1) || put_break(out, flags, level + 1) == -1 ||
		    put_rec(f->item, (const uint8_t *)l.v + i * f->item->size, flags, level + 1,
			out) == -1)
			return -1;
	if (l.n > 0 && put_break(out, flags, level) == -1)
		return -1;
	return buf_putc(out, ']');
}

static int
put_field(const struct rec_field *f, const uint8_t *v, int flags, unsigned level, struct buf *out)
{
	struct bytes b;
	const char *s;
	uint64_t u;

	switch (f->type) {
	case REC_STR:
		memcpy(&s, v + f->off, sizeof s);
		return put_string(out, s);
	case REC_BYTES:
		memcpy(&b, v + f->off, sizeof b);
		return put_hex(out, &b);
	case REC_LIST:
		return put_list(f, v, flags, level, out);
	default:
		u = rec_uint(f, v);
		return buf_printf(out, u > INT64_MAX ? "\"%" PRIu64 "\"" : "%" PRIu64, u);
	}
}

/* The depth of the recursion is that of the declaration. */
static int
put_rec(const struct rec *r, const uint8_t *v, int flags, unsigned level, struct buf *out)
{
	unsigned i, n;
	const struct rec_field *f = r->rows(&n);

	if (buf_putc(out, '{') == -1)
		return -1;
	for (i = 0; i < n; i++, f++)
		if ((i > 0 && buf_putc(out, ',') == -1) || put_break(out, flags, level + 1) == -1 ||
		    buf_printf(out, flags & JSON_LINES ? "\"%s\": " : "\"%s\":", f->name) == -1 ||
		    put_field(f, v, flags, level + 1, out) == -1)
			return -1;
	return put_break(out, flags, level) == -1 ? -1 : buf_putc(out, '}');
}

int
json_from_rec(const struct rec *r, const void *v, int flags, struct buf *out)
{
	size_t len = buf_len(out);

	if (rec_bad_field(r, v) != NULL) {
		errno = EINVAL;
		return -1;
	}
	if (put_rec(r, v, flags, 0, out) == -1) {
		out->end = out->off + len;
		return -1;
	}
	return 0;
}

/* Where we are in the object, for messages; the chain lives on the stack. */
struct place {
	const struct place *up;
	const char *name;
	size_t index; /* of an item, when name is NULL */
};

static size_t
place_text(const struct place *at, char *out, size_t room)
{
	size_t used = at->up != NULL ? place_text(at->up, out, room) : 0;
	int n;

	if (used >= room)
		return used;
	if (at->name == NULL)
		n = snprintf(out + used, room - used, "[%zu]", at->index);
	else
		n = snprintf(out + used, room - used, "%s%.64s", used > 0 ? "." : "", at->name);
	return used + (n > 0 ? (size_t)n : 0);
}

static int
wrong(const struct place *at, struct err *e, const char *what)
{
	char path[PATH_TEXT_MAX] = "";

	(void)place_text(at, path, sizeof path);
	return err_set(e, EINVAL, "%s: %s", path, what);
}

static int
out_of_bounds(const struct place *at, const struct rec_field *f, const char *of, struct err *e)
{
	char what[96];

	(void)snprintf(
	    what, sizeof what, "%" PRIu64 " to %" PRIu64 " %s needed", f->min, f->max, of);
	return wrong(at, e, what);
}

/* A failure to append: EMSGSIZE or ENOMEM. */
static int
no_room(struct err *e)
{
	return err_sys(e, "record");
}

static int
put_be(struct buf *wire, enum rec_type type, uint64_t v)
{
	static const size_t width[] = {[REC_U8] = 1, [REC_U16] = 2, [REC_U32] = 4, [REC_U64] = 8};
	uint8_t b[8];

	put_be64(b, v);
	return buf_put(wire, b + 8 - width[type], width[type]);
}

/* A number, or a string of its decimal digits. */
static int
take_uint(const struct rec_field *f, const json_t *j, struct buf *wire, const struct place *at,
    struct err *e)
{
	uint64_t v = 0;
	const char *s;
	size_t i, n;

	if (json_is_integer(j)) {
		if (json_integer_value(j) < 0)
			return out_of_bounds(at, f, "is", e);
		v = (uint64_t)json_integer_value(j);
	} else if (json_is_string(j)) {
		s = json_string_value(j);
		n = json_string_length(j);
		for (i = 0; i < n; i++) {
			unsigned d = (unsigned char)s[i] - (unsigned)'0';

			if (d > 9 || v > (UINT64_MAX - d) / 10)
				return wrong(at, e, "a number is needed");
			v = v * 10 + d;
		}
		if (n == 0)
			return wrong(at, e, "a number is needed");
	} else if (j != NULL)
		return wrong(at, e, "a number is needed");
	if (v < f->min || v > f->max)
		return j == NULL ? wrong(at, e, "is missing") : out_of_bounds(at, f, "is", e);
	return put_be(wire, f->type, v) == -1 ? no_room(e) : 0;
}

static int
take_string(const struct rec_field *f, const json_t *j, struct buf *wire, const struct place *at,
    struct err *e)
{
	const char *s = j != NULL ? json_string_value(j) : "";
	size_t n;

	if (s == NULL)
		return wrong(at, e, "a string is needed");
	n = j != NULL ? json_string_length(j) : 0;
	if (n < f->min || n > f->max)
		return j == NULL ? wrong(at, e, "is missing")
				 : out_of_bounds(at, f, "octets are", e);
	if (memchr(s, 0, n) != NULL)
		return wrong(at, e, "has a NUL");
	if (put_be(wire, REC_U32, n) == -1 || buf_put(wire, s, n) == -1 || buf_putc(wire, 0) == -1)
		return no_room(e);
	return 0;
}

static int
take_bytes(const struct rec_field *f, const json_t *j, struct buf *wire, const struct place *at,
    struct err *e)
{
	const char *s = j != NULL ? json_string_value(j) : "";
	size_t n = j != NULL && s != NULL ? json_string_length(j) : 0;
	uint8_t *p;

	if (s == NULL || n % 2 != 0)
		return wrong(at, e, "a string of pairs of hexadecimal digits is needed");
	if (n / 2 < f->min || n / 2 > f->max)
		return j == NULL ? wrong(at, e, "is missing")
				 : out_of_bounds(at, f, "octets are", e);
	if (put_be(wire, REC_U32, n / 2) == -1)
		return no_room(e);
	if (n == 0)
		return 0;
	if ((p = buf_reserve(wire, n / 2)) == NULL)
		return no_room(e);
	if (hex_decode(p, n / 2, s, n) != (ssize_t)(n / 2))
		return wrong(at, e, "a string of pairs of hexadecimal digits is needed");
	buf_added(wire, n / 2);
	return 0;
}

static int take_rec(
    const struct rec *r, const json_t *j, struct buf *wire, const struct place *up, struct err *e);

static int
take_list(const struct rec_field *f, const json_t *j, struct buf *wire, const struct place *at,
    struct err *e)
{
	struct place item = {at, NULL, 0};
	size_t n = j != NULL ? json_array_size(j) : 0;

	if (j != NULL && !json_is_array(j))
		return wrong(at, e, "an array is needed");
	if (n < f->min || n > f->max)
		return j == NULL ? wrong(at, e, "is missing")
				 : out_of_bounds(at, f, "items are", e);
	if (put_be(wire, REC_U32, n) == -1)
		return no_room(e);
	for (; item.index < n; item.index++)
		if (take_rec(f->item, json_array_get(j, item.index), wire, &item, e) == -1)
			return -1;
	return 0;
}

static int
no_unknown_field(const struct rec *r, const json_t *j, const struct place *up, struct err *e)
{
	const char *name;
	json_t *value;
	unsigned i, n;
	const struct rec_field *f = r->rows(&n);

	json_object_foreach((json_t *)(uintptr_t)j, name, value)
	{
		for (i = 0; i < n && strcmp(f[i].name, name) != 0; i++)
			continue;
		if (i == n)
			return wrong(&(struct place){up, name, 0}, e, "there is no such field");
	}
	return 0;
}

/* The depth of the recursion is that of the declaration. */
static int
take_rec(
    const struct rec *r, const json_t *j, struct buf *wire, const struct place *up, struct err *e)
{
	struct place at = {up, NULL, 0};
	unsigned i, n;
	const struct rec_field *f = r->rows(&n);
	const json_t *value;
	int rc = 0;

	if (!json_is_object(j))
		return wrong(
		    up != NULL ? up : &(struct place){NULL, r->name, 0}, e, "an object is needed");
	if (no_unknown_field(r, j, up, e) == -1)
		return -1;
	for (i = 0; i < n && rc == 0; i++, f++) {
		at.name = f->name;
		value = json_object_get(j, f->name);
		switch (f->type) {
		case REC_STR:
			rc = take_string(f, value, wire, &at, e);
			break;
		case REC_BYTES:
			rc = take_bytes(f, value, wire, &at, e);
			break;
		case REC_LIST:
			rc = take_list(f, value, wire, &at, e);
			break;
		default:
			rc = take_uint(f, value, wire, &at, e);
		}
	}
	return rc;
}

int
json_to_rec(const struct rec *r, const char *text, size_t n, struct buf *wire, struct err *e)
{
	size_t len = buf_len(wire);
	json_error_t why;
	json_t *j;
	int rc;

	if (n > JSON_TEXT_MAX)
		return err_set(e, EMSGSIZE, "more than %d octets of JSON", JSON_TEXT_MAX);
	if ((j = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why)) == NULL)
		return err_set(e, EINVAL, "line %d: %s", why.line, why.text);
	rc = take_rec(r, j, wire, NULL, e);
	if (rc == -1)
		wire->end = wire->off + len;
	json_decref(j);
	return rc;
}
