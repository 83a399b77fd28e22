#include "openpgp/dearmor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NOT_B64 0xff

static uint8_t values[256];

static void
values_init(void)
{
	static const char alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	static bool done;
	unsigned i;

	if (done)
		return;
	memset(values, NOT_B64, sizeof values);
	for (i = 0; i < 64; i++)
		values[(uint8_t)alphabet[i]] = (uint8_t)i;
	done = true;
}

static int
bad(void)
{
	errno = EBADMSG;
	return -1;
}

/* Blanks at the end of a line, and the CR of its end, mean nothing. */
static size_t
trimmed(const uint8_t *p, size_t n)
{
	while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t' || p[n - 1] == '\r'))
		n--;
	return n;
}

int
pgp_lines_next(struct pgp_lines *l, struct bytes *line)
{
	struct pgp_src *s = l->from;
	const uint8_t *nl;
	size_t held = 0, k, room;
	int rc;

	l->cut = false;
	for (;;) {
		if ((rc = pgp_src_fill(s)) == -1)
			return -1;
		if (rc == 0) {
			if (held == 0 && !l->cut)
				return 0;
			break;
		}
		nl = memchr(s->p, '\n', s->n);
		k = nl != NULL ? (size_t)(nl - s->p) : s->n;
		if (nl != NULL && held == 0 && k <= l->size) {
			/* The common case: the whole line is in the window. */
			*line = (struct bytes){s->p, trimmed(s->p, k)};
			pgp_src_take(s, k + 1);
			l->off += k + 1;
			return 1;
		}
		room = l->size - held;
		if (k > room)
			l->cut = true;
		memcpy(l->buf + held, s->p, k < room ? k : room);
		held += k < room ? k : room;
		pgp_src_take(s, k + (nl != NULL));
		l->off += k + (nl != NULL);
		if (nl != NULL)
			break;
	}
	*line = (struct bytes){l->buf, trimmed(l->buf, held)};
	return 1;
}

/* The characters of one line of data. */
static int
decode_data(struct pgp_dearmor *d, const uint8_t *p, size_t n)
{
	uint8_t *to = d->out + d->n;
	uint32_t a, b, c, e, v;

	for (; n > 0 && (*p == ' ' || *p == '\t'); p++)
		n--;
	while (n > 0) {
		if (d->chars == 0) {
			for (; n >= 4; p += 4, n -= 4, to += 3) {
				a = values[p[0]];
				b = values[p[1]];
				c = values[p[2]];
				e = values[p[3]];
				if ((a | b | c | e) & 0x80)
					break;
				v = a << 18 | b << 12 | c << 6 | e;
				to[0] = (uint8_t)(v >> 16);
				to[1] = (uint8_t)(v >> 8);
				to[2] = (uint8_t)v;
			}
			if (n == 0)
				break;
		}
		if (*p == '=') {
			if (d->chars + d->pads < 2 || d->chars + d->pads > 3)
				return bad();
			d->pads++;
		} else {
			if (values[*p] == NOT_B64 || d->pads > 0)
				return bad();
			d->acc = d->acc << 6 | values[*p];
			d->chars++;
		}
		p++;
		n--;
		if (d->chars + d->pads < 4)
			continue;
		v = d->acc << 6 * d->pads;
		*to++ = (uint8_t)(v >> 16);
		if (d->pads < 2)
			*to++ = (uint8_t)(v >> 8);
		if (d->pads < 1)
			*to++ = (uint8_t)v;
		d->acc = d->chars = 0;
		if (d->pads > 0) {
			if (n > 0)
				return bad();
			d->state = DEARMOR_TAIL;
		}
	}
	d->crc = pgp_crc24(d->crc, d->out + d->n, (size_t)(to - (d->out + d->n)));
	d->n = (size_t)(to - d->out);
	return 0;
}

static int
decode_crc(struct pgp_dearmor *d, const uint8_t *p)
{
	unsigned i;

	d->crc_told = 0;
	for (i = 0; i < 4; i++) {
		if (values[p[i]] == NOT_B64)
			return bad();
		d->crc_told = d->crc_told << 6 | values[p[i]];
	}
	d->crc_seen = true;
	d->state = DEARMOR_TAIL;
	return 0;
}

/* One line within a block, behind its headers. */
static int
data_line(struct pgp_dearmor *d, struct bytes line)
{
	if (d->lines.cut)
		return bad();
	if (line.n == 0)
		return 0;
	if (line.p[0] == '-') {
		if (pgp_armor_ends(line) != d->type || d->chars != 0 ||
		    (d->crc_seen && d->crc != d->crc_told))
			return bad();
		d->state = DEARMOR_DONE;
		return 0;
	}
	if (line.p[0] == '=' && line.n == 5 && d->chars == 0 && !d->crc_seen)
		return decode_crc(d, line.p + 1);
	if (d->state == DEARMOR_TAIL)
		return bad();
	return decode_data(d, line.p, line.n);
}

int
pgp_dearmor_begin(struct pgp_dearmor *d)
{
	struct bytes line;
	int rc;

	while (d->state == DEARMOR_PREFACE) {
		if ((rc = pgp_lines_next(&d->lines, &line)) != 1)
			return rc;
		if (!d->lines.cut && (d->type = pgp_armor_begins(line)) != PGP_ARMOR_NONE)
			d->state = DEARMOR_HEADERS;
		else if (d->lines.off > PGP_ARMOR_PREFACE_MAX)
			return 0;
	}
	return 1;
}

/* A header that a program wrote: any other is words for whoever looks at the armour. */
static bool
is_usual(struct bytes line)
{
	static const char *const keys[] = {"Version:", "Charset:", "Hash:"};
	size_t i, n;

	for (i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		n = strlen(keys[i]);
		if (line.n >= n && line.n <= PGP_ARMOR_USUAL_MAX &&
		    strncasecmp((const char *)line.p, keys[i], n) == 0)
			return true;
	}
	return false;
}

/* "Key: value" lines up to an empty one; a block without the empty line is taken as well. */
static int
skip_headers(struct pgp_dearmor *d)
{
	struct bytes line;
	int rc;

	while (d->state == DEARMOR_HEADERS) {
		if ((rc = pgp_lines_next(&d->lines, &line)) != 1)
			return rc == 0 ? bad() : -1;
		if (line.n == 0) {
			d->state = DEARMOR_DATA;
		} else if (memchr(line.p, ':', line.n) == NULL) {
			d->state = DEARMOR_DATA;
			return data_line(d, line);
		} else if (++d->headers > PGP_ARMOR_HEADERS_MAX) {
			return bad();
		} else if (d->lines.cut || !is_usual(line)) {
			d->remarks = true;
		}
	}
	return 0;
}

static int
dearmor_more(struct pgp_src *s)
{
	struct pgp_dearmor *d = (struct pgp_dearmor *)s;
	struct bytes line;
	int rc;

	if ((rc = pgp_dearmor_begin(d)) != 1)
		return rc;
	d->n = 0;
	if (skip_headers(d) == -1)
		return -1;
	while (d->state != DEARMOR_DONE && d->n < PGP_DEARMOR_OUT) {
		if ((rc = pgp_lines_next(&d->lines, &line)) == -1)
			return -1;
		if (rc == 0)
			return bad();
		if (data_line(d, line) == -1)
			return -1;
	}
	s->p = d->out;
	s->n = d->n;
	return d->n > 0;
}

void
pgp_dearmor_open(struct pgp_dearmor *d, struct pgp_src *from)
{
	values_init();
	memset(d, 0, offsetof(struct pgp_dearmor, out));
	d->src.more = dearmor_more;
	d->lines = (struct pgp_lines){.from = from, .size = sizeof d->line, .buf = d->line};
	d->crc = PGP_CRC24_INIT;
}

void
pgp_dearmor_open_inside(struct pgp_dearmor *d, struct pgp_src *from, enum pgp_armor_type type)
{
	pgp_dearmor_open(d, from);
	d->type = type;
	d->state = DEARMOR_HEADERS;
}

int
pgp_dearmor(const void *p, size_t n, struct buf *out, enum pgp_armor_type *type, size_t *used,
    struct err *e)
{
	struct octets in = octets_mem(p, n);
	struct pgp_dearmor *d = NULL;
	struct pgp_input i;
	int rc = -1;

	if (pgp_input_open(&i, &in, 0, n) == -1 || (d = malloc(sizeof *d)) == NULL) {
		err_sys(e, "armour");
		goto out;
	}
	pgp_dearmor_open(d, &i.src);
	if ((rc = pgp_dearmor_begin(d)) != 1)
		goto out;
	if (type != NULL)
		*type = d->type;
	while ((rc = pgp_src_fill(&d->src)) == 1) {
		if (buf_put(out, d->src.p, d->src.n) == -1) {
			rc = err_sys(e, "armoured data");
			goto out;
		}
		pgp_src_take(&d->src, d->src.n);
	}
	if (rc == -1) {
		err_set(e, EBADMSG, "malformed ASCII armour (damaged, cut, or wrong checksum)");
		goto out;
	}
	if (used != NULL)
		*used = (size_t)d->lines.off;
	rc = 1;
out:
	if (d != NULL)
		explicit_bzero(d, sizeof *d); /* it may have been a secret key */
	free(d);
	pgp_input_close(&i);
	return rc;
}

int
pgp_armor_find(const struct octets *text, uint64_t from, struct pgp_block *block)
{
	enum pgp_armor_type want = PGP_ARMOR_NONE, type;
	uint8_t long_line[PGP_ARMOR_LINE_MAX];
	struct pgp_lines lines = {.size = sizeof long_line, .buf = long_line};
	struct pgp_input i;
	struct bytes line;
	uint64_t at;
	int rc = 0;

	if (from >= text->size)
		return 0;
	if (pgp_input_open(&i, text, from, text->size) == -1)
		return -1;
	lines.from = &i.src;
	for (;;) {
		at = from + lines.off;
		if ((rc = pgp_lines_next(&lines, &line)) != 1)
			break;
		if (lines.cut || line.n == 0 || line.p[0] != '-')
			continue;
		if ((type = pgp_armor_begins(line)) != PGP_ARMOR_NONE) {
			/* The signature of a clear-signed text belongs to it; any other BEGIN
			 * inside of a block means that the block was none. */
			if (want == PGP_ARMOR_CLEARSIGNED && type == PGP_ARMOR_SIGNATURE) {
				want = PGP_ARMOR_SIGNATURE;
				continue;
			}
			block->type = want = type;
			block->begin = at;
		} else if (want != PGP_ARMOR_NONE && pgp_armor_ends(line) == want) {
			block->end = from + lines.off;
			rc = 1;
			break;
		}
	}
	pgp_input_close(&i);
	return rc;
}
