#include "openpgp/cert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "openpgp/sig.h"
#include "openpgp/tpk.h"

/* Octets of a subkey packet that is looked at: every signature has it hashed again. */
#define SUBKEY_BODY_MAX 8192

/* What the self-signatures of one component come to. */
struct verdict {
	int bound; /* best is set */
	struct pgp_sig best; /* the newest valid self-signature */
	uint64_t revoked; /* of keys: 0, 1 or the time of the first; of user ids: newest */
};

struct eval {
	struct tpk *t;
	uint64_t now;
	struct pgp_pk *primary;
	EVP_MD_CTX *md;
	unsigned budget; /* public-key operations left */
	struct cert_key keys[CERT_KEYS_MAX];
	uint8_t fprs[CERT_KEYS_MAX][PGP_FPR4];
	struct cert_uid uids[CERT_UIDS_MAX + 1]; /* the last for those that there is no room for */
	char *texts[CERT_UIDS_MAX]; /* text and address of uids[] */
	struct cert c;
	struct verdict direct; /* of the primary key */
	int have_main; /* main is set: the self-signature of the primary user id */
	struct pgp_sig main;
};

/* ---- one signature ---- */

/* Whether the hash counts for a self-signature of that time; see cert.h. */
static int
hash_counts(const struct pgp_sig *s, int revocation)
{
	if (pgp_hash_strong(s->hash))
		return 1;
	return s->hash == PGP_HASH_SHA1 && (revocation || s->created < PGP_CERT_SHA1_UNTIL);
}

/*
 * Verify s, whose data md has not seen yet, by pk: over the primary key and other (may be NULL).
 * Every check that costs little comes before the public-key operation.
 */
static int
good(struct eval *v, const struct pgp_sig *s, const struct tpk_comp *other, struct pgp_pk *pk)
{
	uint8_t digest[PGP_DIGEST_MAX];
	const EVP_MD *md = pgp_hash_md(s->hash);
	int n, ok;

	if (md == NULL || s->unusable || s->pk != pgp_pk_algo(pk) ||
	    EVP_DigestInit_ex(v->md, md, NULL) <= 0 || !tpk_hash_key(v->md, v->t->comps[0].body))
		return 0;
	if (other == NULL)
		ok = 1;
	else if (other->tag == PGP_TAG_PUBSUB)
		ok = tpk_hash_key(v->md, other->body);
	else
		ok = tpk_hash_uid(v->md, other->tag, other->body);
	if (!ok || (n = pgp_sig_digest(s, v->md, digest)) < 0 || memcmp(digest, s->left16, 2) != 0)
		return 0;
	if (v->budget == 0)
		return 0;
	v->budget--;
	return pgp_pk_verify(pk, s->hash, digest, (size_t)n, s->value.p, s->value.n) == 0;
}

/* Made by the primary, as far as the hints go. */
static int
by_primary(const struct eval *v, const struct pgp_sig *s)
{
	if (s->issuer_fpr.n > 0)
		return s->issuer_fpr.n == PGP_FPR4 &&
		       memcmp(s->issuer_fpr.p, v->fprs[0], PGP_FPR4) == 0;
	return !s->has_issuer || memcmp(s->issuer, pgp_keyid(v->fprs[0], PGP_FPR4), 8) == 0;
}

static int
timely(const struct eval *v, const struct pgp_sig *s, uint64_t born)
{
	return s->created >= born && s->created <= v->now + PGP_CERT_FUTURE_MAX;
}

/* RFC 9580, 5.2.3.31: no reason given and unknown reasons count as the worst. */
static int
soft(const struct pgp_sig *s)
{
	return s->has_reason && (s->reason == 1 || s->reason == 3);
}

/* A clock that is ahead of ours does not put a revocation off. */
static uint64_t
at_most_now(const struct eval *v, uint64_t t)
{
	return t > v->now ? v->now : t;
}

static void
revoke_key(const struct eval *v, struct verdict *d, const struct pgp_sig *s)
{
	uint64_t t = soft(s) ? at_most_now(v, s->created) : 1;

	if (t == 0)
		t = 1;
	if (d->revoked == 0 || t < d->revoked)
		d->revoked = t;
}

/* Does a signature of this type bind a component of this tag, or revoke it? */
static int
binds(unsigned tag, unsigned type)
{
	switch (tag) {
	case PGP_TAG_PUBKEY:
		return type == PGP_SIG_DIRECT;
	case PGP_TAG_PUBSUB:
		return type == PGP_SIG_SUBKEY;
	default:
		return type >= PGP_SIG_CERT_GENERIC && type <= PGP_SIG_CERT_POSITIVE;
	}
}

static int
revokes(unsigned tag, unsigned type)
{
	switch (tag) {
	case PGP_TAG_PUBKEY:
		return type == PGP_SIG_REV_KEY;
	case PGP_TAG_PUBSUB:
		return type == PGP_SIG_REV_SUBKEY;
	default:
		return type == PGP_SIG_REV_CERT;
	}
}

/*
 * Look at every signature of a component.  born: no signature is older than that.  Those that do
 * not verify as self-signatures are marked to be left out.
 */
static struct verdict
judge(struct eval *v, struct tpk_comp *c, uint64_t born)
{
	struct verdict d = {0};
	const struct tpk_comp *other = c->tag == PGP_TAG_PUBKEY ? NULL : c;

	for (int i = c->first; i >= 0; i = v->t->sigs[i].next) {
		struct tpk_sig *ts = &v->t->sigs[i];
		struct pgp_sig s;
		int bind, revoke;

		ts->keep = 0;
		if (pgp_sig_parse(&s, ts->body.p, ts->body.n) < 0 || !by_primary(v, &s))
			continue;
		bind = binds(c->tag, s.type);
		revoke = revokes(c->tag, s.type);
		if ((!bind && !revoke) || !hash_counts(&s, revoke) ||
		    !good(v, &s, other, v->primary))
			continue;
		ts->keep = 1;
		if (!timely(v, &s, born) || pgp_sig_expired(&s, v->now))
			continue;
		if (revoke && c->tag != PGP_TAG_USERID) {
			revoke_key(v, &d, &s);
		} else if (revoke) {
			if (s.created > d.revoked)
				d.revoked = s.created;
		} else if (!d.bound || s.created >= d.best.created) {
			d.bound = 1;
			d.best = s;
		}
	}
	return d;
}

/* ---- keys ---- */

/* When a key ends that s binds: by its own lifetime or by the binding's. */
static uint64_t
key_expires(const struct pgp_sig *s, uint64_t created)
{
	uint64_t t = s->key_lifetime == 0 ? 0 : created + s->key_lifetime;
	uint64_t end = s->lifetime == 0 ? 0 : s->created + s->lifetime;

	if (t == 0 || (end != 0 && end < t))
		t = end;
	return t;
}

/* Take from the flags what the key cannot or may not do. */
static uint8_t
possible_flags(const struct cert_key *k, unsigned flags, const struct pgp_pk *pk)
{
	unsigned can = pgp_algo_can(k->algo);

	if ((can & KEY_SIGN) == 0)
		flags &= ~(unsigned)(KEY_SIGN | KEY_CERTIFY);
	if ((can & KEY_ENCRYPT) == 0 || pgp_pk_weak(pk))
		flags &= ~(unsigned)KEY_ENCRYPT;
	return (uint8_t)flags;
}

/* The back signature, RFC 9580, 5.2.1.9 and 5.2.3.34: a subkey that signs agrees to its primary. */
static int
back_signed(
    struct eval *v, const struct pgp_sig *binding, const struct tpk_comp *c, struct pgp_pk *pk)
{
	struct pgp_sig s;

	return binding->embedded.n > 0 &&
	       pgp_sig_parse(&s, binding->embedded.p, binding->embedded.n) == 0 &&
	       s.type == PGP_SIG_BACK && hash_counts(&s, 0) && good(v, &s, c, pk) &&
	       s.created <= v->now + PGP_CERT_FUTURE_MAX && !pgp_sig_expired(&s, v->now);
}

/* -1: no more room, 0: left out or taken */
static int
eval_subkey(struct eval *v, struct tpk_comp *c)
{
	size_t n = v->c.keys.n;
	struct cert_key k;
	uint8_t fpr[PGP_FPR4];
	struct pgp_pk *pk = NULL;
	struct verdict d;
	unsigned flags;

	if (c->body.n > SUBKEY_BODY_MAX)
		return 0;
	d = judge(v, c, v->keys[0].created);
	/* a revocation alone is worth keeping for a merge */
	c->keep = d.bound || d.revoked != 0;
	if (!d.bound || tpk_key(&k, fpr, c->body, 0, NULL, NULL) < 0 ||
	    d.best.created < k.created || (pk = pgp_pk_load(&k, NULL)) == NULL)
		return 0;
	if (n == CERT_KEYS_MAX) {
		pgp_pk_free(pk);
		return -1;
	}
	flags = d.best.has_flags ? d.best.flags : pgp_algo_can(k.algo);
	flags = possible_flags(&k, flags & ~(unsigned)KEY_CERTIFY, pk);
	if ((flags & KEY_SIGN) != 0 && !back_signed(v, &d.best, c, pk))
		flags &= ~(unsigned)KEY_SIGN;
	pgp_pk_free(pk);
	memcpy(v->fprs[n], fpr, PGP_FPR4);
	k.fpr.p = v->fprs[n];
	k.flags = (uint8_t)flags;
	k.expires = key_expires(&d.best, k.created);
	k.revoked = d.revoked;
	v->keys[n] = k;
	v->c.keys.n++;
	return 0;
}

/* ---- user ids ---- */

static int
valid_utf8(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n;) {
		uint8_t c = p[i++];
		unsigned more = c < 0x80 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
		uint32_t v = more == 0 ? c : c & (0x3fu >> more);
		static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};

		if (c >= 0x80 && (c < 0xc2 || c > 0xf4))
			return 0;
		for (unsigned j = 0; j < more; j++, i++) {
			if (i == n || (p[i] & 0xc0) != 0x80)
				return 0;
			v = v << 6 | (p[i] & 0x3f);
		}
		/* too long a form, a surrogate, or one of the C1 controls */
		if (v < least[more] || (v >= 0xd800 && v < 0xe000) || v > 0x10ffff ||
		    (v >= 0x80 && v < 0xa0))
			return 0;
	}
	return 1;
}

/* Text of a user id for the record in out of CERT_UID_MAX + 1; 0, or -1: not to be shown. */
static int
uid_text(char *out, struct bytes b)
{
	size_t n = 0;
	int utf8 = valid_utf8(b.p, b.n);

	for (size_t i = 0; i < b.n; i++) {
		uint8_t c = b.p[i];

		if (c < 0x20 || c == 0x7f || (!utf8 && c >= 0x80 && c < 0xa0))
			return -1;
		if (n + 2 > CERT_UID_MAX)
			return -1;
		if (!utf8 && c >= 0x80) {
			out[n++] = (char)(0xc0 | c >> 6);
			out[n++] = (char)(0x80 | (c & 0x3f));
		} else {
			out[n++] = (char)c;
		}
	}
	out[n] = '\0';
	return 0;
}

#define ADDR_ROOM 321

static int
eval_uid(struct eval *v, struct tpk_comp *c, int *newest)
{
	struct cert_uid *u = &v->uids[v->c.uids.n];
	struct verdict d;
	char *text;
	int rank;

	if (c->body.n > CERT_UID_MAX)
		return 0; /* every signature would have it hashed again */
	d = judge(v, c, v->keys[0].created);
	c->keep = d.bound;
	if (!d.bound)
		return 0;
	u->revoked = d.revoked >= d.best.created ? at_most_now(v, d.revoked) : 0;
	if (u->revoked == 0 && d.best.lifetime != 0)
		u->revoked = d.best.created + d.best.lifetime;
	/* The one whose self-signature speaks for the key: not revoked before revoked, marked as
	 * primary before others, then the newest (RFC 9580, 5.2.3.27). */
	rank = (d.revoked < d.best.created) * 2 + d.best.primary_uid;
	if (!v->have_main || rank > *newest ||
	    (rank == *newest && d.best.created > v->main.created)) {
		v->have_main = 1;
		v->main = d.best;
		*newest = rank;
		for (size_t i = 0; i < v->c.uids.n; i++)
			v->uids[i].primary = 0;
		u->primary = 1;
	}
	if (v->c.uids.n == CERT_UIDS_MAX)
		return 0;
	if ((text = malloc(CERT_UID_MAX + 1 + ADDR_ROOM)) == NULL)
		return -1;
	if (uid_text(text, c->body) < 0) {
		free(text);
		u->primary = 0;
		return 0;
	}
	v->texts[v->c.uids.n] = text;
	if (pgp_uid_addr(text + CERT_UID_MAX + 1, ADDR_ROOM, text, strlen(text)) < 0)
		text[CERT_UID_MAX + 1] = '\0';
	u->text = text;
	u->addr = text + CERT_UID_MAX + 1;
	v->c.uids.n++;
	return 0;
}

/* ---- the whole ---- */

static struct bytes
prefs(struct bytes direct, struct bytes uid)
{
	struct bytes b = direct.n > 0 ? direct : uid;

	if (b.n > 16)
		b.n = 16;
	return b;
}

/* What holds for the primary and for all: from the direct-key signature, else the user id's. */
static void
eval_policy(struct eval *v)
{
	static const struct pgp_sig none = {0};
	const struct pgp_sig *d = v->direct.bound ? &v->direct.best : &none;
	const struct pgp_sig *u = v->have_main ? &v->main : &none;
	struct cert_key *k = &v->keys[0];
	unsigned flags;

	if (d->has_flags)
		flags = d->flags;
	else if (u->has_flags)
		flags = u->flags;
	else
		flags = KEY_CERTIFY | pgp_algo_can(k->algo);
	k->flags = possible_flags(k, flags, v->primary);
	k->expires = key_expires(d->has_key_lifetime || !v->have_main ? d : u, k->created);
	k->revoked = v->direct.revoked;
	v->c.ciphers = prefs(d->ciphers, u->ciphers);
	v->c.hashes = prefs(d->hashes, u->hashes);
	v->c.compress = prefs(d->compress, u->compress);
	v->c.features = d->has_features ? d->features : u->features;
}

static int
eval_primary(struct eval *v, struct err *e)
{
	struct tpk_comp *c = &v->t->comps[0];

	if (tpk_key(&v->keys[0], v->fprs[0], c->body, 0, NULL, e) < 0)
		return -1;
	if ((v->primary = pgp_pk_load(&v->keys[0], e)) == NULL)
		return -1;
	if ((pgp_algo_can(v->keys[0].algo) & KEY_SIGN) == 0)
		return err_set(e, ENOTSUP, "certificate: its primary key (%s) cannot certify",
		    pgp_pk_name(v->keys[0].algo));
	v->c.keys.v = v->keys;
	v->c.keys.n = 1;
	v->c.uids.v = v->uids;
	v->direct = judge(v, c, v->keys[0].created);
	return 0;
}

static int
eval_all(struct eval *v, struct err *e)
{
	int rank = 0;

	if (eval_primary(v, e) < 0)
		return -1;
	for (int i = 1; i < v->t->ncomps; i++) {
		struct tpk_comp *c = &v->t->comps[i];

		c->keep = 0;
		if (c->tag == PGP_TAG_USERID && eval_uid(v, c, &rank) < 0)
			return err_sys(e, "certificate");
		if (c->tag == PGP_TAG_PUBSUB && eval_subkey(v, c) < 0)
			return err_set(
			    e, EMSGSIZE, "certificate: more than %d keys", CERT_KEYS_MAX);
	}
	if (!v->have_main && !v->direct.bound && v->direct.revoked == 0)
		return err_set(e, ENOKEY, "certificate: no valid self-signature");
	eval_policy(v);
	return 0;
}

static struct pgp_cert *
finish(const struct eval *v, struct err *e)
{
	struct pgp_cert *out = calloc(1, sizeof *out);
	struct buf enc, raw;
	const char *bad;

	buf_init(&enc, PGP_CERT_MAX);
	buf_init(&raw, PGP_CERT_MAX + 64);
	if (out == NULL) {
		err_sys(e, "certificate");
		return NULL;
	}
	if ((bad = rec_bad_field(&rec_cert, &v->c)) != NULL) {
		err_set(e, EBADMSG, "certificate: %s is out of bounds", bad);
		goto fail;
	}
	if (rec_encode(&rec_cert, &v->c, &enc) < 0 || tpk_write(v->t, &raw) < 0) {
		err_sys(e, "certificate");
		goto fail;
	}
	if ((out->mem[2] = rec_decode(&rec_cert, buf_ptr(&enc), buf_len(&enc))) == NULL) {
		err_sys(e, "certificate");
		goto fail;
	}
	out->rec = out->mem[2];
	out->mem[0] = enc.data;
	out->mem[1] = raw.data;
	out->enc = (struct bytes){buf_ptr(&enc), buf_len(&enc)};
	out->raw = (struct bytes){buf_ptr(&raw), buf_len(&raw)};
	return out;
fail:
	buf_free(&enc);
	buf_free(&raw);
	free(out);
	return NULL;
}

int
pgp_cert_next(struct pgp_cert_iter *it, struct pgp_cert **out, struct err *e)
{
	struct bytes in = {it->p, it->n};
	struct tpk t;
	struct eval *v;
	int r;

	*out = NULL;
	r = tpk_read(&t, &in, e);
	it->p = in.p;
	it->n = in.n;
	if (r <= 0)
		return r;
	r = -1;
	if ((v = calloc(1, sizeof *v)) == NULL || (v->md = EVP_MD_CTX_new()) == NULL) {
		err_set(e, ENOMEM, "certificate: out of memory");
		goto out;
	}
	v->t = &t;
	v->now = it->now;
	v->budget = PGP_CERT_VERIFY_MAX;
	if (eval_all(v, e) == 0 && (*out = finish(v, e)) != NULL)
		r = 1;
out:
	if (v != NULL) {
		for (size_t i = 0; i < CERT_UIDS_MAX; i++)
			free(v->texts[i]);
		pgp_pk_free(v->primary);
		EVP_MD_CTX_free(v->md);
		free(v);
	}
	tpk_free(&t);
	return r;
}

void
pgp_cert_free(struct pgp_cert *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < sizeof c->mem / sizeof c->mem[0]; i++)
		free(c->mem[i]);
	free(c);
}

struct pgp_cert *
pgp_cert_read(const void *p, size_t n, uint64_t now, struct err *e)
{
	struct pgp_cert_iter it = {p, n, now};
	struct pgp_cert *c, *more;
	int r = pgp_cert_next(&it, &c, e);

	if (r < 0)
		return NULL;
	if (r == 0) {
		err_set(e, ENOENT, "no certificate in it");
		return NULL;
	}
	r = pgp_cert_next(&it, &more, e);
	pgp_cert_free(more);
	if (r != 0) {
		pgp_cert_free(c);
		err_set(e, E2BIG, "several certificates in it: give one at a time");
		return NULL;
	}
	return c;
}
