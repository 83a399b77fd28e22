/* Reading secret keys: runs in a jail of its own, all input is hostile. */
#include "keyctl/imported.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/cert.h"
#include "openpgp/armor.h"
#include "openpgp/packet.h"
#include "openpgp/seckey.h"

REC_DEFINE(imported_key, REC_IMPORTED_KEY)
REC_DEFINE(imported_addr, REC_IMPORTED_ADDR)
REC_DEFINE(imported, REC_IMPORTED)

/* All packets of the file: every block of armour, or as they are. */
static int
unwrap_armour(const struct import_ask *a, struct buf *out, struct err *e)
{
	const uint8_t *p = a->p;
	enum pgp_armor_type type;
	size_t n = a->n, used;
	int rc, blocks = 0;

	if (pgp_is_binary(p, n))
		return buf_put(out, p, n) == -1 ? err_sys(e, "secret key") : 0;
	while (n > 0 && (rc = pgp_dearmor(p, n, out, &type, &used, e)) != 0) {
		if (rc == -1)
			return -1;
		if (type != PGP_ARMOR_SECRET_KEY)
			return err_set(e, EBADMSG,
			    type == PGP_ARMOR_PUBLIC_KEY
				? "this is a public key: gwctl key import takes it"
				: "this is no secret key");
		blocks++;
		p += used;
		n -= used;
	}
	return blocks > 0 ? 0 : err_set(e, EBADMSG, "no OpenPGP key in it");
}

/* The range of the index-th transferable secret key; *total how many there are. 0 or -1. */
static int
split(struct bytes in, unsigned index, struct bytes *one, uint32_t *total, struct err *e)
{
	const uint8_t *begin = NULL, *at;
	struct pgp_packet pk;
	int rc;

	*total = 0;
	*one = (struct bytes){NULL, 0};
	for (;;) {
		at = in.p;
		if ((rc = pgp_packet_next(&in, &pk)) == -1)
			return err_set(e, EBADMSG, "damaged: no packet where one should be");
		if (rc == 1 && *total == 0 && pk.tag != PGP_TAG_SECKEY &&
		    !pgp_tag_skippable(pk.tag))
			return err_set(e, EBADMSG,
			    pk.tag == PGP_TAG_PUBKEY
				? "this is a public key: gwctl key import takes it"
				: "this is no secret key");
		if (rc == 1 && pk.tag != PGP_TAG_SECKEY)
			continue;
		if (begin != NULL && *total == index + 1 && one->p == NULL)
			*one = (struct bytes){begin, (size_t)(at - begin)};
		if (rc == 0)
			break;
		begin = at;
		if (++*total > IMPORT_KEYS_MAX)
			return err_set(e, E2BIG, "more than %d keys in one file", IMPORT_KEYS_MAX);
	}
	return one->p != NULL ? 0 : err_set(e, ENOKEY, "no secret key in it");
}

static void
take_keys(const struct pgp_seckey *s, struct imported *im)
{
	const struct bytes primary = s->cert->rec->keys.v[0].fpr;
	struct imported_key *k;
	struct cert_key pub;

	for (size_t i = 0; i < s->nkeys; i++) {
		pgp_skey_public(s->keys[i], &pub);
		k = &im->keys.v[im->keys.n++];
		k->algo = pub.algo;
		k->flags = s->flags[i];
		k->created = pub.created;
		k->fpr = pub.fpr;
		k->params = pub.params;
		k->secret = pgp_skey_secret(s->keys[i]);
		k->primary = pub.fpr.n == primary.n && memcmp(pub.fpr.p, primary.p, primary.n) == 0;
	}
}

static void
take_uids(const struct cert *c, uint64_t now, struct imported *im)
{
	const struct cert_uid *u = pgp_cert_primary_uid(c, now);

	im->uid = u != NULL ? u->text : "";
	for (size_t i = 0; i < c->uids.n; i++)
		if (c->uids.v[i].addr[0] != '\0' && c->uids.v[i].revoked == 0)
			im->addrs.v[im->addrs.n++].addr = c->uids.v[i].addr;
}

int
import_read(const void *arg, struct buf *out)
{
	struct imported_key keys[CERT_KEYS_MAX];
	struct imported_addr addrs[CERT_UIDS_MAX];
	const struct import_ask *a = arg;
	struct imported im = {.text = "", .uid = ""};
	struct pgp_seckey s = {.nkeys = 0};
	struct err e = {0};
	struct bytes one;
	struct buf all;
	int rc;

	memset(keys, 0, sizeof keys);
	memset(addrs, 0, sizeof addrs);
	im.keys.v = keys;
	im.addrs.v = addrs;
	buf_init(&all, IMPORT_FILE_MAX);
	if (unwrap_armour(a, &all, &e) == -1 ||
	    split((struct bytes){buf_ptr(&all), buf_len(&all)}, a->index, &one, &im.total, &e) ==
		-1 ||
	    pgp_seckey_read(one.p, one.n, a->pass, a->now, &s, &e) == -1) {
		im.code = (uint32_t)e.code;
		im.text = e.text;
	} else {
		take_keys(&s, &im);
		take_uids(s.cert->rec, a->now, &im);
		im.missing = s.missing;
		im.unsupported = s.unsupported;
		im.raw = s.cert->raw;
	}
	rc = rec_encode(&rec_imported, &im, out);
	pgp_seckey_clear(&s);
	buf_wipe_free(&all);
	explicit_bzero(keys, sizeof keys);
	return rc;
}

void
import_uses(const struct imported *im, uint8_t uses[CERT_KEYS_MAX])
{
	int signs = 0, decrypts = 0;

	for (size_t i = 0; i < im->keys.n; i++) {
		const struct imported_key *k = &im->keys.v[i];

		uses[i] = k->primary                 ? USE_CERTIFY
			  : (k->flags & KEY_SIGN)    ? USE_SIGN
			  : (k->flags & KEY_ENCRYPT) ? USE_DECRYPT
						     : 0;
		signs |= uses[i] == USE_SIGN;
		decrypts |= uses[i] == USE_DECRYPT;
	}
	for (size_t i = 0; i < im->keys.n; i++) {
		const struct imported_key *k = &im->keys.v[i];

		if (!k->primary)
			continue;
		if (!signs && (k->flags & KEY_SIGN))
			uses[i] = USE_SIGN;
		else if (!decrypts && (k->flags & KEY_ENCRYPT))
			uses[i] = USE_DECRYPT;
	}
}
