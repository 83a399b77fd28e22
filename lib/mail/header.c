#include "mail/header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mail/mime.h"
#include "mail/reader.h"

int
mail_header_load(struct mail_header *h, const struct octets *o, uint64_t off, uint64_t len)
{
	memset(h, 0, sizeof *h);
	if (off > o->size)
		off = o->size;
	if (len > o->size - off)
		len = o->size - off;
	h->cut = len > MAIL_HEADER_MAX;
	h->off = off;
	h->len = h->cut ? MAIL_HEADER_MAX : (size_t)len;
	if (o->mem != NULL) {
		h->data = o->mem + off;
		return 0;
	}
	if ((h->own = malloc(h->len + 1)) == NULL)
		return -1;
	h->data = h->own;
	if (octets_read(o, h->own, h->len, off) == -1) {
		mail_header_free(h);
		return -1;
	}
	return 0;
}

void
mail_header_free(struct mail_header *h)
{
	free(h->own);
	memset(h, 0, sizeof *h);
}

/* Octets of the empty line at p, 0 when there is none. */
static size_t
empty_line(const uint8_t *p, size_t n)
{
	if (n >= 1 && p[0] == '\n')
		return 1;
	return n >= 2 && p[0] == '\r' && p[1] == '\n' ? 2 : 0;
}

static bool
is_name(const uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i] <= 32 || p[i] >= 127)
			return false;
	return n > 0;
}

/* The name that stands before the colon, white space and folds behind it cut off. */
static struct bytes
field_name(const uint8_t *p, const uint8_t *colon)
{
	size_t n = (size_t)(colon - p);

	while (
	    n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t' || p[n - 1] == '\r' || p[n - 1] == '\n'))
		n--;
	return is_name(p, n) ? (struct bytes){p, n} : (struct bytes){p, 0};
}

bool
mail_field_next(const struct mail_header *h, size_t *pos, struct mail_field *f)
{
	const uint8_t *start, *end, *p, *colon, *lf;

	if (*pos >= h->len || empty_line(h->data + *pos, h->len - *pos) > 0)
		return false;
	p = start = h->data + *pos;
	end = h->data + h->len;
	do {
		lf = memchr(p, '\n', (size_t)(end - p));
		p = lf != NULL ? lf + 1 : end;
	} while (p < end && (*p == ' ' || *p == '\t'));
	f->off = *pos;
	f->len = (size_t)(p - start);
	*pos += f->len;
	if (p > start && p[-1] == '\n')
		p--;
	if (p > start && p[-1] == '\r' && (size_t)(p - start) < f->len)
		p--;
	colon = memchr(start, ':', (size_t)(p - start));
	f->name = colon != NULL ? field_name(start, colon) : (struct bytes){start, 0};
	f->body.p = f->name.n > 0 ? colon + 1 : start;
	f->body.n = (size_t)(p - f->body.p);
	return true;
}

bool
mail_field_is(const struct mail_field *f, const char *name)
{
	size_t n = strlen(name);

	return f->name.n == n && n > 0 && strncasecmp((const char *)f->name.p, name, n) == 0;
}

bool
mail_header_get(const struct mail_header *h, const char *name, unsigned nth, struct mail_field *f)
{
	size_t pos = 0;

	while (mail_field_next(h, &pos, f))
		if (mail_field_is(f, name) && nth-- == 0)
			return true;
	return false;
}

unsigned
mail_header_count(const struct mail_header *h, const char *name)
{
	struct mail_field f;
	size_t pos = 0;
	unsigned n = 0;

	while (mail_field_next(h, &pos, &f))
		n += mail_field_is(&f, name);
	return n;
}

int
mail_unfold(struct bytes body, struct buf *out)
{
	const uint8_t *p = body.p, *end = p + body.n, *lf, *to;

	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
		p++;
	while (end > p && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r' || end[-1] == '\n'))
		end--;
	while (p < end) {
		lf = memchr(p, '\n', (size_t)(end - p));
		to = lf != NULL ? lf : end;
		if (lf != NULL && to > p && to[-1] == '\r')
			to--;
		if (buf_put(out, p, (size_t)(to - p)) == -1)
			return -1;
		p = lf != NULL ? lf + 1 : end;
	}
	return 0;
}

const char *
mail_header_text(const struct mail_header *h, const char *name, struct buf *out)
{
	struct mail_field f;

	buf_reset(out);
	if (mail_header_get(h, name, 0, &f) && mail_decode_text(f.body, out) == -1)
		return NULL;
	if (buf_putc(out, 0) == -1)
		return NULL;
	out->end--;
	return (const char *)buf_ptr(out);
}

bool
mail_keep_content(struct bytes name, void *ctx)
{
	(void)ctx;
	return name.n > 8 && strncasecmp((const char *)name.p, "content-", 8) == 0;
}

bool
mail_keep_envelope(struct bytes name, void *ctx)
{
	(void)ctx;
	return !(name.n >= 8 && strncasecmp((const char *)name.p, "content-", 8) == 0) &&
	       !(name.n == 12 && strncasecmp((const char *)name.p, "mime-version", 12) == 0);
}

/* Copying a header of any length: octets of a field are held until its name is known. */
#define NAME_HELD 256
#define LEADING_CR '?' /* for a CR that begins a line: a space would make that a fold */

struct copy {
	bool (*keep)(struct bytes name, void *ctx);
	void *ctx;
	const struct sink *to;
	size_t nheld, nout;
	bool decided, kept;
	bool cr; /* a CR waits for what follows it */
	uint8_t held[NAME_HELD], out[4096];
};

static int
copy_flush(struct copy *c)
{
	size_t n = c->nout;

	c->nout = 0;
	return sink_write(c->to, c->out, n);
}

static int
copy_out(struct copy *c, uint8_t octet)
{
	if (c->nout == sizeof c->out && copy_flush(c) == -1)
		return -1;
	c->out[c->nout++] = octet;
	return 0;
}

/* A bare CR becomes a space: to those who take it for a line end it would begin a field. */
static int
copy_octet(struct copy *c, uint8_t octet)
{
	if (c->cr && copy_out(c, octet == '\n' ? '\r' : ' ') == -1)
		return -1;
	c->cr = octet == '\r';
	return c->cr ? 0 : copy_out(c, octet);
}

/* The name is as complete as it gets: keep the field? */
static int
copy_decide(struct copy *c)
{
	const uint8_t *colon = memchr(c->held, ':', c->nheld);
	struct bytes name = {c->held, 0};
	size_t i;

	if (colon != NULL)
		name = field_name(c->held, colon);
	c->decided = true;
	c->kept = c->keep(name, c->ctx);
	for (i = 0; c->kept && i < c->nheld; i++)
		if (copy_octet(c, c->held[i]) == -1)
			return -1;
	c->nheld = 0;
	return 0;
}

static int
copy_field_octet(struct copy *c, uint8_t octet)
{
	if (c->decided)
		return c->kept ? copy_octet(c, octet) : 0;
	c->held[c->nheld++] = octet;
	return octet == ':' || c->nheld == NAME_HELD ? copy_decide(c) : 0;
}

/* A new field begins, or the header ends. */
static int
copy_field_end(struct copy *c)
{
	if (!c->decided && c->nheld > 0 && copy_decide(c) == -1)
		return -1;
	c->decided = false;
	return 0;
}

/* Returns 1 when the header's empty line has come, 0 to go on, -1. */
static int
copy_line_octet(struct copy *c, uint8_t octet, int *start, bool sep)
{
	enum { MIDDLE, START, START_CR };

	if (*start != MIDDLE && octet == '\n') {
		if (copy_field_end(c) == -1)
			return -1;
		if (sep && *start == START_CR && copy_octet(c, '\r') == -1)
			return -1;
		return sep && copy_octet(c, '\n') == -1 ? -1 : 1;
	}
	if (*start == START && octet == '\r') {
		*start = START_CR;
		return 0;
	}
	if (*start == START_CR) { /* the CR starts a field after all */
		if (copy_field_end(c) == -1 || copy_field_octet(c, LEADING_CR) == -1)
			return -1;
	} else if (*start == START && octet != ' ' && octet != '\t' && copy_field_end(c) == -1)
		return -1;
	*start = octet == '\n' ? START : MIDDLE;
	return copy_field_octet(c, octet);
}

int
mail_header_copy(const struct octets *o, uint64_t off, uint64_t len,
    bool (*keep)(struct bytes name, void *ctx), void *ctx, bool sep, const struct sink *to)
{
	struct copy *c;
	struct mail_reader r = {0};
	const uint8_t *p;
	ssize_t n, i;
	int start = 1, done = 0, rc = -1;

	if ((c = calloc(1, sizeof *c)) == NULL)
		return -1;
	c->keep = keep;
	c->ctx = ctx;
	c->to = to;
	if (mail_reader_init(&r, o, off, len) == -1)
		goto out;
	while (done == 0 && (n = mail_reader_next(&r, &p)) != 0) {
		if (n == -1)
			goto out;
		for (i = 0; i < n && done == 0; i++)
			done = copy_line_octet(c, p[i], &start, sep);
	}
	if (done == -1)
		goto out;
	if (done == 0 && start == 2 &&
	    (copy_field_end(c) == -1 || copy_field_octet(c, LEADING_CR) == -1))
		goto out;
	if (copy_field_end(c) == 0 && (!c->cr || copy_out(c, ' ') == 0) && copy_flush(c) == 0)
		rc = 0;
out:
	mail_reader_free(&r);
	free(c);
	return rc;
}
