#include "t/unit/openpgp/handmade.h"

#include <errno.h>
#include <string.h>

#include "openpgp/mpi.h"
#include "openpgp/sig.h"
#include "openpgp/tpk.h"
#include "t/unit/unit.h"

static int
sha1_sign(struct bench *b, unsigned by, const uint8_t *digest, size_t n, struct pgp_sigval *v)
{
	/* the library will not sign that: do it beside it */
	struct bytes s = pgp_skey_secret(b->k[by]);
	uint8_t seed[32] = {0}, sig[64];
	size_t sn = sizeof sig;
	EVP_PKEY *pk;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	memcpy(seed + 32 - (s.n - 2), s.p + 2, s.n - 2);
	pk = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	ck_assert(EVP_DigestSignInit(ctx, NULL, NULL, NULL, pk) > 0);
	ck_assert(EVP_DigestSign(ctx, sig, &sn, digest, n) > 0);
	v->n = pgp_mpi_write(v->data, sig, 32);
	v->n += pgp_mpi_write(v->data + v->n, sig + 32, 32);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pk);
	return 0;
}

int
bench_sign(void *ctx, const uint8_t *fpr, size_t fprlen, unsigned hash, const uint8_t *digest,
    size_t n, struct pgp_sigval *out)
{
	struct bench *b = ctx;

	for (unsigned i = 0; i < NKEYS; i++)
		if (fprlen == PGP_FPR4 && memcmp(b->pub[i].fpr.p, fpr, fprlen) == 0)
			return hash == PGP_HASH_SHA1 ? sha1_sign(b, i, digest, n, out)
						     : pgp_skey_sign(b->k[i], hash, digest, n, out);
	errno = ENOKEY;
	return -1;
}

void
bench_start_at(struct bench *b, uint64_t t)
{
	static const enum pgp_keytype types[] = {
	    PGP_GEN_ED25519, PGP_GEN_ED25519, PGP_GEN_CV25519, PGP_GEN_ED25519};
	static const uint8_t flags[] = {KEY_CERTIFY, KEY_SIGN, KEY_ENCRYPT, KEY_SIGN};
	struct err e = {0};

	memset(b, 0, sizeof *b);
	buf_init(&b->out, PGP_CERT_INPUT_MAX * 2);
	b->md = EVP_MD_CTX_new();
	for (int i = 0; i < NKEYS; i++) {
		uint8_t head[6] = {4};

		b->k[i] = pgp_skey_generate(types[i], 0, t, &e);
		ck_assert_msg(b->k[i] != NULL, "%s", e.text);
		pgp_skey_public(b->k[i], &b->pub[i]);
		b->pub[i].flags = flags[i];
		put_be32(head + 1, (uint32_t)t);
		head[5] = b->pub[i].algo;
		buf_init(&b->body[i], 4096);
		ck_assert_int_eq(buf_put(&b->body[i], head, 6), 0);
		ck_assert_int_eq(buf_put(&b->body[i], b->pub[i].params.p, b->pub[i].params.n), 0);
	}
}

void
bench_start(struct bench *b)
{
	bench_start_at(b, T0);
}

void
bench_end(struct bench *b)
{
	for (int i = 0; i < NKEYS; i++) {
		pgp_skey_free(b->k[i]);
		buf_free(&b->body[i]);
	}
	buf_free(&b->out);
	EVP_MD_CTX_free(b->md);
}

static void
add_subs(struct pgp_sigmake *m, const struct spec *s)
{
	uint8_t t[4], r[2] = {(uint8_t)(s->reason - 1), 'x'};
	uint8_t c = (uint8_t)(s->flags == 0 && s->uid != NULL ? KEY_CERTIFY : s->flags);

	if (c != 0)
		ck_assert_int_eq(pgp_sigmake_add(m, PGP_SUB_FLAGS, &c, 1), 0);
	put_be32(t, (uint32_t)s->key_lifetime);
	if (s->key_lifetime != 0)
		ck_assert_int_eq(pgp_sigmake_add(m, PGP_SUB_KEY_EXPIRES, t, 4), 0);
	put_be32(t, (uint32_t)s->lifetime);
	if (s->lifetime != 0)
		ck_assert_int_eq(pgp_sigmake_add(m, PGP_SUB_EXPIRES, t, 4), 0);
	if (s->reason > 0)
		ck_assert_int_eq(pgp_sigmake_add(m, PGP_SUB_REASON, r, 2), 0);
	if (s->extra != 0)
		ck_assert_int_eq(pgp_sigmake_add(m, s->extra, "\1", 1), 0);
	if (s->back != NULL && s->back_unhashed)
		ck_assert_int_eq(pgp_sigmake_add_unhashed(
				     m, PGP_SUB_EMBEDDED, buf_ptr(s->back), buf_len(s->back)),
		    0);
	else if (s->back != NULL)
		ck_assert_int_eq(
		    pgp_sigmake_add(m, PGP_SUB_EMBEDDED, buf_ptr(s->back), buf_len(s->back)), 0);
}

/* The signature's body in out. */
void
bench_make_sig(struct bench *b, const struct spec *s, struct buf *out)
{
	unsigned type = s->type, hash = s->hash == 0 ? PGP_HASH_SHA256 : s->hash;
	const struct cert_key *by = &b->pub[s->by];
	uint8_t digest[PGP_DIGEST_MAX];
	struct pgp_sigmake m;
	struct pgp_sigval v;
	int n;

	if (type == 0)
		type = s->uid != NULL ? PGP_SIG_CERT_POSITIVE : PGP_SIG_SUBKEY;
	pgp_sigmake_begin(
	    &m, type, by->algo, hash, s->created == 0 ? T0 : s->created, by->fpr.p, by->fpr.n);
	add_subs(&m, s);
	ck_assert_int_gt(EVP_DigestInit_ex(b->md, pgp_hash_md(hash), NULL), 0);
	ck_assert(tpk_hash_key(b->md, body_of(&b->body[PRIMARY])));
	if (s->uid != NULL)
		ck_assert(tpk_hash_uid(b->md, PGP_TAG_USERID,
		    (struct bytes){(const uint8_t *)s->uid, strlen(s->uid)}));
	else if (s->over != 0)
		ck_assert(tpk_hash_key(b->md, body_of(&b->body[s->over])));
	ck_assert_int_gt(n = pgp_sigmake_digest(&m, b->md, digest), 0);
	ck_assert_int_eq(bench_sign(b, by->fpr.p, by->fpr.n, hash, digest, (size_t)n, &v), 0);
	ck_assert_int_eq(pgp_sigmake_body(&m, &v, out), 0);
}

void
put_key(struct bench *b, unsigned i)
{
	ck_assert_int_eq(tpk_put_packet(&b->out, i == PRIMARY ? PGP_TAG_PUBKEY : PGP_TAG_PUBSUB,
			     body_of(&b->body[i])),
	    0);
}

void
put_uid(struct bench *b, const char *uid)
{
	ck_assert_int_eq(tpk_put_packet(&b->out, PGP_TAG_USERID,
			     (struct bytes){(const uint8_t *)uid, strlen(uid)}),
	    0);
}

void
put_sig(struct bench *b, const struct spec *s)
{
	struct buf body;

	buf_init(&body, 65536);
	bench_make_sig(b, s, &body);
	ck_assert_int_eq(tpk_put_packet(&b->out, PGP_TAG_SIG, body_of(&body)), 0);
	buf_free(&body);
}

/* Primary and user id, the usual beginning. */
void
put_head(struct bench *b)
{
	put_key(b, PRIMARY);
	put_uid(b, UID);
	put_sig(b, UID_SIG(.uid = UID));
}
