#include "filterd/compose.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mail/encode.h"
#include "mail/header.h"
#include "mail/verdict.h"
#include "mail/write.h"
#include "openpgp/algo.h"
#include "openpgp/detached.h"

#define COMPRESS_MIN 1024 /* octets of body; below, it saves nothing worth the time */
#define ENTITY_MAX ((uint64_t)4 << 30)

/* The header goes along, but for what describes the body, and for fields of our own name. */
static bool
keep_outer(struct bytes name, void *ctx)
{
	return mail_keep_envelope(name, ctx) && !mail_is_ours(name.p, name.n);
}

static int
put_outer_header(const struct compose *c, const struct sink *out)
{
	const struct mail_part *m = &c->ix->parts[0];

	return mail_header_copy(c->in, m->head_off, m->head_len, keep_outer, NULL, false, out);
}

/*
 * Compress text, but not what is base64 or compressed already: that costs the most time and
 * gains nothing.
 */
static uint8_t
choose_compression(const struct compose *c)
{
	uint64_t dense = 0, all = c->ix->parts[0].body_len;
	const struct mail_part *p;
	const struct cert *to;
	uint32_t i;

	for (i = 0; i < c->ix->n; i++) {
		p = &c->ix->parts[i];
		if (mail_part_leaf(p) && (p->cte == MAIL_CTE_BASE64 || p->cte == MAIL_CTE_BINARY ||
					     p->cte == MAIL_CTE_OTHER))
			dense += p->body_len;
	}
	if (all < COMPRESS_MIN || dense > all / 8)
		return PGP_COMP_NONE;
	for (i = 0; i < c->nto; i++) {
		to = c->to[i].cert;
		if (to == NULL || to->compress.n == 0 ||
		    memchr(to->compress.p, PGP_COMP_ZLIB, to->compress.n) == NULL)
			return PGP_COMP_NONE;
	}
	return PGP_COMP_ZLIB;
}

static int
pgp_write(void *ctx, const void *p, size_t n)
{
	return pgp_encrypt_write(ctx, p, n);
}

static int
put_ciphertext(const struct compose *c, const struct sink *out, struct err *e)
{
	struct pgp_encrypt_params p = {
	    .to = c->to,
	    .nto = c->nto,
	    .signers = c->signer,
	    .nsigners = c->signer != NULL ? 1 : 0,
	    .secret = c->signer != NULL ? c->secret : NULL,
	    .compress = choose_compression(c),
	    .armor = true,
	    .now = c->now,
	};
	struct pgp_encrypt *w = pgp_encrypt_open(&p, out, e);
	struct sink plain = {pgp_write, w};

	if (w == NULL)
		return -1;
	if (mail_to_7bit(c->in, c->ix, 0, MAIL_ENTITY | MAIL_KEEP_ENCODING, &plain) == -1) {
		(void)err_sys(e, "cannot write the encrypted part");
		pgp_encrypt_abort(w);
		return -1;
	}
	return pgp_encrypt_close(w, e);
}

int
compose_encrypted(const struct compose *c, const struct sink *out, struct err *e)
{
	char boundary[MAIL_BOUNDARY_LEN + 1], text[1024];

	/* The engine would make a message of it that is signed only. */
	if (c->nto == 0)
		return err_set(e, EINVAL, "nobody to encrypt to");
	mail_boundary_random(boundary);
	(void)snprintf(text, sizeof text,
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\";\r\n"
	    "\tboundary=\"%s\"\r\n"
	    "\r\n"
	    "This message is encrypted with OpenPGP (RFC 3156).\r\n"
	    "--%s\r\n"
	    "Content-Type: application/pgp-encrypted\r\n"
	    "Content-Description: version\r\n"
	    "\r\n"
	    "Version: 1\r\n"
	    "\r\n"
	    "--%s\r\n"
	    "Content-Type: application/octet-stream; name=\"encrypted.asc\"\r\n"
	    "Content-Description: encrypted message\r\n"
	    "Content-Disposition: inline; filename=\"encrypted.asc\"\r\n"
	    "\r\n",
	    boundary, boundary, boundary);
	if (put_outer_header(c, out) == -1 || sink_puts(out, text) == -1)
		return err_sys(e, "cannot write the message");
	if (put_ciphertext(c, out, e) == -1)
		return -1;
	(void)snprintf(text, sizeof text, "\r\n--%s--\r\n", boundary);
	if (sink_puts(out, text) == -1)
		return err_sys(e, "cannot write the message");
	return 0;
}

/* Sign the entity that stands in the spool; the armoured signature goes into sig. */
static int
sign_entity(const struct compose *c, const struct octets *entity, uint8_t hash, struct buf *sig,
    struct err *e)
{
	struct pgp_sign_params p = {
	    .signers = c->signer,
	    .nsigners = 1,
	    .secret = c->secret,
	    .hash = hash,
	    .armor = true,
	    .now = c->now,
	};
	struct pgp_sign *s = pgp_sign_open(&p, e);
	struct sink to = sink_buf(sig);
	uint8_t window[16 * 1024];
	uint64_t off;
	size_t step;

	if (s == NULL)
		return -1;
	if (entity->mem != NULL) {
		if (pgp_sign_write(s, entity->mem, entity->size) == -1)
			goto fail;
		return pgp_sign_close(s, &to, e);
	}
	for (off = 0; off < entity->size; off += step) {
		step = entity->size - off < sizeof window ? entity->size - off : sizeof window;
		if (octets_read(entity, window, step, off) == -1 ||
		    pgp_sign_write(s, window, step) == -1)
			goto fail;
	}
	return pgp_sign_close(s, &to, e);
fail:
	(void)err_sys(e, "cannot sign the message");
	pgp_sign_abort(s);
	return -1;
}

static int
put_signed(const struct compose *c, const struct octets *entity, const struct buf *sig,
    uint8_t hash, const struct sink *out)
{
	char boundary[MAIL_BOUNDARY_LEN + 1], text[1024];

	mail_boundary_random(boundary);
	(void)snprintf(text, sizeof text,
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: multipart/signed; micalg=%s;\r\n"
	    "\tprotocol=\"application/pgp-signature\"; boundary=\"%s\"\r\n"
	    "\r\n"
	    "This message is signed with OpenPGP (RFC 3156).\r\n"
	    "--%s\r\n",
	    pgp_micalg(hash), boundary, boundary);
	if (put_outer_header(c, out) == -1 || sink_puts(out, text) == -1 ||
	    sink_copy(out, entity, 0, entity->size) == -1)
		return -1;
	(void)snprintf(text, sizeof text,
	    "\r\n--%s\r\n"
	    "Content-Type: application/pgp-signature; name=\"signature.asc\"\r\n"
	    "Content-Description: OpenPGP digital signature\r\n"
	    "Content-Disposition: attachment; filename=\"signature.asc\"\r\n"
	    "\r\n",
	    boundary);
	if (sink_puts(out, text) == -1 || sink_write(out, buf_ptr(sig), buf_len(sig)) == -1)
		return -1;
	(void)snprintf(text, sizeof text, "\r\n--%s--\r\n", boundary);
	return sink_puts(out, text);
}

int
compose_signed(const struct compose *c, const struct sink *out, struct err *e)
{
	uint8_t hash = pgp_signing_hash(PGP_HASH_SHA256, c->signer, 1);
	struct octets entity;
	struct spool spool;
	struct sink to;
	struct buf sig;
	int rc = -1;

	spool_init(&spool, ENTITY_MAX, c->spooldir);
	buf_init(&sig, 64 * 1024);
	to = spool_sink(&spool);
	if (mail_to_7bit(c->in, c->ix, 0, MAIL_ENTITY, &to) == -1) {
		(void)err_sys(e, "cannot encode the message for a signature");
		goto out;
	}
	if (spool_octets(&spool, &entity) == -1) {
		(void)err_sys(e, "cannot read the message back");
		goto out;
	}
	if (sign_entity(c, &entity, hash, &sig, e) == -1)
		goto out;
	if (put_signed(c, &entity, &sig, hash, out) == -1) {
		(void)err_sys(e, "cannot write the message");
		goto out;
	}
	rc = 0;
out:
	buf_free(&sig);
	spool_free(&spool);
	return rc;
}
