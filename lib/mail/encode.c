#include "mail/encode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mail/encode_head.h"
#include "mail/reader.h"
#include "mail/write.h"

/* What a part, or something in it, needs. */
#define NEED_SOFT 1
#define NEED_HARD 2
#define NEED_FAIL 4 /* and cannot get */
#define NEED_HEAD 8 /* its own header has to change */
#define NEED_FRAME 16 /* its own preamble, delimiters and epilogue are written anew */

#define HEAD_FAULTS                                                                                \
	(MAIL_HEAD_8BIT | MAIL_HEAD_NUL | MAIL_HEAD_BARE_CR | MAIL_HEAD_BARE_LF |                  \
	    MAIL_HEAD_LONG_LINE)

struct job {
	const struct octets *o;
	const struct mail_index *ix;
	const struct sink *to;
	uint8_t *need; /* of each part */
};

/* A multipart whose content somebody has already signed or encrypted. */
static bool
is_sealed(const struct mail_part *p)
{
	return mail_part_is(p, "multipart", "signed") || mail_part_is(p, "multipart", "encrypted");
}

static bool
is_printable(const char *s)
{
	for (; *s != '\0'; s++)
		if ((uint8_t)*s < 32 || (uint8_t)*s > 126)
			return false;
	return true;
}

/* A leaf that may not get an encoding (RFC 2045, 6.4; RFC 2046, 5.2), or has an unknown one. */
static bool
is_fixed(const struct mail_part *p)
{
	if (p->cte == MAIL_CTE_OTHER)
		return true;
	if (p->cte == MAIL_CTE_QP || p->cte == MAIL_CTE_BASE64)
		return false;
	return mail_part_is(p, "multipart", NULL) || mail_part_is(p, "message", NULL);
}

static unsigned
need_leaf(const struct mail_part *p)
{
	/* A multipart whose only delimiter is its last has the faults of that line. */
	if (p->flags & (MAIL_7BIT_HARD | MAIL_DELIM_DIRTY))
		return is_fixed(p) ? NEED_HARD | NEED_FAIL : NEED_HARD;
	return (p->flags & MAIL_7BIT_SOFT) && !is_fixed(p) ? NEED_SOFT : 0;
}

/* Of a multipart's own octets. */
static unsigned
need_frame(const struct mail_part *p)
{
	bool hard = p->flags & (MAIL_7BIT_HARD | MAIL_DELIM_DIRTY);

	if (!hard && !(p->flags & MAIL_7BIT_SOFT))
		return 0;
	if ((p->flags & MAIL_OPAQUE) || !is_printable(p->boundary))
		return hard ? NEED_HARD | NEED_FAIL : 0;
	return NEED_FRAME | (hard ? NEED_HARD : NEED_SOFT);
}

/* Where the parts in and below part end. */
static uint32_t
subtree_end(const struct mail_index *ix, uint32_t part)
{
	uint32_t i = part + 1;

	while (i < ix->n && ix->parts[i].depth > ix->parts[part].depth)
		i++;
	return i;
}

/*
 * What each part of the subtree needs; need has ix->n zero octets.
 *
 * Returns 0, or -1 with errno EOPNOTSUPP.
 */
static int
plan(const struct mail_index *ix, uint32_t part, bool entity, uint8_t *need)
{
	uint32_t i = subtree_end(ix, part);

	while (i-- > part) { /* children stand behind their parents */
		const struct mail_part *p = &ix->parts[i];

		need[i] |= mail_part_leaf(p) ? need_leaf(p) : need_frame(p);
		if (is_sealed(p)) {
			if (need[i] & NEED_HARD)
				need[i] |= NEED_FAIL;
			need[i] &= NEED_FAIL; /* soft faults are its maker's business */
		} else if (p->cte == MAIL_CTE_8BIT || p->cte == MAIL_CTE_BINARY)
			need[i] |= NEED_SOFT | NEED_HEAD;
		if ((p->flags & HEAD_FAULTS) && !(entity && i == part))
			need[i] |= NEED_HARD | NEED_HEAD;
		if ((p->flags & HEAD_FAULTS) && !is_printable(p->boundary))
			need[i] |= NEED_FAIL; /* encoding that field would lose the boundary */
		if (i != part)
			need[p->parent] |= need[i] & (NEED_HARD | NEED_SOFT | NEED_FAIL);
	}
	if (need[part] & NEED_FAIL) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return 0;
}

/* A sink that counts what quoted-printable and base64 would take. */
struct count {
	uint64_t octets, escaped;
};

static int
count_write(void *ctx, const void *data, size_t n)
{
	struct count *c = ctx;
	const uint8_t *p = data, *end = p + n;

	c->octets += n;
	for (; p < end; p++)
		c->escaped +=
		    (*p < 32 && *p != '\r' && *p != '\n' && *p != '\t') || *p > 126 || *p == '=';
	return 0;
}

/* The encoding for a leaf that needs one; -1 with errno when it cannot be read. */
static int
choose(const struct job *j, const struct mail_part *p, enum mail_filter_kind *kind)
{
	struct count c = {0};
	struct sink s = {.write = count_write, .ctx = &c};

	*kind = MAIL_B64_ENCODE;
	if (p->cte == MAIL_CTE_QP)
		*kind = MAIL_QP_ENCODE;
	else if (p->cte != MAIL_CTE_BASE64 && mail_part_is(p, "text", NULL)) {
		if (mail_part_decode(j->o, p, &s) == -1)
			return -1;
		/* base64 takes 4 for 3 and a line end for 76; text that people can read is worth 8
		 */
		if (2 * c.escaped <= c.octets * 37 / 100 + 8)
			*kind = MAIL_QP_ENCODE;
	}
	return 0;
}

static int
write_leaf(const struct job *j, const struct mail_part *p, enum mail_filter_kind kind)
{
	struct mail_filter *f = malloc(sizeof *f);
	struct sink s;
	int rc = -1;

	if (f == NULL)
		return -1;
	mail_filter_init(f, kind, j->to);
	s = mail_filter_sink(f);
	if (mail_part_decode(j->o, p, &s) == 0 && mail_filter_end(f) == 0)
		rc = 0;
	free(f);
	return rc;
}

static int write_part(const struct job *j, uint32_t i, unsigned how);

/* Is there a line end in what follows the close delimiter, or only the delimiter? */
static int
tail_ends(const struct job *j, uint64_t off, uint64_t end, bool *ends)
{
	struct mail_reader r;
	const uint8_t *p;
	ssize_t n;
	int rc = -1;

	*ends = false;
	if (mail_reader_init(&r, j->o, off, end - off) == -1)
		return -1;
	while (!*ends && (n = mail_reader_next(&r, &p)) != 0) {
		if (n == -1)
			goto out;
		*ends = memchr(p, '\n', (size_t)n) != NULL;
	}
	rc = 0;
out:
	mail_reader_free(&r);
	return rc;
}

/*
 * The octets between off and end: behind one child, or the start of the body, and before the
 * next, or the end of the body.  They are copied, or a delimiter is written in their place.
 */
static int
write_gap(const struct job *j, const struct mail_part *p, uint64_t off, uint64_t end, bool last)
{
	uint8_t c = 0;
	bool ends = false;

	if (!(j->need[p - j->ix->parts] & NEED_FRAME))
		return sink_copy(j->to, j->o, off, end - off);
	if (off == end)
		return 0; /* no end boundary */
	/* the line end before the delimiter, unless the part before ended at once */
	if (off > p->body_off) {
		if (octets_read(j->o, &c, 1, off) == -1)
			return -1;
		if ((c == '\r' || c == '\n') && sink_write(j->to, "\r\n", 2) == -1)
			return -1;
		off += c == '\n' ? 1 : c == '\r' ? 2 : 0;
	}
	if (last && p->flags & MAIL_UNCLOSED)
		return 0;
	if (last && tail_ends(j, off, end, &ends) == -1)
		return -1;
	if (sink_puts(j->to, "--") == -1 || sink_puts(j->to, p->boundary) == -1 ||
	    (last && sink_puts(j->to, "--") == -1))
		return -1;
	return !last || ends ? sink_write(j->to, "\r\n", 2) : 0;
}

static int
write_container(const struct job *j, const struct mail_part *p)
{
	uint64_t off = p->body_off;
	const struct mail_part *c;
	uint32_t i;

	for (i = p->child; i != MAIL_NONE; i = j->ix->parts[i].next) {
		c = &j->ix->parts[i];
		if (write_gap(j, p, off, c->head_off, false) == -1 || write_part(j, i, 0) == -1)
			return -1;
		off = c->body_off + c->body_len;
	}
	return write_gap(j, p, off, p->body_off + p->body_len, true);
}

/* Depth is bounded by MAIL_DEPTH_MAX. */
static int
write_part(const struct job *j, uint32_t i, unsigned how)
{
	const struct mail_part *p = &j->ix->parts[i];
	enum mail_filter_kind kind = MAIL_QP_ENCODE;
	unsigned need = j->need[i];
	const char *cte = NULL;
	bool encode =
	    mail_part_leaf(p) && !is_sealed(p) && need_leaf(p) != 0 && !(how & MAIL_KEEP_ENCODING);

	if (need == 0 && how == 0)
		return sink_copy(j->to, j->o, p->head_off, p->head_len + p->body_len);
	if (encode) {
		if (choose(j, p, &kind) == -1)
			return -1;
		cte = kind == MAIL_QP_ENCODE ? "quoted-printable" : "base64";
	} else if ((p->cte == MAIL_CTE_8BIT || p->cte == MAIL_CTE_BINARY) &&
		   !(how & MAIL_KEEP_ENCODING) && !is_sealed(p))
		cte = "7bit";
	if (mail_encode_head(j->o, p, cte, how, j->to) == -1)
		return -1;
	if (encode)
		return write_leaf(j, p, kind);
	if (mail_part_leaf(p) || is_sealed(p) || !(need & (NEED_HARD | NEED_SOFT)))
		return sink_copy(j->to, j->o, p->body_off, p->body_len);
	return write_container(j, p);
}

int
mail_to_7bit(const struct octets *o, const struct mail_index *ix, uint32_t part, unsigned how,
    const struct sink *to)
{
	struct job j = {.o = o, .ix = ix, .to = to};
	int rc = -1;

	if ((j.need = calloc(ix->n, 1)) == NULL)
		return -1;
	if ((how & MAIL_KEEP_ENCODING) || plan(ix, part, (how & MAIL_ENTITY) != 0, j.need) == 0)
		rc = write_part(&j, part, how);
	free(j.need);
	return rc;
}
