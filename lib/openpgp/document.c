#include "openpgp/document.h"

#include <errno.h>
#include <string.h>

#include "openpgp/algo.h"
#include "openpgp/cert.h"
#include "openpgp/sig.h"

int
pgp_crlf_feed(struct pgp_crlf *c, const uint8_t *p, size_t n, const struct sink *to)
{
	const uint8_t *run = p, *end = p + n, *nl;

	if (n == 0)
		return 0;
	for (nl = p; (nl = memchr(nl, '\n', (size_t)(end - nl))) != NULL; nl++) {
		if (nl > p ? nl[-1] == '\r' : c->cr)
			continue;
		if (sink_write(to, run, (size_t)(nl - run)) == -1 || sink_write(to, "\r", 1) == -1)
			return -1;
		run = nl;
	}
	c->cr = end[-1] == '\r';
	return sink_write(to, run, (size_t)(end - run));
}

int
pgp_hashing_add(struct pgp_hashing *h, uint8_t hash, bool text)
{
	const EVP_MD *md;
	unsigned i;

	for (i = 0; i < h->n; i++) {
		if (h->v[i].hash == hash && h->v[i].text == text)
			return 0;
	}
	if (!pgp_hash_strong(hash) || (md = pgp_hash_md(hash)) == NULL) {
		errno = ENOTSUP;
		return -1;
	}
	if (h->n == PGP_HASHING_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if ((h->v[i].ctx = EVP_MD_CTX_new()) == NULL ||
	    EVP_DigestInit_ex(h->v[i].ctx, md, NULL) != 1) {
		EVP_MD_CTX_free(h->v[i].ctx);
		h->v[i].ctx = NULL;
		errno = ENOMEM;
		return -1;
	}
	h->v[i].hash = hash;
	h->v[i].text = text;
	h->any_text |= text;
	h->n++;
	return 0;
}

static int
update(struct pgp_hashing *h, bool text, const void *p, size_t n)
{
	unsigned i;

	for (i = 0; i < h->n; i++) {
		if (h->v[i].text == text && EVP_DigestUpdate(h->v[i].ctx, p, n) != 1) {
			errno = EIO;
			return -1;
		}
	}
	return 0;
}

static int
update_text(void *ctx, const void *p, size_t n)
{
	return update(ctx, true, p, n);
}

int
pgp_hashing_update(struct pgp_hashing *h, const void *p, size_t n)
{
	struct sink text = {update_text, h};

	if (h->n == 0)
		return 0;
	if (update(h, false, p, n) == -1)
		return -1;
	return h->any_text ? pgp_crlf_feed(&h->crlf, p, n, &text) : 0;
}

EVP_MD_CTX *
pgp_hashing_copy(const struct pgp_hashing *h, uint8_t hash, bool text)
{
	EVP_MD_CTX *ctx;
	unsigned i;

	for (i = 0; i < h->n; i++) {
		if (h->v[i].hash != hash || h->v[i].text != text)
			continue;
		if ((ctx = EVP_MD_CTX_new()) == NULL)
			return NULL;
		if (EVP_MD_CTX_copy_ex(ctx, h->v[i].ctx) == 1)
			return ctx;
		EVP_MD_CTX_free(ctx);
		return NULL;
	}
	return NULL;
}

void
pgp_hashing_free(struct pgp_hashing *h)
{
	while (h->n > 0)
		EVP_MD_CTX_free(h->v[--h->n].ctx);
	h->any_text = false;
}

int
pgp_document_sign(const struct pgp_hashing *h, const struct pgp_signer *signer, uint8_t hash,
    bool text, uint64_t now, const struct pgp_secret *secret, struct buf *out, struct err *e)
{
	const struct cert_key *k = signer->key;
	uint8_t digest[PGP_DIGEST_MAX];
	struct pgp_sigmake make;
	struct pgp_sigval val;
	EVP_MD_CTX *ctx;
	int n, rc = -1;

	if ((ctx = pgp_hashing_copy(h, hash, text)) == NULL)
		return err_set(e, EIO, "cannot hash with %s", pgp_hash_name(hash));
	pgp_sigmake_begin(
	    &make, text ? PGP_SIG_TEXT : PGP_SIG_BINARY, k->algo, hash, now, k->fpr.p, k->fpr.n);
	if (signer->uid != NULL &&
	    pgp_sigmake_add(&make, PGP_SUB_SIGNER_UID, signer->uid, strlen(signer->uid)) == -1) {
		err_sys(e, "the signer's user id");
		goto out;
	}
	if ((n = pgp_sigmake_digest(&make, ctx, digest)) == -1) {
		err_sys(e, "digest");
		goto out;
	}
	if (secret->sign(secret->ctx, k->fpr.p, k->fpr.n, hash, digest, (size_t)n, &val) == -1) {
		err_sys(e, "signing");
		goto out;
	}
	if (pgp_sigmake_packet(&make, &val, out) == -1) {
		err_sys(e, "signature packet");
		goto out;
	}
	rc = 0;
out:
	EVP_MD_CTX_free(ctx);
	return rc;
}

int
pgp_document_expect(struct pgp_hashing *h, const uint8_t *body, size_t n)
{
	struct pgp_sig sig;

	if (pgp_sig_parse(&sig, body, n) == -1 ||
	    (sig.type != PGP_SIG_BINARY && sig.type != PGP_SIG_TEXT))
		return 0;
	if (pgp_hashing_add(h, sig.hash, sig.type == PGP_SIG_TEXT) == -1 && errno != ENOTSUP)
		return -1;
	return 0;
}

/* Who the signature says it is from, and the key if we have it. */
static const struct cert *
signer_cert(const struct pgp_sig *sig, const struct pgp_certs *certs, struct pgp_signature *out,
    const struct cert_key **key)
{
	const struct cert *cert = NULL;

	*key = NULL;
	out->created = sig->created;
	if (sig->has_issuer) {
		out->has_keyid = true;
		memcpy(out->keyid, sig->issuer, sizeof out->keyid);
	}
	if (sig->issuer_fpr.n != 0 && sig->issuer_fpr.n <= sizeof out->fpr) {
		out->fprlen = (uint8_t)sig->issuer_fpr.n;
		memcpy(out->fpr, sig->issuer_fpr.p, sig->issuer_fpr.n);
	}
	if (certs == NULL || !sig->has_issuer)
		return NULL;
	if ((cert = certs->find(
		 certs->ctx, out->keyid, out->fprlen ? out->fpr : NULL, out->fprlen)) == NULL)
		return NULL;
	if (out->fprlen != 0)
		*key = pgp_cert_find(cert, out->fpr, out->fprlen);
	else
		*key = pgp_cert_find(cert, out->keyid, sizeof out->keyid);
	if (*key == NULL)
		return NULL;
	out->fprlen = (uint8_t)(*key)->fpr.n;
	memcpy(out->fpr, (*key)->fpr.p, (*key)->fpr.n);
	out->primary_len = (uint8_t)cert->keys.v[0].fpr.n;
	memcpy(out->primary, cert->keys.v[0].fpr.p, cert->keys.v[0].fpr.n);
	return cert;
}

/* The mathematics: GOOD, BAD, WEAK or UNSUPPORTED. */
static enum pgp_sig_state
verify(const struct pgp_hashing *h, const struct pgp_sig *sig, const struct cert_key *key)
{
	enum pgp_sig_state state = PGP_SIG_BAD;
	struct pgp_pk *pk = NULL;
	EVP_MD_CTX *ctx = NULL;

	if ((pk = pgp_pk_kept(key, NULL)) == NULL) {
		state = PGP_SIG_UNSUPPORTED;
		goto out;
	}
	/* A digest that nobody announced before the data: not a signature of this message. */
	if ((ctx = pgp_hashing_copy(h, sig->hash, sig->type == PGP_SIG_TEXT)) == NULL)
		goto out;
	if (sig->pk != key->algo)
		goto out;
	if (pgp_sig_verify(sig, ctx, pk) == -1)
		state = errno == ENOTSUP ? PGP_SIG_UNSUPPORTED : PGP_SIG_BAD;
	else
		state = pgp_pk_weak(pk) ? PGP_SIG_WEAK : PGP_SIG_GOOD;
out:
	EVP_MD_CTX_free(ctx);
	return state;
}

/* What a signature that is mathematically right is worth. */
static enum pgp_sig_state
judge(const struct pgp_sig *sig, const struct cert *cert, const struct cert_key *key, uint64_t now)
{
	if ((key->flags & KEY_SIGN) == 0 || sig->created > now + PGP_CERT_FUTURE_MAX)
		return PGP_SIG_BAD;
	switch (pgp_key_state(cert, key, sig->created)) {
	case PGP_KEY_OK:
		break;
	case PGP_KEY_EXPIRED:
		return PGP_SIG_EXPIRED_KEY;
	case PGP_KEY_REVOKED:
		return PGP_SIG_REVOKED_KEY;
	default: /* made before its key */
		return PGP_SIG_BAD;
	}
	return pgp_sig_expired(sig, now) ? PGP_SIG_EXPIRED : PGP_SIG_GOOD;
}

void
pgp_document_check(const struct pgp_hashing *h, const uint8_t *body, size_t n,
    const struct pgp_certs *certs, uint64_t now, struct pgp_signature *out)
{
	const struct cert_key *key;
	const struct cert *cert;
	struct pgp_sig sig;

	memset(out, 0, sizeof *out);
	memset(&sig, 0, sizeof sig);
	if (pgp_sig_parse(&sig, body, n) == -1) {
		out->state = errno == ENOTSUP ? PGP_SIG_UNSUPPORTED : PGP_SIG_BAD;
		return;
	}
	out->hash = sig.hash;
	out->text = sig.type == PGP_SIG_TEXT;
	cert = signer_cert(&sig, certs, out, &key);
	if (sig.type != PGP_SIG_BINARY && sig.type != PGP_SIG_TEXT)
		out->state = PGP_SIG_BAD; /* of a key or a user id, not of a document */
	else if (sig.unusable)
		out->state = PGP_SIG_UNSUPPORTED;
	else if (pgp_hash_len(sig.hash) == 0)
		out->state = PGP_SIG_UNSUPPORTED;
	else if (!pgp_hash_strong(sig.hash))
		out->state = PGP_SIG_WEAK;
	else if (cert == NULL)
		out->state = PGP_SIG_UNKNOWN_KEY;
	else if ((out->state = verify(h, &sig, key)) == PGP_SIG_GOOD)
		out->state = judge(&sig, cert, key, now);
}
