/* What is asked of cryptod and policyd. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/log.h"
#include "keyctl/keyctl.h"
#include "openpgp/skey.h"

/* ---- cryptod ---- */

static int
errno_of(unsigned status)
{
	switch (status) {
	case CRYPTO_LOCKED:
	case CRYPTO_BUSY:
		return EAGAIN;
	case CRYPTO_NOKEY:
		return ENOKEY;
	case CRYPTO_DENIED:
		return EPERM;
	default:
		return EIO;
	}
}

static int
remote_sign(void *ctx, const uint8_t *fpr, size_t fprlen, unsigned hash, const uint8_t *digest,
    size_t n, struct pgp_sigval *out)
{
	struct key_certify_req req = {
	    .fpr = {fpr, fprlen}, .hash = (uint8_t)hash, .digest = {digest, n}};
	struct keyctl *t = ctx;
	const struct sign_rep *rep;
	struct ipc_msg m;
	unsigned status;

	if (control_call(
		&t->keys, M_key_certify_req, &req, M_sign_rep, &m, CONTROL_TIMEOUT, NULL) == -1)
		return -1;
	rep = m.body;
	status = rep->status;
	if (status == CRYPTO_OK && rep->value.n <= sizeof out->data) {
		out->n = rep->value.n;
		memcpy(out->data, rep->value.p, out->n);
	} else if (status == CRYPTO_OK)
		status = CRYPTO_FAILED;
	ipc_done(&t->keys, &m);
	if (status == CRYPTO_OK)
		return 0;
	errno = errno_of(status);
	return -1;
}

struct pgp_secret
remote_secret(struct keyctl *t)
{
	return (struct pgp_secret){.sign = remote_sign, .ctx = t};
}

struct pgp_skey *
fetch_key(struct keyctl *t, struct bytes fpr, enum key_use *use, int *code)
{
	struct key_export_req req = {.fpr = fpr};
	const struct key_export_rep *rep;
	struct pgp_skey *k = NULL;
	struct err e = {0};
	struct ipc_msg m;

	*code = 0;
	if (control_call(&t->keys, M_key_export_req, &req, M_key_export_rep, &m, CONTROL_TIMEOUT,
		&e) == -1) {
		*code = complain_err(&e);
		return NULL;
	}
	rep = m.body;
	if (rep->status == CRYPTO_OK && rep->key.n == 1) {
		*use = (enum key_use)rep->key.v[0].use;
		k = pgp_skey_load(rep->key.v[0].algo, rep->key.v[0].created, rep->key.v[0].params,
		    rep->secret, &e);
		if (k == NULL)
			*code = complain_err(&e);
	} else if (rep->status != CRYPTO_NOKEY)
		*code = complain_status(rep->status, rep->text);
	ipc_done(&t->keys, &m);
	return k;
}

int
put_key(struct keyctl *t, const struct key_import_req *req, struct put_result *out)
{
	const struct key_rep *rep;
	struct err e = {0};
	struct ipc_msg m;
	int rc = 0;

	if (control_call(&t->keys, M_key_import_req, req, M_key_rep, &m, SLOW_CALL, &e) == -1)
		return complain_err(&e);
	rep = m.body;
	if (rep->status != CRYPTO_OK || rep->key.n != 1)
		rc = complain_status(rep->status, rep->text);
	else {
		out->fresh = rep->fresh;
		out->use = rep->key.v[0].use;
		memcpy(out->fpr, rep->key.v[0].fpr.p, KEY_FPR);
	}
	ipc_done(&t->keys, &m);
	return rc;
}

int
each_key(struct keyctl *t, int (*each)(void *arg, const struct key_info *k), void *arg)
{
	struct key_list_req req = {.limit = KEYS_PAGE};
	const struct key_list_rep *rep;
	uint8_t after[KEY_FPR];
	struct err e = {0};
	struct ipc_msg m;
	int rc = 0, more = 1;

	while (rc == 0 && more) {
		if (control_call(&t->keys, M_key_list_req, &req, M_key_list_rep, &m,
			CONTROL_TIMEOUT, &e) == -1)
			return complain_err(&e);
		rep = m.body;
		if (rep->status != CRYPTO_OK)
			rc = complain_status(rep->status, rep->text);
		for (size_t i = 0; rc == 0 && i < rep->keys.n; i++)
			rc = each(arg, &rep->keys.v[i]);
		more = rep->more && rep->keys.n > 0;
		if (more)
			memcpy(after, rep->keys.v[rep->keys.n - 1].fpr.p, KEY_FPR);
		ipc_done(&t->keys, &m);
		req.after = (struct bytes){after, KEY_FPR};
	}
	return rc;
}

/* ---- policyd ---- */

static int
complain_admin(const struct admin_rep *r)
{
	static const int codes[] = {
	    [ADMIN_OK] = EX_OK,
	    [ADMIN_NOTFOUND] = EX_NOINPUT,
	    [ADMIN_EXISTS] = EX_CANTCREAT,
	    [ADMIN_INVALID] = EX_DATAERR,
	    [ADMIN_FULL] = EX_IOERR,
	    [ADMIN_FAILED] = EX_SOFTWARE,
	};
	unsigned s = r->status < sizeof codes / sizeof codes[0] ? r->status : ADMIN_FAILED;

	return complain(codes[s], "%s", r->text[0] != '\0' ? r->text : "policyd: failed");
}

/*
 * Ask policyd.  It answers with the page wanted, or with admin_rep when that is wanted or when
 * something is wrong: then it is said here.  0 and m, or the exit code.
 */
static int
ask_policy(struct keyctl *t, uint16_t type, const void *body, uint16_t want, struct ipc_msg *m)
{
	static uint64_t last = UINT64_C(1) << 33; /* apart from those of control_call */
	uint64_t id = ++last;
	int rc;

	if ((rc = connect_policy(t)) != 0)
		return rc;
	if (ipc_send(&t->policy, type, id, body, -1, CONTROL_TIMEOUT) == -1 ||
	    ipc_recv(&t->policy, m, CONTROL_TIMEOUT) == -1)
		return complain(EX_UNAVAILABLE, "policyd: %s", strerror(errno));
	if (m->id == id && m->def->type == want)
		return 0;
	if (m->id == id && m->def->type == M_admin_rep)
		rc = complain_admin(m->body);
	else
		rc = complain(EX_PROTOCOL, "policyd gave an answer that makes no sense");
	ipc_done(&t->policy, m);
	return rc;
}

int
find_consumer(struct keyctl *t, const char *id, const char *addr, int quiet, char out[CONSUMER_ID])
{
	struct consumer_get req = {.id = id != NULL ? id : "", .addr = addr != NULL ? addr : ""};
	const struct consumer_page *page;
	struct ipc_msg m;
	int rc;

	if ((rc = ask_policy(t, M_consumer_get, &req, M_consumer_page, &m)) != 0)
		return rc;
	page = m.body;
	if (page->consumers.n == 0)
		rc = quiet ? EX_NOINPUT
		     : id != NULL
			 ? complain(EX_NOINPUT, "there is no consumer '%s': gwctl consumer list",
			       log_str(id))
			 : complain(EX_NOINPUT,
			       "%s belongs to no consumer; first: gwctl consumer add ID "
			       "--internal --address %s",
			       log_str(addr), log_str(addr));
	else if (page->consumers.v[0].kind != CONSUMER_INTERNAL)
		rc = complain(EX_DATAERR,
		    "consumer '%s' is external: private keys are for internal consumers; "
		    "gwctl key import takes its certificate",
		    log_str(page->consumers.v[0].id));
	else
		(void)strlcpy(out, page->consumers.v[0].id, CONSUMER_ID);
	ipc_done(&t->policy, &m);
	return rc;
}

void
held_free(struct held_cert *h)
{
	free(h->rec);
	h->rec = NULL;
	buf_free(&h->mem);
}

int
find_cert(struct keyctl *t, struct bytes fpr, const char *consumer, struct held_cert *h)
{
	struct cert_get req = {.id = fpr};
	const struct cert_page *page;
	const struct stored_cert *sc = NULL;
	struct ipc_msg m;
	int rc;

	h->rec = NULL;
	buf_init(&h->mem, IPC_FRAME_MAX);
	if ((rc = ask_policy(t, M_cert_get, &req, M_cert_page, &m)) != 0)
		return rc;
	page = m.body;
	for (size_t i = 0; sc == NULL && i < page->certs.n; i++)
		if (consumer == NULL || strcmp(page->certs.v[i].consumer, consumer) == 0)
			sc = &page->certs.v[i];
	if (sc != NULL && (rec_encode(&rec_stored_cert, sc, &h->mem) == -1 ||
			      (h->rec = rec_decode(
				   &rec_stored_cert, buf_ptr(&h->mem), buf_len(&h->mem))) == NULL))
		rc = complain(EX_OSERR, "certificate: %s", strerror(errno));
	ipc_done(&t->policy, &m);
	return rc;
}

/* ---- storing a certificate ---- */

struct merge {
	struct bytes old, add;
	uint64_t now;
};

/*
 * Jailed: both merged, evaluated; the octets with their length before them, then the record.  Or
 * length 0 and what is wrong: nobody sees what is printed here.
 */
static int
merge_certs(const void *arg, struct buf *out)
{
	const struct merge *a = arg;
	struct pgp_cert *c = NULL;
	struct err e = {0};
	struct buf b;
	uint8_t n[4];
	int rc = -1;

	buf_init(&b, PGP_CERT_MAX);
	if ((a->old.n > 0 ? pgp_cert_merge(a->old.p, a->old.n, a->add.p, a->add.n, &b, &e)
			  : buf_put(&b, a->add.p, a->add.n)) == -1 ||
	    (c = pgp_cert_read(buf_ptr(&b), buf_len(&b), a->now, &e)) == NULL) {
		put_be32(n, 0);
		if (buf_put(out, n, sizeof n) == 0 && buf_puts(out, e.text) == 0)
			rc = 0;
		goto out;
	}
	put_be32(n, (uint32_t)c->raw.n);
	if (buf_put(out, n, sizeof n) == 0 && buf_put(out, c->raw.p, c->raw.n) == 0 &&
	    buf_put(out, c->enc.p, c->enc.n) == 0)
		rc = 0;
out:
	if (c != NULL)
		pgp_cert_free(c);
	buf_free(&b);
	return rc;
}

static int
put_cert(struct keyctl *t, const char *consumer, struct bytes raw, struct cert *rec)
{
	struct stored_cert sc = {
	    .consumer = consumer, .secret = 1, .manual = 1, .added = clock_unix(), .raw = raw};
	struct cert_put put;
	struct ipc_msg m;
	int rc;

	if (raw.n > CERT_RAW_MAX)
		return complain(EX_DATAERR,
		    "the certificate has %zu octets, more than %d: remove third-party signatures "
		    "(gpg --export-options export-minimal)",
		    raw.n, CERT_RAW_MAX);
	sc.cert.v = rec;
	sc.cert.n = 1;
	put.cert.v = &sc;
	put.cert.n = 1;
	if ((rc = ask_policy(t, M_cert_put, &put, M_admin_rep, &m)) != 0)
		return rc;
	if (((const struct admin_rep *)m.body)->status != ADMIN_OK)
		rc = complain_admin(m.body);
	ipc_done(&t->policy, &m);
	return rc;
}

/* The fingerprint of the first packet is needed to find what is stored: evaluate once alone. */
static int
evaluate(const struct merge *a, struct buf *out, struct bytes *raw, struct cert **rec)
{
	char text[ERR_TEXT_MAX], safe[SHOWN_MAX];
	struct err e = {0};
	uint32_t n;

	buf_reset(out);
	if (jail_run(merge_certs, a, "certificate", out, &e) == -1)
		return complain_err(&e);
	n = buf_len(out) >= 4 ? get_be32(buf_ptr(out)) : 0;
	if (n == 0 && buf_len(out) > 4) {
		(void)snprintf(text, sizeof text, "%.*s", (int)(buf_len(out) - 4),
		    (const char *)buf_ptr(out) + 4);
		return complain(EX_DATAERR, "certificate: %s", shown(text, safe));
	}
	if (n == 0 || n > buf_len(out) - 4)
		return complain(EX_SOFTWARE, "certificate: no result");
	*raw = (struct bytes){buf_ptr(out) + 4, n};
	*rec = rec_decode(&rec_cert, buf_ptr(out) + 4 + n, buf_len(out) - 4 - n);
	return *rec != NULL ? 0 : complain(EX_SOFTWARE, "certificate: no record");
}

int
store_cert(struct keyctl *t, const char *consumer, const void *raw, size_t n)
{
	struct merge a = {.add = {raw, n}, .now = clock_unix()};
	struct held_cert had = {.rec = NULL};
	struct cert *rec = NULL, *merged = NULL;
	struct bytes got;
	struct buf one, both;
	int rc;

	buf_init(&had.mem, 0);
	buf_init(&one, 2 * PGP_CERT_MAX);
	buf_init(&both, 2 * PGP_CERT_MAX);
	if ((rc = evaluate(&a, &one, &got, &rec)) != 0)
		goto out;
	if ((rc = find_cert(t, rec->keys.v[0].fpr, consumer, &had)) == 0 && had.rec != NULL) {
		a.old = had.rec->raw;
		rc = evaluate(&a, &both, &got, &merged);
	}
	if (rc == 0)
		rc = put_cert(t, consumer, got, merged != NULL ? merged : rec);
out:
	free(rec);
	free(merged);
	held_free(&had);
	buf_free(&one);
	buf_free(&both);
	return rc;
}
