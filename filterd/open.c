/*
 * Retrieval: what is stored becomes what the user shall see: decrypted, verified, with a verdict.
 * The result depends on the message, the keys and the certificates alone, so that the same
 * message always looks the same to its reader.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "filterd/banner.h"
#include "filterd/reading.h"
#include "filterd/sticky.h"
#include "mail/address.h"
#include "mail/write.h"
#include "openpgp/detached.h"

#define SIGNATURE_MAX (256 * 1024) /* octets of a detached signature, decoded */
#define SEND_TIMEOUT 60000 /* milliseconds for the proxy to take an answer */

/* Is a part multipart/signed with OpenPGP, of exactly a body and a signature? */
int
is_pgp_signed(const struct mail_index *ix, uint32_t i)
{
	const struct mail_part *m = &ix->parts[i], *one, *two;

	if (!mail_part_is(m, "multipart", "signed") || m->child == MAIL_NONE)
		return 0;
	one = &ix->parts[m->child];
	if (one->next == MAIL_NONE)
		return 0;
	two = &ix->parts[one->next];
	return two->next == MAIL_NONE && mail_part_is(two, "application", "pgp-signature");
}

/* Verify a multipart/signed: the first part as it stands, header and all (RFC 3156, 5). */
enum read_result
verify_part(struct reading *r, const struct octets *o, const struct mail_index *ix, uint32_t i)
{
	const struct mail_part *body = &ix->parts[ix->parts[i].child];
	const struct mail_part *sig = &ix->parts[body->next];
	struct pgp_certs certs = ask_certs(&r->w->ask);
	struct pgp_result res;
	struct buf b;
	struct sink to;
	struct err e;

	memset(&res, 0, sizeof res);
	buf_init(&b, SIGNATURE_MAX);
	to = sink_buf(&b);
	if (mail_part_decode(o, sig, &to) == -1 ||
	    pgp_verify_octets(buf_ptr(&b), buf_len(&b), o, body->head_off,
		body->head_len + body->body_len, &certs, r->now, &res, &e) == -1) {
		buf_free(&b);
		if (res.status == PGP_IO)
			return reading_defer(r, "the message cannot be read now");
		/* Where a bad one was found before, this must not hide it. */
		if (r->verdict.signature != MAIL_SIG_BAD)
			r->verdict.signature = MAIL_SIG_DAMAGED;
		r->signer[0] = r->fingerprint[0] = '\0';
		return READ_DONE;
	}
	buf_free(&b);
	if (r->w->ask.dead)
		return reading_defer(r, "keys cannot be looked up now");
	reading_signatures(r, &res);
	return READ_DONE;
}

/* The stored message under its verdict, otherwise as it is. */
static enum read_result
write_annotated(struct reading *r)
{
	const struct mail_part *m = &r->ix.parts[0];
	struct sink out = spool_sink(&r->virtual);

	if (reading_begin(r, 1, &out) == -1 ||
	    sink_copy(&out, &r->in, m->body_off, m->body_len) == -1 || reading_end(r, &out) == -1)
		return reading_defer(r, strerror(errno));
	r->changed = 1;
	return READ_DONE;
}

enum read_result
read_signed(struct reading *r)
{
	enum read_result rc = verify_part(r, &r->in, &r->ix, 0);

	return rc == READ_DONE ? write_annotated(r) : rc;
}

/* The octets of a part whose transfer encoding changes nothing: where they stand. */
struct view {
	const struct octets *of;
	uint64_t off, size;
};

static ssize_t
view_pread(void *ctx, void *p, size_t n, uint64_t off)
{
	const struct view *v = ctx;

	if (off >= v->size)
		return 0;
	if (n > v->size - off)
		n = (size_t)(v->size - off);
	return octets_read(v->of, p, n, v->off + off) == -1 ? -1 : (ssize_t)n;
}

/* The content of a part: in place, or decoded into a spool. */
static int
part_content(const struct octets *in, const struct mail_part *p, struct view *v, struct spool *s,
    struct octets *out)
{
	struct sink to = spool_sink(s);

	if (p->cte == MAIL_CTE_QP || p->cte == MAIL_CTE_BASE64)
		return mail_part_decode(in, p, &to) == -1 ? -1 : spool_octets(s, out);
	*v = (struct view){in, p->body_off, p->body_len};
	if (in->mem != NULL)
		*out = octets_mem(in->mem + p->body_off, p->body_len);
	else
		*out = (struct octets){.size = p->body_len, .pread = view_pread, .ctx = v};
	return 0;
}

enum read_result
read_encrypted(struct reading *r, uint32_t ciphertext)
{
	struct spool msg, plain;
	struct view view;
	struct octets o;
	struct pgp_result *res = calloc(1, sizeof *res);
	enum read_result rc;

	if (res == NULL)
		return reading_defer(r, "out of memory");
	spool_init(&msg, WORKER_MESSAGE_MAX, r->w->spooldir);
	spool_init(&plain, PLAIN_MAX, r->w->spooldir);
	if (part_content(&r->in, &r->ix.parts[ciphertext], &view, &msg, &o) == -1) {
		rc = reading_defer(r, strerror(errno));
		goto out;
	}
	rc = reading_decrypt(r, &o, &plain, res);
	if (rc == READ_DONE && res->status == PGP_IO)
		rc = reading_defer(r, "the message cannot be read now");
	else if (rc == READ_DONE && res->status != PGP_OK) {
		/* Not to be opened, ever: the reader gets what is stored, and is told. */
		r->verdict.decrypted =
		    res->status == PGP_NO_INTEGRITY ? MAIL_DEC_NO_INTEGRITY : MAIL_DEC_FAILED;
		rc = write_annotated(r);
	} else if (rc == READ_DONE)
		rc = write_opened(r, &plain, res);
out:
	free(res);
	spool_free(&msg);
	spool_free(&plain);
	return rc;
}

uint32_t
pgp_ciphertext(const struct mail_index *ix, uint32_t i)
{
	const struct mail_part *m = &ix->parts[i], *one;

	if (!mail_part_is(m, "multipart", "encrypted") || m->child == MAIL_NONE)
		return MAIL_NONE;
	one = &ix->parts[m->child];
	if (!mail_part_is(one, "application", "pgp-encrypted") || one->next == MAIL_NONE)
		return MAIL_NONE;
	return one->next;
}

/* Look-alikes of our fields are the sender's: out with them, even if nothing else is done. */
static enum read_result
strip_forged(struct reading *r)
{
	const struct mail_part *m = &r->ix.parts[0];
	struct sink out = spool_sink(&r->virtual);

	if (mail_strip_ours(&r->in, m->head_off, m->head_len, &out) == -1)
		return reading_defer(r, strerror(errno));
	if (r->virtual.size == m->head_len) {
		spool_free(&r->virtual);
		return READ_NOT_OURS;
	}
	if (sink_copy(&out, &r->in, m->body_off, m->body_len) == -1)
		return reading_defer(r, strerror(errno));
	r->changed = 1;
	return READ_DONE;
}

static enum read_result
read_message(struct reading *r)
{
	uint32_t ciphertext = pgp_ciphertext(&r->ix, 0);
	enum read_result rc = READ_NOT_OURS;
	int is_signed = is_pgp_signed(&r->ix, 0);

	/* Of a signed ciphertext the signature tells nothing about who wrote the text in it: the
	 * signatures inside do. */
	if (is_signed)
		ciphertext = pgp_ciphertext(&r->ix, r->ix.parts[0].child);
	if (ciphertext != MAIL_NONE)
		rc = read_encrypted(r, ciphertext);
	if (rc == READ_NOT_OURS && is_signed)
		rc = read_signed(r);
	else if (ciphertext == MAIL_NONE)
		rc = read_inline(r);
	return rc == READ_NOT_OURS ? strip_forged(r) : rc;
}

static int
reading_load(struct reading *r, const struct open_req *q, int fd)
{
	struct err e;

	if (spool_receive(&r->stored, q->message.v, fd, WORKER_MESSAGE_MAX) == -1) {
		if (fd != -1)
			close(fd);
		return -1;
	}
	r->plain_left = reading_plain_max(r->stored.size);
	if (spool_octets(&r->stored, &r->in) == -1 || mail_index_make(&r->ix, &r->in) == -1 ||
	    mail_header_load(&r->header, &r->in, 0, r->ix.parts[0].head_len) == -1)
		return -1;
	if (mail_from_single(&r->header, r->from, sizeof r->from, &e) == -1)
		r->from[0] = '\0';
	if (sticky_digest(r) == -1)
		return -1;
	sticky_take(r, q->sticky);
	return 0;
}

/* A banner is the reader's, and nobody's has no phrase that would tell it from a forged one. */
static enum read_result
load_phrase(struct reading *r)
{
	struct ask *a = &r->w->ask;
	struct err e;

	if (ask_phrase(a, &r->phrase, &e) == -1)
		return reading_defer(r, e.text);
	if (r->phrase[0] != '\0' && !a->has_banner_key) {
		if (banner_key(r->phrase, a->banner_key) == -1)
			return reading_defer(r, strerror(errno));
		a->has_banner_key = 1;
	}
	r->banner_key = a->banner_key;
	return READ_DONE;
}

static int
answer(struct reading *r, enum read_result rc, uint64_t id)
{
	struct open_rep p = {.text = r->why};
	uint8_t sticky[STICKY_LEN];
	char facts[500], who[LOG_FIELD_MAX];
	struct blob b;
	int fd = -1;

	if (rc != READ_DEFER && r->changed && spool_send(&r->virtual, &b, &fd) == -1)
		rc = reading_defer(r, "the opened message cannot be passed on");
	if (rc == READ_DEFER) {
		p.result = OPEN_DEFER;
		p.text = r->why;
	} else if (r->changed) {
		p.result = OPEN_VIRTUAL;
		p.message.v = &b;
		p.message.n = 1;
	}
	if (rc != READ_DEFER)
		p.sticky = (struct bytes){sticky, sticky_make(r, sticky)};
	(void)snprintf(facts, sizeof facts, "decrypted=%s%s, signature=%s, signer=%s, key=%s",
	    mail_decrypted_name(r->verdict.decrypted), r->foreign ? " (not to our keys)" : "",
	    mail_signature_name(r->verdict.signature),
	    log_escape(who, 300, r->signer, strlen(r->signer)), r->fingerprint);
	p.facts = facts;
	return ipc_send(&r->w->proxy, M_open_rep, id, &p, fd, SEND_TIMEOUT);
}

int
open_message(struct worker *w, const struct open_req *q, uint64_t id, int fd)
{
	enum read_result rc;
	struct reading r;
	int sent;

	memset(&r, 0, sizeof r);
	r.w = w;
	r.now = clock_unix();
	r.phrase = "";
	spool_init(&r.stored, 0, -1);
	spool_init(&r.virtual, WORKER_MESSAGE_MAX, w->spooldir);
	if (reading_load(&r, q, fd) == -1)
		rc = reading_defer(&r, "the message did not arrive whole inside the gateway");
	else if (!q->banner || (rc = load_phrase(&r)) == READ_DONE)
		rc = read_message(&r);
	sent = answer(&r, rc, id);
	free(r.subject);
	mail_header_free(&r.header);
	mail_index_free(&r.ix);
	spool_free(&r.stored);
	spool_free(&r.virtual);
	return sent;
}
