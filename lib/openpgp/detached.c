#include "openpgp/detached.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "openpgp/algo.h"
#include "openpgp/armor.h"
#include "openpgp/document.h"
#include "openpgp/packet.h"
#include "openpgp/sigset.h"

#define SIGS_BUF_MAX 65536 /* octets of all signatures made at once */

struct pgp_sign {
	struct pgp_sign_params p;
	struct pgp_hashing hashing;
};

struct pgp_verify {
	const struct pgp_certs *certs;
	uint64_t now;
	struct pgp_sigset set;
};

struct pgp_sign *
pgp_sign_open(const struct pgp_sign_params *p, struct err *e)
{
	struct pgp_sign *s;

	if (p->nsigners == 0 || p->nsigners > PGP_SIGS_MAX || p->secret == NULL ||
	    p->secret->sign == NULL) {
		err_set(e, EINVAL, "no signer, too many, or no way to sign");
		return NULL;
	}
	if ((s = calloc(1, sizeof *s)) == NULL) {
		err_sys(e, "signing");
		return NULL;
	}
	s->p = *p;
	if (s->p.hash == 0)
		s->p.hash = PGP_HASH_SHA256;
	s->p.hash = pgp_signing_hash(s->p.hash, p->signers, p->nsigners);
	if (pgp_hashing_add(&s->hashing, s->p.hash, s->p.text) == -1) {
		err_sys(e, "cannot sign with hash %u", s->p.hash);
		pgp_sign_abort(s);
		return NULL;
	}
	return s;
}

int
pgp_sign_write(struct pgp_sign *s, const void *p, size_t n)
{
	return pgp_hashing_update(&s->hashing, p, n);
}

static int
put_armored(const struct sink *out, const struct buf *sigs)
{
	struct pgp_armor armor;

	if (pgp_armor_open(&armor, PGP_ARMOR_SIGNATURE, out) == -1 ||
	    pgp_armor_write(&armor, buf_ptr(sigs), buf_len(sigs)) == -1)
		return -1;
	return pgp_armor_close(&armor);
}

int
pgp_sign_close(struct pgp_sign *s, const struct sink *out, struct err *e)
{
	struct buf sigs;
	unsigned i;
	int rc = -1, code;

	buf_init(&sigs, SIGS_BUF_MAX);
	for (i = 0; i < s->p.nsigners; i++) {
		if (pgp_document_sign(&s->hashing, &s->p.signers[i], s->p.hash, s->p.text, s->p.now,
			s->p.secret, &sigs, e) == -1)
			goto out;
	}
	if (s->p.armor)
		rc = put_armored(out, &sigs);
	else
		rc = sink_write(out, buf_ptr(&sigs), buf_len(&sigs));
	if (rc == -1)
		err_sys(e, "writing a signature");
out:
	code = errno;
	buf_free(&sigs);
	pgp_sign_abort(s);
	errno = code;
	return rc;
}

void
pgp_sign_abort(struct pgp_sign *s)
{
	if (s == NULL)
		return;
	pgp_hashing_free(&s->hashing);
	free(s);
}

const char *
pgp_micalg(uint8_t hash)
{
	switch (hash) {
	case PGP_HASH_MD5:
		return "pgp-md5";
	case PGP_HASH_SHA1:
		return "pgp-sha1";
	case PGP_HASH_RIPEMD160:
		return "pgp-ripemd160";
	case PGP_HASH_SHA224:
		return "pgp-sha224";
	case PGP_HASH_SHA256:
		return "pgp-sha256";
	case PGP_HASH_SHA384:
		return "pgp-sha384";
	case PGP_HASH_SHA512:
		return "pgp-sha512";
	default:
		return NULL;
	}
}

int
pgp_sigset_add(struct pgp_sigset *s, struct bytes blob)
{
	struct pgp_packet pkt;
	unsigned skipped = 0;
	int rc;

	while ((rc = pgp_packet_next(&blob, &pkt)) == 1) {
		if (pkt.tag != PGP_TAG_SIG) {
			if (!pgp_tag_skippable(pkt.tag) || ++skipped > PGP_SKIP_MAX)
				goto bad;
			continue;
		}
		if (pkt.body.n > PGP_MSG_SIG_MAX)
			goto bad;
		if (s->n == PGP_SIGS_MAX) {
			errno = EMSGSIZE;
			return -1;
		}
		if (pgp_document_expect(&s->hashing, pkt.body.p, pkt.body.n) == -1)
			return -1;
		s->body[s->n++] = pkt.body;
	}
	if (rc == -1)
		return -1;
	if (s->n > 0)
		return 0;
bad:
	errno = EBADMSG;
	return -1;
}

void
pgp_sigset_check(
    const struct pgp_sigset *s, const struct pgp_certs *certs, uint64_t now, struct pgp_result *r)
{
	unsigned i;

	for (i = 0; i < s->n; i++)
		pgp_document_check(
		    &s->hashing, s->body[i].p, s->body[i].n, certs, now, &r->sigs[i]);
	r->nsigs = s->n;
	r->status = PGP_OK;
}

void
pgp_sigset_free(struct pgp_sigset *s)
{
	pgp_hashing_free(&s->hashing);
	buf_free(&s->octets);
}

/* The signatures' octets, out of their armour. */
static int
load_blob(struct pgp_sigset *s, const void *sig, size_t n, struct err *e)
{
	enum pgp_armor_type type;
	int rc;

	buf_init(&s->octets, PGP_SIG_BLOB_MAX);
	if (pgp_is_binary(sig, n))
		return buf_put(&s->octets, sig, n) == -1 ? err_sys(e, "signature") : 0;
	if ((rc = pgp_dearmor(sig, n, &s->octets, &type, NULL, e)) == -1)
		return -1;
	/* "MESSAGE" is what PGP of old wrote. */
	if (rc == 0 || (type != PGP_ARMOR_SIGNATURE && type != PGP_ARMOR_MESSAGE))
		return err_set(e, EBADMSG, "not an OpenPGP signature");
	return 0;
}

struct pgp_verify *
pgp_verify_open(
    const void *sig, size_t n, const struct pgp_certs *certs, uint64_t now, struct err *e)
{
	struct pgp_verify *v;

	if ((v = calloc(1, sizeof *v)) == NULL) {
		err_sys(e, "signature");
		return NULL;
	}
	v->certs = certs;
	v->now = now;
	if (load_blob(&v->set, sig, n, e) == -1)
		goto fail;
	if (pgp_sigset_add(
		&v->set, (struct bytes){buf_ptr(&v->set.octets), buf_len(&v->set.octets)}) == -1) {
		err_sys(e, "not an OpenPGP signature");
		goto fail;
	}
	return v;
fail:
	pgp_verify_abort(v);
	return NULL;
}

int
pgp_verify_write(struct pgp_verify *v, const void *p, size_t n)
{
	return pgp_hashing_update(&v->set.hashing, p, n);
}

void
pgp_verify_close(struct pgp_verify *v, struct pgp_result *r)
{
	memset(r, 0, sizeof *r);
	pgp_sigset_check(&v->set, v->certs, v->now, r);
	pgp_verify_abort(v);
}

void
pgp_verify_abort(struct pgp_verify *v)
{
	int code = errno;

	if (v == NULL)
		return;
	pgp_sigset_free(&v->set);
	free(v);
	errno = code;
}

static int
verify_sink(void *ctx, const void *p, size_t n)
{
	return pgp_verify_write(ctx, p, n);
}

int
pgp_verify_octets(const void *sig, size_t siglen, const struct octets *data, uint64_t off,
    uint64_t n, const struct pgp_certs *certs, uint64_t now, struct pgp_result *r, struct err *e)
{
	struct pgp_verify *v;
	struct sink to;

	memset(r, 0, sizeof *r);
	r->status = PGP_MALFORMED;
	if ((v = pgp_verify_open(sig, siglen, certs, now, e)) == NULL) {
		if (errno == ENOMEM)
			r->status = PGP_IO;
		return -1;
	}
	to = (struct sink){verify_sink, v};
	if (sink_copy(&to, data, off, n) == -1) {
		r->status = PGP_IO;
		err_sys(e, "reading signed data");
		pgp_verify_abort(v);
		return -1;
	}
	pgp_verify_close(v, r);
	return 0;
}
