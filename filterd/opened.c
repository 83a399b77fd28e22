/*
 * What was decrypted, on its way into the message: its line ends, its header, its signatures.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "filterd/reading.h"
#include "filterd/text.h"
#include "mail/encode.h"
#include "mail/write.h"

#define SUBJECT_MAX (16 * 1024) /* octets of a protected Subject */

/* Has the plaintext a header that describes its body, as a MIME entity has? */
static int
is_entity(const struct octets *o, const struct mail_part *m)
{
	struct mail_header h;
	struct mail_field f;
	size_t pos = 0;
	int fields = 0, content = 0;

	if ((m->flags & MAIL_HEAD_JUNK) != 0 || mail_header_load(&h, o, 0, m->head_len) == -1)
		return 0;
	while (!content && mail_field_next(&h, &pos, &f)) {
		fields++;
		content = mail_keep_content(f.name, NULL);
	}
	mail_header_free(&h);
	return content || fields == 0;
}

/* Octets that POP3 and IMAP cannot carry as they are. */
static int
needs_encoding(const struct mail_index *ix)
{
	uint32_t i;

	for (i = 0; i < ix->n; i++)
		if (ix->parts[i].cte == MAIL_CTE_BINARY || (ix->parts[i].flags & MAIL_NUL) != 0)
			return 1;
	return 0;
}

/* The entity with its binary parts encoded; 1, 0 when that cannot be done without harm. */
static int
put_encoded(
    struct reading *r, const struct octets *o, const struct mail_index *ix, const struct sink *out)
{
	struct octets safe;
	struct spool s;
	struct sink to;
	int rc = -1;

	spool_init(&s, WORKER_MESSAGE_MAX, r->w->spooldir);
	to = spool_sink(&s);
	if (mail_to_7bit(o, ix, 0, MAIL_ENTITY, &to) == -1)
		rc = errno == EOPNOTSUPP ? 0 : -1;
	else if (spool_octets(&s, &safe) == 0 && sink_copy(out, &safe, 0, safe.size) == 0)
		rc = 1;
	spool_free(&s);
	return rc;
}

static int
put_plain_entity(const struct octets *o, const struct mail_index *ix, const struct sink *out)
{
	const struct mail_part *m = &ix->parts[0];

	/* Fields that do not describe the body go: only the outer ones say who wrote to whom. */
	if (mail_header_copy(o, m->head_off, m->head_len, mail_keep_content, NULL, false, out) ==
		-1 ||
	    sink_puts(out, "\r\n") == -1)
		return -1;
	return sink_copy(out, o, m->body_off, m->body_len);
}

/* Text that was encrypted without a header of its own is all body. */
static int
put_text_body(const struct octets *o, const struct sink *out)
{
	if (text_utf8(o) && sink_puts(out, "Content-Type: text/plain; charset=utf-8\r\n"
					   "Content-Transfer-Encoding: 8bit\r\n") == -1)
		return -1;
	if (sink_puts(out, "\r\n") == -1)
		return -1;
	return sink_copy(out, o, 0, o->size);
}

/* Write the decrypted entity behind the outer header. */
static int
put_entity(
    struct reading *r, const struct octets *o, const struct mail_index *ix, const struct sink *out)
{
	int rc;

	if (!is_entity(o, &ix->parts[0]))
		return put_text_body(o, out);
	if (needs_encoding(ix) && (rc = put_encoded(r, o, ix, out)) != 0)
		return rc == 1 ? 0 : -1;
	return put_plain_entity(o, ix, out);
}

/* Was the plaintext written with bare line feeds, as Unix programs do? */
static int
has_bare_lf(const struct mail_index *ix)
{
	unsigned flags = 0;
	uint32_t i;

	for (i = 0; i < ix->n; i++)
		flags |= ix->parts[i].flags;
	return (flags & (MAIL_BARE_LF | MAIL_HEAD_BARE_LF)) != 0;
}

/*
 * Give plaintext and index the line ends that mail has, in which a signature inside was made too
 * (RFC 3156, 5).  What is binary stays.
 */
static int
give_crlf(struct reading *r, struct spool *plain, struct octets *o, struct mail_index *ix)
{
	struct mail_filter f;
	struct spool s;
	struct sink to, crlf;

	if (!has_bare_lf(ix) || needs_encoding(ix))
		return 0;
	spool_init(&s, 2 * PLAIN_MAX, r->w->spooldir);
	to = spool_sink(&s);
	mail_filter_init(&f, MAIL_CRLF, &to);
	crlf = mail_filter_sink(&f);
	if (sink_copy(&crlf, o, 0, o->size) == -1 || mail_filter_end(&f) == -1) {
		spool_free(&s);
		return -1;
	}
	mail_index_free(ix);
	spool_free(plain);
	*plain = s;
	return spool_octets(plain, o) == -1 ? -1 : mail_index_make(ix, o);
}

/* Does the entity's Content-Type say that its header is to be shown? */
static int
says_protected(const struct mail_header *h)
{
	struct mail_params p;
	struct mail_field f;
	const char *v1, *hp;
	int yes = 0;

	if (!mail_header_get(h, "Content-Type", 0, &f))
		return 0;
	if (mail_params_parse(&p, f.body) == 0) {
		v1 = mail_param_get(&p, "protected-headers");
		hp = mail_param_get(&p, "hp"); /* RFC 9788, 2.1.1 */
		yes =
		    (v1 != NULL && strcasecmp(v1, "v1") == 0) ||
		    (hp != NULL && (strcasecmp(hp, "cipher") == 0 || strcasecmp(hp, "clear") == 0));
	}
	mail_params_free(&p);
	return yes;
}

/*
 * The Subject that was encrypted with the message, when the encrypted entity says that this is
 * what its header is for.  No other field is taken: who a message is from is what its outer
 * header says, since that is what the signature was judged by.
 */
static void
take_subject(struct reading *r, const struct octets *o, const struct mail_part *payload)
{
	struct mail_header h;
	struct buf b;
	const char *text;

	if (mail_header_load(&h, o, payload->head_off, payload->head_len) == -1)
		return;
	buf_init(&b, SUBJECT_MAX);
	if (says_protected(&h) && mail_header_count(&h, "Subject") == 1 &&
	    (text = mail_header_text(&h, "Subject", &b)) != NULL)
		r->subject = strdup(text);
	buf_free(&b);
	mail_header_free(&h);
}

/* Plaintext with mail's line ends and its index, its signatures judged. */
static enum read_result
judge_plain(struct reading *r, struct spool *plain, const struct pgp_result *res, struct octets *o,
    struct mail_index *ix)
{
	reading_signatures(r, res);
	if (spool_octets(plain, o) == -1 || mail_index_make(ix, o) == -1 ||
	    give_crlf(r, plain, o, ix) == -1)
		return reading_defer(r, strerror(errno));
	return is_pgp_signed(ix, 0) ? verify_part(r, o, ix, 0) : READ_DONE;
}

enum read_result
write_opened(struct reading *r, struct spool *plain, const struct pgp_result *res)
{
	struct mail_index ix = {0};
	struct sink out = spool_sink(&r->virtual);
	enum read_result rc;
	struct octets o;

	r->verdict.decrypted = res->encrypted ? MAIL_DEC_YES : MAIL_DEC_NO;
	rc = judge_plain(r, plain, res, &o, &ix);
	if (rc == READ_DONE) {
		take_subject(r, &o, &ix.parts[is_pgp_signed(&ix, 0) ? ix.parts[0].child : 0]);
		if (reading_begin(r, 0, &out) == -1 || put_entity(r, &o, &ix, &out) == -1 ||
		    reading_end(r, &out) == -1)
			rc = reading_defer(r, strerror(errno));
	}
	r->changed = rc == READ_DONE;
	mail_index_free(&ix);
	return rc;
}

enum read_result
write_part(
    struct reading *r, struct spool *plain, const struct pgp_result *res, const struct sink *out)
{
	struct mail_index ix = {0};
	enum read_result rc;
	struct octets o;

	rc = judge_plain(r, plain, res, &o, &ix);
	if (rc == READ_DONE && put_entity(r, &o, &ix, out) == -1)
		rc = reading_defer(r, strerror(errno));
	mail_index_free(&ix);
	return rc;
}
