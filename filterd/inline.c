/*
 * OpenPGP in single parts: armour inside of text here, attachments and PGP/MIME inside of other
 * multiparts in parts.c.  What was encrypted is put in the place of its block and the part is
 * encoded anew; nothing is ever joined across parts, and parts of HTML are let alone, so that no
 * markup can carry plaintext away.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "filterd/parts.h"
#include "filterd/text.h"
#include "mail/write.h"
#include "openpgp/armor.h"
#include "openpgp/detached.h"

/* Readers disagree about what such a message has in it. */
#define DISPUTED                                                                                   \
	(MAIL_AMBIGUOUS | MAIL_NUL | MAIL_BARE_CR | MAIL_HEAD_NUL | MAIL_HEAD_BARE_CR |            \
	    MAIL_HEAD_JUNK)
/* And about where its parts are: what was a text of its own may stand in the middle of markup. */
#define DISPUTED_CUT (MAIL_AMBIGUOUS | MAIL_HEAD_NUL | MAIL_HEAD_BARE_CR)

static enum read_result
open_block(struct inlining *x, const struct octets *block, const struct sink *out)
{
	struct pgp_result *res = calloc(1, sizeof *res);
	enum read_result rc;
	struct spool plain;
	struct octets o;

	if (res == NULL)
		return reading_defer(x->r, "out of memory");
	spool_init(&plain, PLAIN_MAX, x->r->w->spooldir);
	rc = reading_decrypt(x->r, block, &plain, res);
	if (rc == READ_NOT_OURS)
		x->foreign++;
	else if (rc == READ_DONE && res->status == PGP_IO)
		rc = reading_defer(x->r, "the message cannot be read now");
	else if (rc == READ_DONE && res->status != PGP_OK) {
		x->failed++;
		x->no_integrity += res->status == PGP_NO_INTEGRITY;
		rc = READ_NOT_OURS; /* the block stays */
	} else if (rc == READ_DONE) {
		if (res->encrypted)
			x->opened++;
		reading_signatures(x->r, res);
		if (spool_octets(&plain, &o) == -1 || sink_copy(out, &o, 0, o.size) == -1)
			rc = reading_defer(x->r, strerror(errno));
	}
	spool_free(&plain);
	free(res);
	return rc;
}

static int
discard(void *ctx, const void *p, size_t n)
{
	(void)ctx;
	(void)p;
	(void)n;
	return 0;
}

/* A clear-signed text is judged and left as it is: its reader sees what was signed. */
static enum read_result
verify_block(struct inlining *x, const struct octets *block)
{
	struct pgp_certs certs = ask_certs(&x->r->w->ask);
	struct pgp_result *res = calloc(1, sizeof *res);
	struct sink nowhere = {discard, NULL};
	enum read_result rc = READ_NOT_OURS;
	struct err e;

	if (res == NULL)
		return reading_defer(x->r, "out of memory");
	x->as_stored = 1;
	if (pgp_clear_verify(block, &certs, x->r->now, &nowhere, res, &e) == 0) {
		x->outside |= res->remarks;
		reading_signatures(x->r, res);
	} else if (res->status == PGP_IO)
		rc = reading_defer(x->r, "the message cannot be read now");
	else if (x->r->verdict.signature == MAIL_SIG_NONE)
		x->r->verdict.signature = MAIL_SIG_DAMAGED;
	if (x->r->w->ask.dead)
		rc = reading_defer(x->r, "keys cannot be looked up now");
	free(res);
	return rc;
}

struct slice {
	const struct octets *o;
	uint64_t begin;
};

static ssize_t
slice_pread(void *ctx, void *p, size_t n, uint64_t off)
{
	const struct slice *s = ctx;

	return octets_read(s->o, p, n, s->begin + off) == -1 ? -1 : (ssize_t)n;
}

/* A range of octets as octets of their own; s must stay. */
static struct octets
slice(struct slice *s, const struct octets *o, uint64_t begin, uint64_t end)
{
	*s = (struct slice){o, begin};
	return (struct octets){
	    .size = end - begin,
	    .mem = o->mem != NULL ? o->mem + begin : NULL,
	    .pread = slice_pread,
	    .ctx = s,
	};
}

/*
 * Copy a text with its blocks opened.  READ_DONE: at least one was; READ_NOT_OURS: the text is
 * as it was.
 */
static enum read_result
open_text(struct inlining *x, const struct octets *text, const struct sink *out)
{
	enum read_result rc, all = READ_NOT_OURS;
	struct pgp_block b;
	uint64_t at = 0;
	struct octets o;
	struct slice s;
	int found;

	while ((found = pgp_armor_find(text, at, &b)) == 1 && x->blocks < BLOCKS_MAX) {
		if (!text_blank(text, at, b.begin))
			x->outside = 1;
		if (sink_copy(out, text, at, b.begin - at) == -1)
			return reading_defer(x->r, strerror(errno));
		o = slice(&s, text, b.begin, b.end);
		rc = READ_NOT_OURS;
		if (b.type == PGP_ARMOR_MESSAGE) {
			x->blocks++;
			rc = open_block(x, &o, out);
		} else if (b.type == PGP_ARMOR_CLEARSIGNED) {
			x->blocks++;
			rc = verify_block(x, &o);
		} else
			x->outside = 1;
		if (rc == READ_DEFER)
			return rc;
		if (rc == READ_DONE)
			all = READ_DONE;
		else if (sink_copy(out, &o, 0, o.size) == -1)
			return reading_defer(x->r, strerror(errno));
		at = b.end;
	}
	if (found == -1)
		return reading_defer(x->r, "the message cannot be read now");
	if (!text_blank(text, at, text->size))
		x->outside = 1;
	if (sink_copy(out, text, at, text->size - at) == -1)
		return reading_defer(x->r, strerror(errno));
	return all;
}

/* Header and body of a text part whose content is new. */
static int
put_text(const struct mail_part *p, const struct octets *text, const struct sink *out)
{
	/* What is UTF-8 throughout was meant so by its sender, whatever the part said. */
	const char *charset = text_utf8(text) ? "utf-8" : p->charset;
	struct mail_filter crlf, qp;
	struct sink a, b;
	size_t i;

	/* A charset goes into a header: only what is a token there (RFC 2045, 5.1). */
	for (i = 0; charset[i] != '\0'; i++)
		if (!((charset[i] >= 'a' && charset[i] <= 'z') ||
			(charset[i] >= '0' && charset[i] <= '9') || strchr("-_.:+", charset[i])))
			charset = "";
	if (charset[0] == '\0')
		charset = "utf-8";
	if (sink_puts(out, "Content-Type: text/plain; charset=") == -1 ||
	    sink_puts(out, charset) == -1 ||
	    sink_puts(out, "\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n") == -1)
		return -1;
	/* Quoted-printable always: it lets no line of the text look like a boundary. */
	mail_filter_init(&qp, MAIL_QP_ENCODE, out);
	a = mail_filter_sink(&qp);
	mail_filter_init(&crlf, MAIL_CRLF, &a);
	b = mail_filter_sink(&crlf);
	if (sink_copy(&b, text, 0, text->size) == -1 || mail_filter_end(&crlf) == -1 ||
	    mail_filter_end(&qp) == -1)
		return -1;
	return 0;
}

static bool
keep_part_header(struct bytes name, void *ctx)
{
	(void)ctx;
	return !(name.n == 12 && strncasecmp((const char *)name.p, "Content-Type", 12) == 0) &&
	       !(name.n == 25 &&
		   strncasecmp((const char *)name.p, "Content-Transfer-Encoding", 25) == 0);
}

int
parts_may_open(const struct mail_index *ix, uint32_t i)
{
	const struct mail_part *up;

	/* Fields that were not looked at may say something else. */
	if (i != 0 && (ix->truncated & MAIL_TRUNC_HEADER) != 0)
		return 0;
	for (up = &ix->parts[i]; up->parent != MAIL_NONE;) {
		up = &ix->parts[up->parent];
		if ((up->flags & DISPUTED_CUT) != 0)
			return 0;
		if (mail_part_is(up, "multipart", "signed") ||
		    mail_part_is(up, "multipart", "encrypted") ||
		    mail_part_is(up, "message", "rfc822") || mail_part_is(up, "message", "global"))
			return 0;
	}
	return 1;
}

static enum read_result
open_part(struct inlining *x, uint32_t i, struct piece *piece)
{
	struct reading *r = x->r;
	enum read_result rc;
	struct spool text;
	struct octets o;
	struct sink to;

	spool_init(&text, WORKER_MESSAGE_MAX, r->w->spooldir);
	spool_init(&piece->text, WORKER_MESSAGE_MAX, r->w->spooldir);
	piece->part = i;
	piece->entity = 0;
	to = spool_sink(&text);
	if (mail_part_decode(&r->in, &r->ix.parts[i], &to) == -1 || spool_octets(&text, &o) == -1)
		rc = reading_defer(r, strerror(errno));
	else {
		to = spool_sink(&piece->text);
		rc = open_text(x, &o, &to);
	}
	spool_free(&text);
	if (rc != READ_DONE)
		spool_free(&piece->text);
	return rc;
}

/* The message again, with the replaced parts in their places. */
static int
put_pieces(struct reading *r, struct piece *pieces, size_t n, const struct sink *out)
{
	const struct mail_part *p, *m = &r->ix.parts[0];
	uint64_t at = m->body_off;
	struct octets o;
	size_t k;

	if (reading_begin(r, n == 0 || pieces[0].part != 0, out) == -1)
		return -1;
	for (k = 0; k < n; k++) {
		p = &r->ix.parts[pieces[k].part];
		if (spool_octets(&pieces[k].text, &o) == -1)
			return -1;
		if (pieces[k].part != 0 &&
		    (sink_copy(out, &r->in, at, p->head_off - at) == -1 ||
			(!pieces[k].entity && mail_header_copy(&r->in, p->head_off, p->head_len,
						  keep_part_header, NULL, false, out) == -1)))
			return -1;
		if ((pieces[k].entity ? sink_copy(out, &o, 0, o.size) : put_text(p, &o, out)) == -1)
			return -1;
		at = p->body_off + p->body_len;
	}
	if (sink_copy(out, &r->in, at, m->body_off + m->body_len - at) == -1)
		return -1;
	return reading_end(r, out);
}

/* The verdict over all blocks: it must not promise more than they cover. */
static void
settle_verdict(struct inlining *x, int more_parts)
{
	struct mail_verdict *v = &x->r->verdict;
	int whole = !x->outside && !more_parts && x->blocks == 1;

	/* Others may show something else than what was verified here. */
	if (x->as_stored && (x->r->ix.parts[0].flags & DISPUTED) != 0)
		whole = 0;

	if (x->opened > 0)
		v->decrypted = whole && x->failed == 0 ? MAIL_DEC_YES : MAIL_DEC_PART;
	else if (x->failed > 0)
		v->decrypted =
		    x->no_integrity == x->failed ? MAIL_DEC_NO_INTEGRITY : MAIL_DEC_FAILED;
	if (v->signature == MAIL_SIG_GOOD && !whole)
		v->signature = MAIL_SIG_PART;
}

enum read_result
read_inline(struct reading *r)
{
	struct inlining x = {.r = r};
	struct piece pieces[BLOCKS_MAX];
	enum read_result rc = READ_NOT_OURS;
	struct sink out = spool_sink(&r->virtual);
	size_t n = 0, k;
	uint32_t i;

	for (i = 0; i < r->ix.n && x.blocks < BLOCKS_MAX && rc != READ_DEFER; i++) {
		if (!parts_may_open(&r->ix, i))
			continue;
		if (mail_part_leaf(&r->ix.parts[i]) &&
		    mail_part_is(&r->ix.parts[i], "text", "plain"))
			rc = open_part(&x, i, &pieces[n]);
		else if (parts_attachment(&r->ix, i))
			rc = open_attachment(&x, i, &pieces[n]);
		else if (parts_nested(&r->ix, i))
			rc = open_nested(&x, i, &pieces[n]);
		else
			continue;
		if (rc == READ_DONE)
			n++;
	}
	if (rc != READ_DEFER) {
		settle_verdict(&x, r->ix.n > 1);
		rc = READ_NOT_OURS;
		if (n > 0 || x.failed > 0 || r->verdict.signature != MAIL_SIG_NONE) {
			r->changed = put_pieces(r, pieces, n, &out) == 0;
			rc = r->changed ? READ_DONE : reading_defer(r, strerror(errno));
		}
	}
	for (k = 0; k < n; k++)
		spool_free(&pieces[k].text);
	return rc;
}
