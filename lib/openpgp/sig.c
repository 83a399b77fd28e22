#include "openpgp/sig.h"

#include <errno.h>
#include <string.h>

#include "openpgp/mpi.h"
#include "openpgp/packet.h"

/* ---- parsing ---- */

struct area {
	struct pgp_sig *s;
	int hashed;
	int seen_created;
	unsigned count;
};

static int
sub_u32(struct bytes b, uint64_t *v)
{
	if (b.n != 4)
		return -1;
	*v = get_be32(b.p);
	return 0;
}

static void
set_issuer(struct pgp_sig *s, const uint8_t *keyid)
{
	memcpy(s->issuer, keyid, sizeof s->issuer);
	s->has_issuer = 1;
}

static int
sub_issuer_fpr(struct area *a, struct bytes b)
{
	struct pgp_sig *s = a->s;

	if (b.n < 1)
		return -1;
	if (!((b.p[0] == 4 && b.n == 21) || (b.p[0] == 6 && b.n == 33)))
		return b.p[0] == 4 || b.p[0] == 6 ? -1 : 0;
	/* the hashed one comes first and stays */
	if (s->issuer_fpr.n == 0) {
		s->issuer_fpr = (struct bytes){b.p + 1, b.n - 1};
		s->issuer_hashed = (uint8_t)a->hashed;
		set_issuer(s, pgp_keyid(b.p + 1, b.n - 1));
	}
	return 0;
}

/* What may stand in either area; it decides nothing but where to look. 1: it was none of these. */
static int
sub_any(struct area *a, unsigned type, struct bytes b)
{
	struct pgp_sig *s = a->s;

	switch (type) {
	case PGP_SUB_ISSUER:
		if (b.n != 8)
			return -1;
		if (!s->has_issuer)
			set_issuer(s, b.p);
		return 0;
	case PGP_SUB_ISSUER_FPR:
		return sub_issuer_fpr(a, b);
	case PGP_SUB_EMBEDDED:
		if (b.n < 2)
			return -1;
		if (s->embedded.n == 0 && b.p[0] == 4 && b.p[1] == PGP_SIG_BACK)
			s->embedded = b;
		return 0;
	default:
		return 1;
	}
}

/* What counts only when hashed. 1: unknown. */
static int
sub_hashed(struct area *a, unsigned type, struct bytes b)
{
	struct pgp_sig *s = a->s;

	switch (type) {
	case PGP_SUB_CREATED:
		a->seen_created = 1;
		return sub_u32(b, &s->created);
	case PGP_SUB_EXPIRES:
		return sub_u32(b, &s->lifetime);
	case PGP_SUB_KEY_EXPIRES:
		s->has_key_lifetime = 1;
		return sub_u32(b, &s->key_lifetime);
	case PGP_SUB_FLAGS:
		s->has_flags = 1;
		s->flags = b.n > 0 ? b.p[0] : 0;
		return 0;
	case PGP_SUB_FEATURES:
		s->has_features = 1;
		s->features = b.n > 0 ? b.p[0] : 0;
		return 0;
	case PGP_SUB_PRIMARY_UID:
		if (b.n != 1)
			return -1;
		s->primary_uid = b.p[0] != 0;
		return 0;
	case PGP_SUB_REASON:
		if (b.n < 1)
			return -1;
		s->has_reason = 1;
		s->reason = b.p[0];
		return 0;
	case PGP_SUB_CIPHERS:
		s->ciphers = b;
		return 0;
	case PGP_SUB_HASHES:
		s->hashes = b;
		return 0;
	case PGP_SUB_COMPRESS:
		s->compress = b;
		return 0;
	case PGP_SUB_SIGNER_UID:
		s->signer_uid = b;
		return 0;
	case PGP_SUB_EXPORTABLE: /* read, and without meaning for us */
	case PGP_SUB_TRUST:
	case PGP_SUB_REVOCABLE:
	case PGP_SUB_REVOKER:
	case PGP_SUB_KS_PREFS:
	case PGP_SUB_KEYSERVER:
	case PGP_SUB_POLICY:
	case PGP_SUB_TARGET:
		return 0;
	default:
		return 1;
	}
}

/* RFC 9580, 5.2.3.7 */
static size_t
sub_len(struct pgp_cur *c)
{
	size_t n = pgp_cur_u8(c);

	if (n >= 192 && n < 255)
		n = ((n - 192) << 8) + pgp_cur_u8(c) + 192;
	else if (n == 255)
		n = pgp_cur_u32(c);
	return n;
}

static int
parse_area(struct area *a, const uint8_t *p, size_t n)
{
	struct pgp_cur c = pgp_cur(p, n);

	while (c.n > 0) {
		size_t len = sub_len(&c);
		const uint8_t *b = pgp_cur_take(&c, len);
		struct bytes body;
		int r;

		if (b == NULL || len == 0 || ++a->count > PGP_SIG_SUBS_MAX)
			return -1;
		body = (struct bytes){b + 1, len - 1};
		r = sub_any(a, b[0] & 0x7f, body);
		if (r > 0 && a->hashed)
			r = sub_hashed(a, b[0] & 0x7f, body);
		if (r < 0)
			return -1;
		/* RFC 9580, 5.2.3.7: an unknown critical subpacket makes the signature an error */
		if (r > 0 && a->hashed && (b[0] & PGP_SUB_CRITICAL) != 0)
			a->s->unusable = 1;
	}
	return c.bad ? -1 : 0;
}

static int
other_version(struct pgp_sig *out, const uint8_t *body, size_t n)
{
	/* v3: 5 | type, time | issuer | algorithms; v6 begins as v4 */
	if (out->version == 3 && n >= 17 && body[1] == 5) {
		out->type = body[2];
		out->created = get_be32(body + 3);
		set_issuer(out, body + 7);
		out->pk = body[15];
		out->hash = body[16];
	} else if (out->version == 6 && n >= 4) {
		out->type = body[1];
		out->pk = body[2];
		out->hash = body[3];
	}
	errno = ENOTSUP;
	return -1;
}

int
pgp_sig_parse(struct pgp_sig *out, const uint8_t *body, size_t n)
{
	struct pgp_cur c = pgp_cur(body, n);
	struct area a = {.s = out, .hashed = 1};
	const uint8_t *p;
	uint16_t len;

	memset(out, 0, sizeof *out);
	out->version = pgp_cur_u8(&c);
	if (c.bad || n > PGP_SIG_PARSE_MAX)
		goto bad;
	if (out->version != 4)
		return other_version(out, body, n);
	out->type = pgp_cur_u8(&c);
	out->pk = pgp_cur_u8(&c);
	out->hash = pgp_cur_u8(&c);
	len = pgp_cur_u16(&c);
	p = pgp_cur_take(&c, len);
	if (p == NULL || parse_area(&a, p, len) < 0)
		goto bad;
	out->hashed = (struct bytes){body, 6u + len};
	if (!a.seen_created)
		out->unusable = 1; /* RFC 9580, 5.2.3.11: must be there */
	a = (struct area){.s = out};
	len = pgp_cur_u16(&c);
	p = pgp_cur_take(&c, len);
	if (p == NULL || parse_area(&a, p, len) < 0)
		goto bad;
	if ((p = pgp_cur_take(&c, 2)) == NULL || c.n == 0)
		goto bad;
	memcpy(out->left16, p, 2);
	out->value = (struct bytes){c.p, c.n};
	return 0;
bad:
	errno = EBADMSG;
	return -1;
}

/* ---- digests ---- */

static int
trailer(EVP_MD_CTX *ctx, const uint8_t *hashed, size_t n, uint8_t *digest)
{
	uint8_t t[6] = {4, 0xff};
	unsigned dn = 0;

	put_be32(t + 2, (uint32_t)n);
	if (EVP_DigestUpdate(ctx, hashed, n) <= 0 || EVP_DigestUpdate(ctx, t, sizeof t) <= 0 ||
	    EVP_DigestFinal_ex(ctx, digest, &dn) <= 0) {
		errno = EIO;
		return -1;
	}
	return (int)dn;
}

int
pgp_sig_digest(const struct pgp_sig *s, EVP_MD_CTX *ctx, uint8_t *digest)
{
	return trailer(ctx, s->hashed.p, s->hashed.n, digest);
}

int
pgp_sig_verify(const struct pgp_sig *s, EVP_MD_CTX *ctx, struct pgp_pk *pk)
{
	uint8_t digest[PGP_DIGEST_MAX];
	int n = pgp_sig_digest(s, ctx, digest);

	if (n < 0)
		return -1;
	if (s->unusable || s->pk != pgp_pk_algo(pk) ||
	    memcmp(digest, s->left16, sizeof s->left16) != 0) {
		errno = EBADMSG;
		return -1;
	}
	return pgp_pk_verify(pk, s->hash, digest, (size_t)n, s->value.p, s->value.n);
}

/* ---- making ---- */

static int
add(uint8_t *area, size_t *used, size_t max, unsigned type, const void *p, size_t n)
{
	size_t len = n + 1, head = len < 192 ? 1 : 2;

	if (len >= 8384 || *used + head + len > max) {
		errno = EMSGSIZE;
		return -1;
	}
	area += *used;
	if (head == 1) {
		area[0] = (uint8_t)len;
	} else {
		area[0] = (uint8_t)(((len - 192) >> 8) + 192);
		area[1] = (uint8_t)(len - 192);
	}
	area[head] = (uint8_t)type;
	if (n > 0)
		memcpy(area + head + 1, p, n);
	*used += head + len;
	return 0;
}

void
pgp_sigmake_begin(struct pgp_sigmake *m, unsigned type, unsigned pk, unsigned hash,
    uint64_t created, const uint8_t *fpr, size_t fprlen)
{
	uint8_t t[4], f[1 + PGP_FPR_MAX] = {4};

	m->pk = (uint8_t)pk;
	m->hash = (uint8_t)hash;
	m->hashed[0] = 4;
	m->hashed[1] = (uint8_t)type;
	m->hashed[2] = m->pk;
	m->hashed[3] = m->hash;
	m->hashed_n = 6;
	m->unhashed_n = 0;
	put_be32(t, (uint32_t)created);
	memcpy(f + 1, fpr, fprlen);
	/* these fit */
	(void)pgp_sigmake_add(m, PGP_SUB_CREATED, t, sizeof t);
	(void)pgp_sigmake_add(m, PGP_SUB_ISSUER_FPR, f, 1 + fprlen);
	(void)pgp_sigmake_add_unhashed(m, PGP_SUB_ISSUER, pgp_keyid(fpr, fprlen), 8);
}

int
pgp_sigmake_add(struct pgp_sigmake *m, unsigned type, const void *p, size_t n)
{
	return add(m->hashed, &m->hashed_n, sizeof m->hashed, type, p, n);
}

int
pgp_sigmake_add_unhashed(struct pgp_sigmake *m, unsigned type, const void *p, size_t n)
{
	return add(m->unhashed, &m->unhashed_n, sizeof m->unhashed, type, p, n);
}

int
pgp_sigmake_digest(struct pgp_sigmake *m, EVP_MD_CTX *ctx, uint8_t *digest)
{
	int n;

	put_be16(m->hashed + 4, (uint16_t)(m->hashed_n - 6));
	n = trailer(ctx, m->hashed, m->hashed_n, digest);
	if (n >= 0)
		memcpy(m->left16, digest, sizeof m->left16);
	return n;
}

int
pgp_sigmake_body(const struct pgp_sigmake *m, const struct pgp_sigval *v, struct buf *out)
{
	size_t n = m->hashed_n + 2 + m->unhashed_n + 2 + v->n;
	uint8_t *p = buf_reserve(out, n);

	if (p == NULL)
		return -1;
	memcpy(p, m->hashed, m->hashed_n);
	p += m->hashed_n;
	put_be16(p, (uint16_t)m->unhashed_n);
	memcpy(p + 2, m->unhashed, m->unhashed_n);
	p += 2 + m->unhashed_n;
	memcpy(p, m->left16, 2);
	memcpy(p + 2, v->data, v->n);
	buf_added(out, n);
	return 0;
}

int
pgp_sigmake_packet(const struct pgp_sigmake *m, const struct pgp_sigval *v, struct buf *out)
{
	size_t n = m->hashed_n + 2 + m->unhashed_n + 2 + v->n;
	uint8_t head[PGP_HEAD_MAX];
	size_t hn = pgp_packet_head(head, PGP_TAG_SIG, (uint32_t)n);

	if (buf_reserve(out, hn + n) == NULL || buf_put(out, head, hn) < 0)
		return -1;
	return pgp_sigmake_body(m, v, out);
}
