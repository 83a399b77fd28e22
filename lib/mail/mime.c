#include "mail/mime.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mail/mime_head.h"
#include "mail/reader.h"
#include "mail/strings.h"
#include "mail/write.h"

#define LINE_HELD (2 + MAIL_BOUNDARY_MAX + 2) /* enough of a line to know a delimiter */
#define LINE_LONG 998

/* A part that is not finished yet. */
struct open_part {
	uint32_t part;
	uint64_t lines; /* line ends before its body */
	const char *boundary; /* NULL: none, or closed */
	size_t len;
	uint32_t key, mask; /* its first 4 octets, to tell most lines apart quickly */
	const char *closed; /* the boundary of a multipart/signed whose end has come */
	unsigned eols; /* the line ends at its delimiters: 1 LF, 2 CRLF, 3 both */
};

struct maker {
	struct mail_index *ix;
	uint32_t room; /* allocated parts */
	struct open_part open[MAIL_DEPTH_MAX + 1];
	unsigned nopen; /* at least 1 */
	bool in_header; /* of the innermost part */
	struct buf header;
	uint32_t last_child[MAIL_DEPTH_MAX + 1]; /* of each open part */
	/* the current line */
	uint64_t line_off; /* where it starts */
	uint64_t line_len; /* octets so far, final CR and LF not counted */
	uint8_t held[LINE_HELD];
	size_t nheld;
	uint8_t last; /* octet before the line end */
	bool cr; /* a CR came last: LF may follow */
	unsigned flags; /* MAIL_8BIT ... seen in it */
	unsigned eol; /* length of the line end before it, 0 at the start of a body or header */
	uint64_t lines; /* line ends before it */
	uint64_t header_lines;
};

/* MAIL_8BIT, MAIL_NUL, MAIL_BARE_CR: which of these octets occur? */
static unsigned
look(const uint8_t *p, size_t n)
{
	const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
	uint64_t v, x, high = 0, zero = 0, cr = 0;
	unsigned flags = 0;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&v, p, 8);
		x = v ^ (ones * '\r');
		high |= v;
		/* may also mark an octet above a match, never misses one and never marks alone */
		zero |= (v - ones) & ~v;
		cr |= (x - ones) & ~x;
	}
	for (; n > 0; p++, n--) {
		high |= *p;
		if (*p == 0)
			zero |= 0x80;
		if (*p == '\r')
			cr |= 0x80;
	}
	flags |= high & highs ? MAIL_8BIT : 0;
	flags |= zero & highs ? MAIL_NUL : 0;
	flags |= cr & highs ? MAIL_BARE_CR : 0;
	return flags;
}

static struct mail_part *
innermost(struct maker *m)
{
	return &m->ix->parts[m->open[m->nopen - 1].part];
}

/*
 * Open a part whose header starts at off, below the innermost one (or as the root).
 *
 * Returns 1, 0 when there are too many (noted), or -1 without memory.
 */
static int
open_part(struct maker *m, uint64_t off)
{
	struct mail_index *ix = m->ix;
	struct mail_part *p;
	uint32_t parent = MAIL_NONE, depth = m->nopen;

	if (ix->n == MAIL_PARTS_MAX) {
		ix->truncated |= MAIL_TRUNC_PARTS;
		return 0;
	}
	if (ix->n == m->room) {
		uint32_t room = m->room ? 2 * m->room : 8;

		if ((p = reallocarray(ix->parts, room, sizeof *p)) == NULL)
			return -1;
		ix->parts = p;
		m->room = room;
	}
	if (depth > 0) {
		parent = m->open[depth - 1].part;
		if (m->last_child[depth - 1] == MAIL_NONE)
			ix->parts[parent].child = ix->n;
		else
			ix->parts[m->last_child[depth - 1]].next = ix->n;
		m->last_child[depth - 1] = ix->n;
	}
	p = &ix->parts[ix->n];
	memset(p, 0, sizeof *p);
	p->parent = parent;
	p->child = p->next = MAIL_NONE;
	p->depth = depth;
	p->head_off = off;
	p->type = p->subtype = p->charset = p->boundary = "";
	p->protocol = p->name = p->disposition = p->id = "";
	m->open[depth] = (struct open_part){.part = ix->n++};
	m->last_child[depth] = MAIL_NONE;
	m->nopen++;
	m->in_header = true;
	m->header_lines = m->lines;
	buf_reset(&m->header);
	return 1;
}

/* The innermost part's header is complete and its body starts at off. */
static int
header_done(struct maker *m, uint64_t off, unsigned sep)
{
	struct open_part *o = &m->open[m->nopen - 1];
	struct mail_part *p = innermost(m);
	struct mail_header h = {.data = buf_ptr(&m->header), .len = buf_len(&m->header)};
	bool container, digest;
	int rc;

	p->head_len = off - p->head_off;
	if (h.len > p->head_len)
		h.len = (size_t)p->head_len; /* a delimiter that ends it is not in it */
	p->sep_len = sep;
	p->body_off = off;
	p->head_lines = m->lines - m->header_lines;
	o->lines = m->lines;
	m->in_header = false;
	digest =
	    p->parent != MAIL_NONE && mail_part_is(&m->ix->parts[p->parent], "multipart", "digest");
	if (mail_mime_head(m->ix, p, &h, digest) == -1)
		return -1;
	container = mail_part_is(p, "message", "rfc822") || mail_part_is(p, "message", "global");
	if (container && (p->cte == MAIL_CTE_QP || p->cte == MAIL_CTE_BASE64))
		p->flags |= MAIL_OPAQUE;
	else if (container || p->boundary[0] != '\0') {
		if (p->depth == MAIL_DEPTH_MAX) {
			m->ix->truncated |= MAIL_TRUNC_DEPTH;
			p->flags |= MAIL_OPAQUE;
		} else if (container) {
			if ((rc = open_part(m, off)) == 0)
				p->flags |= MAIL_OPAQUE;
			return rc == -1 ? -1 : 0;
		} else {
			o->boundary = p->boundary;
			o->len = strlen(p->boundary);
			memcpy(&o->key, o->boundary, o->len < 4 ? o->len : 4);
			memset(&o->mask, 0xff, o->len < 4 ? o->len : 4);
		}
	} else if (mail_part_is(p, "multipart", NULL))
		p->flags |= MAIL_OPAQUE;
	return 0;
}

/* End all parts above the first n open ones where the line that starts now begins. */
static int
close_parts(struct maker *m, unsigned n)
{
	uint64_t end = m->line_off, lines = m->lines;

	if (m->nopen <= n)
		return 0;
	/* A header that is cut off by a delimiter keeps its line end; may open one more. */
	while (m->in_header)
		if (header_done(m, end, 0) == -1)
			return -1;
	if (innermost(m)->body_off < end && m->eol > 0 && n > 0) {
		end -= m->eol; /* the line end belongs to the delimiter */
		lines--;
	}
	for (; m->nopen > n; m->nopen--) {
		struct mail_part *p = innermost(m);

		p->body_len = end - p->body_off;
		p->body_lines = lines - m->open[m->nopen - 1].lines;
		if (m->open[m->nopen - 1].boundary != NULL)
			p->flags |= MAIL_UNCLOSED;
	}
	return 0;
}

/* Which open multipart does the line belong to as a delimiter? -1: to none. */
static int
find_boundary(const struct maker *m, const uint8_t *line, size_t n)
{
	size_t best = 0;
	uint32_t key = 0;
	int i, found = -1;

	if (n < 3 || line[0] != '-' || line[1] != '-')
		return -1;
	line += 2;
	n -= 2;
	memcpy(&key, line, n < 4 ? n : 4);
	for (i = (int)m->nopen - 1; i >= 0; i--) {
		const struct open_part *o = &m->open[i];

		if (o->boundary != NULL && o->len > best && o->len <= n &&
		    (key & o->mask) == o->key && memcmp(o->boundary, line, o->len) == 0) {
			best = o->len;
			found = i;
		}
	}
	return found;
}

static bool
is_signed(const struct mail_part *p)
{
	return mail_part_is(p, "multipart", "signed");
}

/*
 * RFC 2046, 5.1.1, wants no exact match of a delimiter line, and many readers want one.  For those
 * a line that is one for us only makes one part of two.
 *
 * tail	octets of the line behind the delimiter
 */
static void
note_delimiter(struct maker *m, int level, const uint8_t *line, size_t n, size_t tail, unsigned eol)
{
	struct open_part *o = &m->open[level];
	struct mail_part *p = &m->ix->parts[o->part];

	o->eols |= m->eol | eol;
	for (; tail < n && (line[tail] == ' ' || line[tail] == '\t'); tail++)
		;
	if (tail < n || m->line_len > n || o->eols == 3)
		p->flags |= MAIL_AMBIGUOUS;
}

/* A line that is no delimiter for us: would it be one of a part that has ended already? */
static void
note_closed(struct maker *m, const uint8_t *line, size_t n)
{
	unsigned i;

	if (n < 3 || line[0] != '-' || line[1] != '-')
		return;
	for (i = 0; i < m->nopen; i++) {
		const struct open_part *o = &m->open[i];

		if (o->closed != NULL && o->len <= n - 2 &&
		    memcmp(o->closed, line + 2, o->len) == 0)
			m->ix->parts[o->part].flags |= MAIL_AMBIGUOUS;
	}
}

/* A delimiter of the open part at level, which the line in hand is. */
static int
delimiter(struct maker *m, int level, const uint8_t *line, size_t n, unsigned eol, uint64_t next)
{
	struct open_part *o = &m->open[level];
	struct mail_part *p;
	size_t end = 2 + o->len;
	int rc;

	if (close_parts(m, (unsigned)level + 1) == -1)
		return -1;
	p = &m->ix->parts[o->part];
	if (m->flags & (MAIL_8BIT | MAIL_NUL | MAIL_BARE_CR) || m->line_len > LINE_LONG)
		p->flags |= MAIL_DELIM_DIRTY;
	if (m->last == ' ' || m->last == '\t')
		p->flags |= MAIL_TRAILING_WS;
	if (m->eol == 1)
		p->flags |= MAIL_BARE_LF;
	if (n >= end + 2 && line[end] == '-' && line[end + 1] == '-') {
		note_delimiter(m, level, line, n, end + 2, eol);
		o->closed = is_signed(p) ? o->boundary : NULL;
		o->boundary = NULL;
		m->in_header = false;
		return 0;
	}
	note_delimiter(m, level, line, n, end, eol);
	m->lines += eol > 0; /* the new part starts behind this line */
	rc = open_part(m, next);
	m->lines -= eol > 0;
	if (rc == 0) {
		o->boundary = NULL;
		m->ix->parts[o->part].flags |= MAIL_OPAQUE;
	}
	return rc == -1 ? -1 : 0;
}

/* What a line of a body or header leaves in the part's flags. */
static void
note_line(struct maker *m, const uint8_t *line, size_t n)
{
	struct mail_part *p = innermost(m);
	unsigned flags = m->flags;

	if (m->line_len > LINE_LONG)
		flags |= MAIL_LONG_LINE;
	if (m->in_header) {
		p->flags |= (flags & MAIL_8BIT ? MAIL_HEAD_8BIT : 0) |
			    (flags & MAIL_NUL ? MAIL_HEAD_NUL : 0) |
			    (flags & MAIL_BARE_CR ? MAIL_HEAD_BARE_CR : 0) |
			    (flags & MAIL_LONG_LINE ? MAIL_HEAD_LONG_LINE : 0);
		return;
	}
	if (m->line_len > 0 && (m->last == ' ' || m->last == '\t'))
		flags |= MAIL_TRAILING_WS;
	if (n >= 5 && memcmp(line, "From ", 5) == 0)
		flags |= MAIL_FROM_LINE;
	/* the line end before it is content now that the line is no delimiter */
	if (m->eol == 1)
		flags |= MAIL_BARE_LF;
	p->flags |= flags;
}

/*
 * A line is complete.
 *
 * line, n	its first octets (LINE_HELD, or all there are), line end not included
 * eol		length of its line end: 0 (end of the message), 1 or 2
 * next		where the next line starts
 */
static int
line_done(struct maker *m, const uint8_t *line, size_t n, unsigned eol, uint64_t next)
{
	bool was_header = m->in_header, new_body = false;
	int level;

	if ((level = find_boundary(m, line, n)) != -1) {
		if (delimiter(m, level, line, n, eol, next) == -1)
			return -1;
		if (eol == 1)
			m->ix->parts[m->open[level].part].flags |= MAIL_BARE_LF;
		if (eol > 0)
			m->lines++;
		m->eol = m->in_header ? 0 : eol;
		return 0;
	}
	note_line(m, line, n);
	note_closed(m, line, n);
	if (eol > 0)
		m->lines++;
	if (was_header) {
		if (eol == 1)
			innermost(m)->flags |= MAIL_HEAD_BARE_LF;
		if (eol > 0 && m->line_len == 0) {
			if (header_done(m, next, eol) == -1)
				return -1;
			new_body = true;
		}
	}
	m->eol = was_header || new_body ? 0 : eol;
	return 0;
}

/* Octets of the current line, up to its LF or the end of what is at hand. */
static int
segment(struct maker *m, const uint8_t *p, size_t n, bool lf, uint64_t next)
{
	const uint8_t *line = m->held;
	size_t len = n - (lf ? 1 : 0), keep;
	bool crlf;
	unsigned eol;

	if (m->in_header && buf_len(&m->header) < MAIL_HEADER_MAX) {
		keep = MAIL_HEADER_MAX - buf_len(&m->header);
		if (buf_put(&m->header, p, n < keep ? n : keep) == -1)
			return -1;
		if (n > keep)
			m->ix->truncated |= MAIL_TRUNC_HEADER;
	} else if (m->in_header && !(n <= 2 && lf))
		m->ix->truncated |= MAIL_TRUNC_HEADER;
	if (m->cr && len > 0) { /* the CR that came last was a bare one */
		m->flags |= MAIL_BARE_CR;
		m->line_len++;
		m->last = '\r';
		if (m->nheld < LINE_HELD)
			m->held[m->nheld++] = '\r';
		m->cr = false;
	}
	crlf = len > 0 && p[len - 1] == '\r';
	if (crlf)
		len--;
	if (len > 0) {
		m->flags |= look(p, len);
		m->last = p[len - 1];
	}
	if (m->line_len == 0 && lf)
		line = p; /* all at hand: nothing to copy */
	else {
		keep = LINE_HELD - m->nheld;
		memcpy(m->held + m->nheld, p, len < keep ? len : keep);
		m->nheld += len < keep ? len : keep;
	}
	m->line_len += len;
	if (!lf) {
		m->cr = m->cr || crlf;
		return 0;
	}
	eol = crlf || m->cr ? 2 : 1;
	keep = line == p ? len : m->nheld;
	if (line_done(m, line, keep < LINE_HELD ? keep : LINE_HELD, eol, next) == -1)
		return -1;
	m->line_off = next;
	m->line_len = 0;
	m->nheld = 0;
	m->flags = 0;
	m->cr = false;
	return 0;
}

/* Whatever makes readers disagree about where a part begins, ends, or what it is. */
#define DISPUTED                                                                                   \
	(MAIL_AMBIGUOUS | MAIL_NUL | MAIL_BARE_CR | MAIL_DELIM_DIRTY | MAIL_HEAD_NUL |             \
	    MAIL_HEAD_BARE_CR | MAIL_HEAD_JUNK)

/*
 * A multipart/signed that is cut by us in one way and may be shown cut in another is no container:
 * nothing good is to be said about what somebody else displays.  What is signed needs no look, it
 * is as its signer made it; all around it does.
 */
static void
settle_signed(struct mail_index *ix)
{
	uint32_t i, k;
	unsigned flags;

	for (i = 0; i < ix->n; i++) {
		struct mail_part *p = &ix->parts[i];

		if (!is_signed(p) || p->child == MAIL_NONE)
			continue;
		flags = p->flags;
		if (p->cte > MAIL_CTE_BINARY || ix->truncated != 0)
			flags |= MAIL_AMBIGUOUS;
		for (k = ix->parts[p->child].next; k != MAIL_NONE; k = ix->parts[k].next)
			flags |= ix->parts[k].flags;
		if ((flags & DISPUTED) == 0)
			continue;
		p->flags |= MAIL_AMBIGUOUS | MAIL_OPAQUE;
		p->child = MAIL_NONE;
	}
}

/* The message ends: so do all parts. */
static int
finish(struct maker *m)
{
	bool partial = m->line_len > 0 || m->cr;

	if (m->cr) {
		m->flags |= MAIL_BARE_CR;
		m->line_len++;
		m->last = '\r';
	}
	if (partial) {
		if (line_done(m, m->held, m->nheld, 0, m->ix->size) == -1)
			return -1;
		innermost(m)->flags |= MAIL_NO_FINAL_NL;
		m->line_off = m->ix->size;
	} else if (m->eol == 1 && !m->in_header)
		innermost(m)->flags |= MAIL_BARE_LF;
	if (close_parts(m, 0) == -1)
		return -1;
	settle_signed(m->ix);
	return 0;
}

int
mail_index_make(struct mail_index *ix, const struct octets *o)
{
	struct maker *m;
	struct mail_reader r = {0};
	const uint8_t *p, *lf;
	uint64_t off = 0;
	ssize_t n = 0;
	size_t seg;
	int rc = -1;

	memset(ix, 0, sizeof *ix);
	ix->size = o->size;
	if ((m = calloc(1, sizeof *m)) == NULL)
		return -1;
	m->ix = ix;
	buf_init(&m->header, MAIL_HEADER_MAX);
	if ((ix->strings = mail_strings_new(MAIL_STRINGS_MAX)) == NULL ||
	    buf_reserve(&m->header, 1) == NULL || open_part(m, 0) == -1 ||
	    mail_reader_init(&r, o, 0, o->size) == -1)
		goto out;
	while ((n = mail_reader_next(&r, &p)) > 0) {
		for (; n > 0; p += seg, n -= (ssize_t)seg) {
			lf = memchr(p, '\n', (size_t)n);
			seg = lf != NULL ? (size_t)(lf + 1 - p) : (size_t)n;
			off += seg;
			if (segment(m, p, seg, lf != NULL, off) == -1)
				goto out;
		}
	}
	if (n == 0 && finish(m) == 0)
		rc = 0;
out:
	mail_reader_free(&r);
	buf_free(&m->header);
	free(m);
	return rc;
}

void
mail_index_free(struct mail_index *ix)
{
	free(ix->parts);
	mail_strings_free(ix->strings);
	memset(ix, 0, sizeof *ix);
}

bool
mail_part_is(const struct mail_part *p, const char *type, const char *subtype)
{
	return strcmp(p->type, type) == 0 && (subtype == NULL || strcmp(p->subtype, subtype) == 0);
}

int
mail_part_decode(const struct octets *o, const struct mail_part *p, const struct sink *to)
{
	struct mail_filter *f;
	struct sink s;
	int rc = -1;

	if (p->cte != MAIL_CTE_QP && p->cte != MAIL_CTE_BASE64)
		return sink_copy(to, o, p->body_off, p->body_len);
	if ((f = malloc(sizeof *f)) == NULL)
		return -1;
	mail_filter_init(f, p->cte == MAIL_CTE_QP ? MAIL_QP_DECODE : MAIL_B64_DECODE, to);
	s = mail_filter_sink(f);
	if (sink_copy(&s, o, p->body_off, p->body_len) == 0 && mail_filter_end(f) == 0)
		rc = 0;
	free(f);
	return rc;
}
