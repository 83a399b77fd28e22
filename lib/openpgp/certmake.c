#include "openpgp/certmake.h"

#include <errno.h>
#include <string.h>

#include "openpgp/sig.h"
#include "openpgp/tpk.h"

struct maker {
	const struct pgp_secret *secret;
	struct buf *out;
	struct err *e;
	EVP_MD_CTX *md;
	struct bytes primary; /* the key packet's body */
	struct pgp_sigmake m;
	struct pgp_sigval v;
};

static const uint8_t pref_ciphers[] = {PGP_CIPHER_AES256, PGP_CIPHER_AES192, PGP_CIPHER_AES128};
static const uint8_t pref_hashes[] = {PGP_HASH_SHA512, PGP_HASH_SHA384, PGP_HASH_SHA256};
static const uint8_t pref_compress[] = {PGP_COMP_ZLIB, PGP_COMP_ZIP};
static const uint8_t features[] = {1}; /* modification detection */

static unsigned
hash_for(const struct cert_key *k)
{
	size_t min = pgp_key_digest_min(k);

	if (k->algo == PGP_PK_EDDSA || min > 48)
		return PGP_HASH_SHA512;
	return min > 32 ? PGP_HASH_SHA384 : PGP_HASH_SHA256;
}

static void
begin(struct maker *mk, unsigned type, const struct cert_key *by, uint64_t created)
{
	pgp_sigmake_begin(&mk->m, type, by->algo, hash_for(by), created, by->fpr.p, by->fpr.n);
}

static int
add_u32(struct pgp_sigmake *m, unsigned type, uint64_t v)
{
	uint8_t b[4];

	put_be32(b, (uint32_t)v);
	return pgp_sigmake_add(m, type, b, sizeof b);
}

/*
 * Have the signature in mk->m made by a key: over the primary, and the component (tag 0: none).
 * The value goes to mk->v.
 */
static int
sign(struct maker *mk, const struct cert_key *by, unsigned tag, struct bytes body)
{
	uint8_t digest[PGP_DIGEST_MAX];
	int n;

	if (EVP_DigestInit_ex(mk->md, pgp_hash_md(hash_for(by)), NULL) <= 0 ||
	    !tpk_hash_key(mk->md, mk->primary) ||
	    (tag == PGP_TAG_PUBSUB && !tpk_hash_key(mk->md, body)) ||
	    (tag == PGP_TAG_USERID && !tpk_hash_uid(mk->md, tag, body)) ||
	    (n = pgp_sigmake_digest(&mk->m, mk->md, digest)) < 0)
		return err_set(mk->e, EIO, "certificate: digest failed");
	if (mk->secret->sign(
		mk->secret->ctx, by->fpr.p, by->fpr.n, hash_for(by), digest, (size_t)n, &mk->v) < 0)
		return err_sys(mk->e, "certificate: signing failed");
	return 0;
}

static int
put_sig(struct maker *mk)
{
	if (pgp_sigmake_packet(&mk->m, &mk->v, mk->out) < 0)
		return err_sys(mk->e, "certificate");
	return 0;
}

/* A key packet's body in b. */
static int
key_body(struct buf *b, const struct cert_key *k)
{
	uint8_t head[6] = {4};

	put_be32(head + 1, (uint32_t)k->created);
	head[5] = k->algo;
	buf_init(b, CERT_PARAMS_MAX + sizeof head);
	if (buf_put(b, head, sizeof head) < 0 || buf_put(b, k->params.p, k->params.n) < 0)
		return -1;
	return 0;
}

static int
add_uid(struct maker *mk, const struct pgp_certspec *spec, size_t i)
{
	const struct cert_key *p = &spec->keys[0];
	struct bytes uid = {(const uint8_t *)spec->uids[i], strlen(spec->uids[i])};
	struct pgp_sigmake *m = &mk->m;

	begin(mk, PGP_SIG_CERT_POSITIVE, p, spec->created);
	if (pgp_sigmake_add(m, PGP_SUB_FLAGS, &p->flags, 1) < 0 ||
	    (spec->expires != 0 &&
		add_u32(m, PGP_SUB_KEY_EXPIRES, spec->expires - p->created) < 0) ||
	    pgp_sigmake_add(m, PGP_SUB_CIPHERS, pref_ciphers, sizeof pref_ciphers) < 0 ||
	    pgp_sigmake_add(m, PGP_SUB_HASHES, pref_hashes, sizeof pref_hashes) < 0 ||
	    pgp_sigmake_add(m, PGP_SUB_COMPRESS, pref_compress, sizeof pref_compress) < 0 ||
	    pgp_sigmake_add(m, PGP_SUB_FEATURES, features, sizeof features) < 0 ||
	    (i == 0 && pgp_sigmake_add(m, PGP_SUB_PRIMARY_UID, "\1", 1) < 0) ||
	    tpk_put_packet(mk->out, PGP_TAG_USERID, uid) < 0)
		return err_sys(mk->e, "certificate");
	return sign(mk, p, PGP_TAG_USERID, uid) < 0 ? -1 : put_sig(mk);
}

/* The back signature of a subkey, as a subpacket's body in b. */
static int
back_signature(
    struct maker *mk, const struct cert_key *k, uint64_t created, struct bytes body, struct buf *b)
{
	buf_init(b, PGP_SIG_AREA_MAX);
	begin(mk, PGP_SIG_BACK, k, created);
	if (sign(mk, k, PGP_TAG_PUBSUB, body) < 0)
		return -1;
	if (pgp_sigmake_body(&mk->m, &mk->v, b) < 0)
		return err_sys(mk->e, "certificate");
	return 0;
}

static int
add_subkey(struct maker *mk, const struct pgp_certspec *spec, const struct cert_key *k)
{
	const struct cert_key *p = &spec->keys[0];
	struct buf b, back = {0};
	struct bytes body;
	int r = -1;

	if (key_body(&b, k) < 0) {
		err_sys(mk->e, "certificate");
		goto out;
	}
	body = (struct bytes){buf_ptr(&b), buf_len(&b)};
	if ((k->flags & KEY_SIGN) != 0 && back_signature(mk, k, spec->created, body, &back) < 0)
		goto out;
	begin(mk, PGP_SIG_SUBKEY, p, spec->created);
	if (pgp_sigmake_add(&mk->m, PGP_SUB_FLAGS, &k->flags, 1) < 0 ||
	    (k->expires != 0 &&
		add_u32(&mk->m, PGP_SUB_KEY_EXPIRES, k->expires - k->created) < 0) ||
	    (buf_len(&back) > 0 &&
		pgp_sigmake_add(&mk->m, PGP_SUB_EMBEDDED, buf_ptr(&back), buf_len(&back)) < 0) ||
	    tpk_put_packet(mk->out, PGP_TAG_PUBSUB, body) < 0) {
		err_sys(mk->e, "certificate");
		goto out;
	}
	if (sign(mk, p, PGP_TAG_PUBSUB, body) < 0 || put_sig(mk) < 0)
		goto out;
	r = 0;
out:
	buf_free(&b);
	buf_free(&back);
	return r;
}

static int
check_times(const struct cert_key *k, uint64_t expires, uint64_t signed_at, struct err *e)
{
	if (k->created > UINT32_MAX || signed_at > UINT32_MAX || signed_at < k->created)
		return err_set(e, EINVAL, "certificate: signed before its key was made");
	if (expires != 0 && (expires <= k->created || expires - k->created > UINT32_MAX))
		return err_set(e, EINVAL, "certificate: expires before it begins");
	return 0;
}

static int
check_spec(const struct pgp_certspec *s, struct err *e)
{
	if (s->nkeys == 0 || s->nkeys > CERT_KEYS_MAX || s->nuids == 0 || s->nuids > CERT_UIDS_MAX)
		return err_set(
		    e, EINVAL, "certificate: %zu keys and %zu user ids", s->nkeys, s->nuids);
	for (size_t i = 0; i < s->nkeys; i++) {
		const struct cert_key *k = &s->keys[i];
		unsigned need = i == 0 ? KEY_SIGN | KEY_CERTIFY : 0, can = pgp_algo_can(k->algo);

		need |= k->flags & KEY_SIGN;
		if ((k->flags & KEY_ENCRYPT) != 0 && (can & KEY_ENCRYPT) == 0)
			return err_set(e, EINVAL, "certificate: key %zu cannot encrypt", i);
		if ((need & KEY_SIGN) != 0 && (can & KEY_SIGN) == 0)
			return err_set(e, EINVAL, "certificate: key %zu cannot sign", i);
		if (k->fpr.n != PGP_FPR4 || k->params.n == 0 || k->params.n > CERT_PARAMS_MAX)
			return err_set(e, EINVAL, "certificate: key %zu is not of version 4", i);
		if (check_times(k, i == 0 ? s->expires : k->expires, s->created, e) < 0)
			return -1;
	}
	if ((s->keys[0].flags & KEY_CERTIFY) == 0)
		return err_set(e, EINVAL, "certificate: its primary key does not certify");
	for (size_t i = 0; i < s->nuids; i++)
		if (s->uids[i][0] == '\0' || strlen(s->uids[i]) > CERT_UID_MAX)
			return err_set(e, EINVAL, "certificate: user id empty or too long");
	return 0;
}

int
pgp_certmake(const struct pgp_certspec *spec, const struct pgp_secret *secret, struct buf *out,
    struct err *e)
{
	struct maker mk = {.secret = secret, .out = out, .e = e};
	struct buf b = {0};
	int r = -1;

	if (check_spec(spec, e) < 0)
		return -1;
	mk.md = EVP_MD_CTX_new();
	if (mk.md == NULL || key_body(&b, &spec->keys[0]) < 0) {
		err_set(e, ENOMEM, "certificate: out of memory");
		goto out;
	}
	mk.primary = (struct bytes){buf_ptr(&b), buf_len(&b)};
	if (tpk_put_packet(out, PGP_TAG_PUBKEY, mk.primary) < 0) {
		err_sys(e, "certificate");
		goto out;
	}
	for (size_t i = 0; i < spec->nuids; i++)
		if (add_uid(&mk, spec, i) < 0)
			goto out;
	for (size_t i = 1; i < spec->nkeys; i++)
		if (add_subkey(&mk, spec, &spec->keys[i]) < 0)
			goto out;
	r = 0;
out:
	EVP_MD_CTX_free(mk.md);
	buf_free(&b);
	return r;
}

/* ---- revocation ---- */

static int
find_key(const struct tpk *t, const uint8_t *fpr, size_t fprlen)
{
	for (int i = 0; i < t->ncomps; i++) {
		uint8_t f[PGP_FPR4];
		struct cert_key k;

		if (t->comps[i].tag != PGP_TAG_PUBKEY && t->comps[i].tag != PGP_TAG_PUBSUB)
			continue;
		if (tpk_key(&k, f, t->comps[i].body, 0, NULL, NULL) == 0 && fprlen == PGP_FPR4 &&
		    memcmp(f, fpr, PGP_FPR4) == 0)
			return i;
	}
	return -1;
}

/* The revocation's body in b. */
static int
make_revocation(struct maker *mk, const struct tpk_comp *c, enum pgp_reason reason,
    const char *text, uint64_t created, struct buf *b)
{
	uint8_t sub[1 + 256], fpr[PGP_FPR4];
	size_t n = strlen(text);
	struct cert_key primary;
	int subkey = c->tag == PGP_TAG_PUBSUB;

	if (n > sizeof sub - 1)
		return err_set(mk->e, EINVAL, "revocation: reason of more than 256 octets");
	sub[0] = (uint8_t)reason;
	memcpy(sub + 1, text, n);
	if (tpk_key(&primary, fpr, mk->primary, 0, NULL, mk->e) < 0)
		return -1;
	begin(mk, subkey ? PGP_SIG_REV_SUBKEY : PGP_SIG_REV_KEY, &primary, created);
	if (pgp_sigmake_add(&mk->m, PGP_SUB_REASON, sub, n + 1) < 0)
		return err_sys(mk->e, "revocation");
	if (sign(mk, &primary, subkey ? PGP_TAG_PUBSUB : 0, c->body) < 0)
		return -1;
	if (pgp_sigmake_body(&mk->m, &mk->v, b) < 0)
		return err_sys(mk->e, "revocation");
	return 0;
}

int
pgp_cert_revoke(const void *raw, size_t n, const uint8_t *fpr, size_t fprlen,
    enum pgp_reason reason, const char *text, uint64_t created, const struct pgp_secret *secret,
    struct buf *out, struct err *e)
{
	struct maker mk = {.secret = secret, .out = out, .e = e};
	struct bytes in = {raw, n};
	struct buf b;
	struct tpk t;
	int i, r;

	buf_init(&b, PGP_SIG_PARSE_MAX);
	if ((r = tpk_read(&t, &in, e)) <= 0)
		return r < 0 ? -1 : err_set(e, EBADMSG, "no certificate in it");
	r = -1;
	if ((i = find_key(&t, fpr, fprlen)) < 0) {
		err_set(e, ENOKEY, "the key to revoke is not in the certificate");
		goto out;
	}
	if ((mk.md = EVP_MD_CTX_new()) == NULL) {
		err_set(e, ENOMEM, "revocation: out of memory");
		goto out;
	}
	mk.primary = t.comps[0].body;
	if (make_revocation(&mk, &t.comps[i], reason, text, created, &b) < 0)
		goto out;
	if (tpk_add_sig(&t, i, (struct bytes){buf_ptr(&b), buf_len(&b)}) < 0 ||
	    tpk_write(&t, out) < 0) {
		err_sys(e, "revocation");
		goto out;
	}
	r = 0;
out:
	EVP_MD_CTX_free(mk.md);
	buf_free(&b);
	tpk_free(&t);
	return r;
}
