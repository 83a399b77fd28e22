#include "openpgp/tpk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "openpgp/params.h"

void
tpk_free(struct tpk *t)
{
	free(t->comps);
	free(t->sigs);
	memset(t, 0, sizeof *t);
}

/* Room for one more item of size octets in *items, doubling. */
static int
grow(void **items, int used, int *room, size_t size)
{
	int want = *room == 0 ? 16 : *room * 2;
	void *p;

	if (used < *room)
		return 0;
	if ((p = reallocarray(*items, (size_t)want, size)) == NULL)
		return -1;
	*items = p;
	*room = want;
	return 0;
}

static int
same(struct bytes a, struct bytes b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

int
tpk_add_comp(struct tpk *t, unsigned tag, struct bytes body)
{
	for (int i = 0; i < t->ncomps; i++)
		if (t->comps[i].tag == tag && same(t->comps[i].body, body))
			return i;
	if (t->ncomps == PGP_CERT_COMPONENTS_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (grow((void **)&t->comps, t->ncomps, &t->comps_room, sizeof *t->comps) < 0)
		return -1;
	t->comps[t->ncomps] = (struct tpk_comp){.tag = (uint8_t)tag,
	    .put_tag = (uint8_t)tag,
	    .keep = 1,
	    .body = body,
	    .put = body,
	    .first = -1,
	    .last = -1};
	return t->ncomps++;
}

/* Without a look whether it is there already. */
static int
append_sig(struct tpk *t, int comp, struct bytes body)
{
	struct tpk_comp *c = &t->comps[comp];

	if (grow((void **)&t->sigs, t->nsigs, &t->sigs_room, sizeof *t->sigs) < 0)
		return -1;
	t->sigs[t->nsigs] = (struct tpk_sig){.body = body, .next = -1, .keep = 1};
	if (c->last >= 0)
		t->sigs[c->last].next = t->nsigs;
	else
		c->first = t->nsigs;
	c->last = t->nsigs;
	return t->nsigs++;
}

int
tpk_add_sig(struct tpk *t, int comp, struct bytes body)
{
	for (int i = t->comps[comp].first; i >= 0; i = t->sigs[i].next)
		if (same(t->sigs[i].body, body))
			return i;
	return append_sig(t, comp, body);
}

/* One packet into t; comp: the component that signatures belong to, -1: none that we keep. */
static int
take(struct tpk *t, const struct pgp_packet *p, int *comp)
{
	switch (p->tag) {
	case PGP_TAG_PUBKEY:
	case PGP_TAG_PUBSUB:
	case PGP_TAG_USERID:
	case PGP_TAG_ATTRIBUTE:
		return *comp = tpk_add_comp(t, p->tag, p->body);
	case PGP_TAG_SIG:
		return *comp < 0 ? 0 : append_sig(t, *comp, p->body);
	case PGP_TAG_TRUST:
	case PGP_TAG_MARKER:
	case PGP_TAG_PADDING:
		return 0;
	default:
		/* of a kind that we don't know: the signatures behind it are none of ours */
		*comp = -1;
		return 0;
	}
}

static int
no_certificate(struct bytes *in, struct err *e)
{
	in->p += in->n;
	in->n = 0;
	return err_set(e, EBADMSG, "certificate: malformed packet");
}

/* Move to the next primary key. 1, 0 at the end, -1 malformed; *other: something else was there */
static int
find_primary(struct bytes *in, int *other)
{
	struct pgp_packet p;
	struct bytes at;
	int r;

	for (;;) {
		at = *in;
		if ((r = pgp_packet_next(in, &p)) <= 0)
			return r;
		if (p.tag == PGP_TAG_PUBKEY) {
			*in = at;
			return 1;
		}
		if (!pgp_tag_skippable(p.tag))
			*other = 1;
	}
}

int
tpk_read(struct tpk *t, struct bytes *in, struct err *e)
{
	struct pgp_packet p;
	int r, comp = -1, count = 0, other = 0, code = 0;
	size_t begin;

	memset(t, 0, sizeof *t);
	if ((r = find_primary(in, &other)) < 0)
		return no_certificate(in, e);
	if (r == 0)
		return other ? err_set(e, EBADMSG, "no certificate: other packets only") : 0;
	begin = in->n;
	for (;;) {
		struct bytes at = *in;

		if ((r = pgp_packet_next(in, &p)) < 0) {
			tpk_free(t);
			return no_certificate(in, e);
		}
		if (r > 0 && p.tag == PGP_TAG_PUBKEY && t->ncomps > 0) {
			*in = at;
			break;
		}
		if (r == 0)
			break;
		/* too much of it: read on to its end, so that the next one is found */
		if (code == 0 &&
		    (++count > PGP_CERT_PACKETS_MAX || begin - in->n > PGP_CERT_INPUT_MAX))
			code = EMSGSIZE;
		if (code == 0 && take(t, &p, &comp) < 0)
			code = errno;
	}
	if (code == 0)
		return 1;
	tpk_free(t);
	return err_set(e, code, "certificate: more than %d octets, %d packets or %d components",
	    PGP_CERT_INPUT_MAX, PGP_CERT_PACKETS_MAX, PGP_CERT_COMPONENTS_MAX);
}

int
tpk_put_packet(struct buf *out, unsigned tag, struct bytes body)
{
	uint8_t head[PGP_HEAD_MAX];
	size_t n = pgp_packet_head(head, tag, (uint32_t)body.n);

	if (buf_reserve(out, n + body.n) == NULL)
		return -1;
	(void)buf_put(out, head, n);
	return buf_put(out, body.p, body.n);
}

int
tpk_write(const struct tpk *t, struct buf *out)
{
	static const uint8_t order[] = {
	    PGP_TAG_PUBKEY, PGP_TAG_USERID, PGP_TAG_ATTRIBUTE, PGP_TAG_PUBSUB};
	size_t begin = buf_len(out);

	for (size_t o = 0; o < sizeof order; o++) {
		for (int i = 0; i < t->ncomps; i++) {
			const struct tpk_comp *c = &t->comps[i];

			if (c->tag != order[o] || !c->keep)
				continue;
			if (tpk_put_packet(out, c->put_tag, c->put) < 0)
				return -1;
			for (int s = c->first; s >= 0; s = t->sigs[s].next)
				if (t->sigs[s].keep &&
				    tpk_put_packet(out, PGP_TAG_SIG, t->sigs[s].body) < 0)
					return -1;
			if (buf_len(out) - begin > PGP_CERT_MAX) {
				errno = EMSGSIZE;
				return -1;
			}
		}
	}
	return 0;
}

int
tpk_key(struct cert_key *k, uint8_t fpr[PGP_FPR4], struct bytes body, int secret, size_t *used,
    struct err *e)
{
	struct pgp_cur c = pgp_cur(body.p, body.n);
	struct pgp_params p;

	memset(k, 0, sizeof *k);
	k->version = pgp_cur_u8(&c);
	if (!c.bad && k->version != 4)
		return err_set(
		    e, ENOTSUP, "key of version %u: only version 4 is supported", k->version);
	k->created = pgp_cur_u32(&c);
	k->algo = pgp_cur_u8(&c);
	if (c.bad)
		return err_set(e, EBADMSG, "key: cut short");
	if (pgp_params_parse(&p, k->algo, c.p, c.n, !secret, e) < 0)
		return -1;
	k->params = (struct bytes){c.p, p.used};
	if (p.used > CERT_PARAMS_MAX)
		return err_set(e, ENOTSUP, "key: parameters of %zu octets", p.used);
	if (pgp_fingerprint4(fpr, k->created, k->algo, c.p, p.used) < 0)
		return err_set(e, errno, "key: cannot make its fingerprint");
	k->fpr = (struct bytes){fpr, PGP_FPR4};
	if (used != NULL)
		*used = 6 + p.used;
	return 0;
}

int
tpk_hash_key(EVP_MD_CTX *ctx, struct bytes body)
{
	uint8_t head[3] = {0x99};

	put_be16(head + 1, (uint16_t)body.n);
	return body.n <= UINT16_MAX && EVP_DigestUpdate(ctx, head, sizeof head) > 0 &&
	       EVP_DigestUpdate(ctx, body.p, body.n) > 0;
}

int
tpk_hash_uid(EVP_MD_CTX *ctx, unsigned tag, struct bytes body)
{
	uint8_t head[5] = {tag == PGP_TAG_ATTRIBUTE ? 0xd1 : 0xb4};

	put_be32(head + 1, (uint32_t)body.n);
	return EVP_DigestUpdate(ctx, head, sizeof head) > 0 &&
	       EVP_DigestUpdate(ctx, body.p, body.n) > 0;
}
