/* Reading certificates: runs in a jail of its own, all input is hostile. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gwctl/keys.h"
#include "openpgp/armor.h"
#include "openpgp/cert.h"
#include "openpgp/packet.h"

REC_DEFINE(read_cert, REC_READ_CERT)
REC_DEFINE(read_certs, REC_READ_CERTS)

#define SECRET "this is a secret key: keyctl import takes it"

/* All packets of the file: every block of armour, or as they are. */
static int
unwrap(const struct keyread *a, struct buf *out, struct err *e)
{
	const uint8_t *p = a->p;
	enum pgp_armor_type type;
	size_t n = a->n, used;
	int rc, blocks = 0;

	if (pgp_is_binary(p, n))
		return buf_put(out, p, n) == -1 ? err_sys(e, "certificates") : 0;
	while (n > 0 && (rc = pgp_dearmor(p, n, out, &type, &used, e)) != 0) {
		if (rc == -1)
			return -1;
		if (type != PGP_ARMOR_PUBLIC_KEY)
			return err_set(e, EBADMSG, "%s",
			    type == PGP_ARMOR_SECRET_KEY ? SECRET : "this is no public key");
		blocks++;
		p += used;
		n -= used;
	}
	return blocks > 0 ? 0 : err_set(e, EBADMSG, "no OpenPGP public key in it");
}

/* Does a secret key begin here? */
static int
is_secret(const uint8_t *p, size_t n)
{
	struct bytes in = {p, n};
	struct pgp_packet pk;

	return pgp_packet_next(&in, &pk) == 1 && pk.tag == PGP_TAG_SECKEY;
}

/* One certificate, or why it is none: 1, 0 at the end. */
static int
next_cert(struct pgp_cert_iter *it, struct pgp_cert **c, struct read_cert *r, char *text)
{
	int secret = it->n > 0 && is_secret(it->p, it->n);
	size_t before = it->n;
	struct err e = {0};
	int rc = pgp_cert_next(it, c, &e);

	memset(r, 0, sizeof *r);
	if (rc == 0)
		return 0;
	if (rc == 1) {
		r->cert.v = (struct cert *)(uintptr_t)(*c)->rec;
		r->cert.n = 1;
		r->raw = (*c)->raw;
		return 1;
	}
	*c = NULL;
	(void)strlcpy(text, secret ? SECRET : e.text, ERR_TEXT_MAX);
	r->code = (uint32_t)(e.code != 0 ? e.code : EBADMSG);
	r->text = text;
	if (it->n >= before) /* never the same octets twice */
		it->n = 0;
	return 1;
}

/* The certificates from a->from on, as many as one run has room for. */
static void
take_run(const struct keyread *a, const struct buf *all, struct pgp_cert **held,
    char (*texts)[ERR_TEXT_MAX], struct read_certs *rep)
{
	size_t from = a->from < buf_len(all) ? (size_t)a->from : buf_len(all), octets = 0;
	struct pgp_cert_iter it = {buf_ptr(all) + from, buf_len(all) - from, a->now};
	size_t i;

	for (i = 0; i < KEYREAD_MAX && octets < KEYREAD_OCTETS; i++) {
		if (next_cert(&it, &held[i], &rep->certs.v[i], texts[i]) == 0)
			break;
		octets += rep->certs.v[i].raw.n;
		rep->certs.n++;
	}
	if (it.n > 0)
		rep->next = buf_len(all) - it.n;
}

int
keyread_run(const void *arg, struct buf *out)
{
	struct pgp_cert **held = calloc(KEYREAD_MAX, sizeof *held);
	char(*texts)[ERR_TEXT_MAX] = calloc(KEYREAD_MAX, sizeof *texts);
	struct read_certs rep = {.code = 0, .text = ""};
	const struct keyread *a = arg;
	struct err e = {0};
	struct buf all;
	int i, rc = -1;

	rep.certs.v = calloc(KEYREAD_MAX, sizeof *rep.certs.v);
	buf_init(&all, KEYFILE_MAX);
	if (held == NULL || texts == NULL || rep.certs.v == NULL)
		goto out;
	if (unwrap(a, &all, &e) == -1) {
		rep.code = (uint32_t)e.code;
		rep.text = e.text;
	} else
		take_run(a, &all, held, texts, &rep);
	rc = rec_encode(&rec_read_certs, &rep, out);
out:
	for (i = 0; held != NULL && i < KEYREAD_MAX; i++)
		if (held[i] != NULL)
			pgp_cert_free(held[i]);
	free(held);
	free(texts);
	free(rep.certs.v);
	buf_free(&all);
	return rc;
}

int
keymerge_run(const void *arg, struct buf *out)
{
	const struct keymerge *a = arg;
	struct read_cert r = {.text = ""};
	struct pgp_cert *c = NULL;
	struct err e = {0};
	struct buf both;
	int rc;

	buf_init(&both, PGP_CERT_MAX);
	if (pgp_cert_merge(a->old.p, a->old.n, a->add.p, a->add.n, &both, &e) == -1 ||
	    (c = pgp_cert_read(buf_ptr(&both), buf_len(&both), a->now, &e)) == NULL) {
		r.code = (uint32_t)(e.code != 0 ? e.code : EBADMSG);
		r.text = e.text;
	} else {
		r.cert.v = (struct cert *)(uintptr_t)c->rec;
		r.cert.n = 1;
		r.raw = c->raw;
	}
	rc = rec_encode(&rec_read_cert, &r, out);
	if (c != NULL)
		pgp_cert_free(c);
	buf_free(&both);
	return rc;
}
