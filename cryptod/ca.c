/* The two authorities: made, replaced, told of. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "cryptod/cryptod.h"
#include "cryptod/makekey.h"
#include "cryptod/x509.h"

#define SOON_S (30 * 86400) /* what ends within this time is told in the status */

static const char *
authority_name(unsigned a)
{
	return a == AUTHORITY_PROXY ? "proxy" : "untrusted";
}

static void
reply(struct chan *c, uint64_t id, enum crypto_status st, const char *text)
{
	struct ca_rep rep = {.status = (uint8_t)st, .text = text};

	(void)chan_send(c, M_ca_rep, id, &rep, -1);
}

static void
reply_err(struct chan *c, uint64_t id, struct err *e)
{
	e->text[CRYPTOD_TEXT_MAX] = '\0';
	reply(c, id, cryptod_status(e), e->text);
}

static void
reply_entry(struct chan *c, uint64_t id, const struct authority_entry *en)
{
	struct ca_rep rep = {
	    .status = CRYPTO_OK, .text = "", .fpr = {en->fpr, KEY_FPR}, .cert = {en->cert, en->n}};

	(void)chan_send(c, M_ca_rep, id, &rep, -1);
}

/* ---- making one ---- */

/* What is wanted: input of an operation. */
struct wanted {
	uint8_t authority, replace;
	uint32_t days;
	char name[CA_NAME_MAX + 1];
	unsigned type; /* enum pgp_keytype, when the key is to be made there */
	unsigned algo; /* else that of the key that follows */
	size_t nparams, nsecret;
	uint8_t params[CERT_PARAMS_MAX], secret[KEY_SECRET_MAX];
};

/* A key is being made by a child, for a tool. */
struct making {
	LIST_ENTRY(making) next;
	struct chan *chan; /* NULL: the tool has gone */
	uint64_t id;
	struct wanted wanted;
};
static LIST_HEAD(, making) makings = LIST_HEAD_INITIALIZER(makings);

void
cryptod_ca_tool_gone(unsigned instance)
{
	struct making *g;

	LIST_FOREACH (g, &makings, next)
		if (g->chan != NULL && chan_instance(g->chan) == instance)
			g->chan = NULL;
}

void
cryptod_ca_tools_gone(void)
{
	struct making *g;

	LIST_FOREACH (g, &makings, next)
		g->chan = NULL;
}

/* The key, made or loaded, and its certificate. */
static enum crypto_status
do_issue(struct op *op)
{
	const struct wanted *w = (const void *)op->in.p;
	struct bytes params = {w->params, w->nparams}, secret = {w->secret, w->nsecret};
	struct pgp_skey *key;

	buf_init(&op->out.issued.cert, CERT_DER_MAX);
	/* Time 0: the fingerprint follows from the certificate, as with keys of TLS. */
	key = w->algo == 0 ? pgp_skey_generate((enum pgp_keytype)w->type, 0, 0, &op->err)
			   : pgp_skey_load(w->algo, 0, params, secret, &op->err);
	if (key == NULL)
		return CRYPTO_FAILED;
	op->out.issued.key = key;
	if (pgp_skey_evp(key) == NULL || !x509_authority_key_fits(pgp_skey_evp(key))) {
		(void)err_set(
		    &op->err, EPERM, "an authority's key is P-256, P-384 or RSA of 3072 bit");
		return CRYPTO_DENIED;
	}
	if (x509_authority(pgp_skey_evp(key), w->name, clock_unix(), w->days, &op->out.issued.cert,
		&op->err) == -1)
		return CRYPTO_FAILED;
	return CRYPTO_OK;
}

static void
store(struct chan *c, uint64_t id, const struct wanted *w, const struct pgp_skey *key,
    struct bytes cert)
{
	struct authority_entry en;
	char fpr[2 * KEY_FPR + 1];
	struct err e = {0};

	if (keys_set_authority(cryptod.keys, (enum authority)w->authority, key, w->name, cert,
		w->replace, clock_unix(), &e) == -1 ||
	    keys_authority(cryptod.keys, (enum authority)w->authority, &en, &e) != 1) {
		log_err(
		    "the %s authority cannot be stored: %s", authority_name(w->authority), e.text);
		reply_err(c, id, &e);
		return;
	}
	log_info("%s authority made: key=%s name=%s", authority_name(w->authority),
	    hex_encode(fpr, en.fpr, KEY_FPR), log_str(w->name));
	cryptod_note();
	reply_entry(c, id, &en);
}

static void
issued(struct op *op)
{
	const struct wanted *w = (const void *)op->in.p;
	struct buf *cert = &op->out.issued.cert;

	if (op->chan == NULL)
		;
	else if (op->status == CRYPTO_OK)
		store(op->chan, op->id, w, op->out.issued.key,
		    (struct bytes){buf_ptr(cert), buf_len(cert)});
	else {
		op->err.text[CRYPTOD_TEXT_MAX] = '\0';
		reply(op->chan, op->id, op->status,
		    op->status == CRYPTO_LOCKED ? CRYPTOD_LOCKED_TEXT
		    : op->status == CRYPTO_BUSY ? "too much is under way: try again"
						: op->err.text);
	}
	pgp_skey_free(op->out.issued.key);
	buf_free(cert);
}

static void
issue(struct chan *c, uint64_t id, const struct wanted *w)
{
	struct op op = {.chan = c,
	    .id = id,
	    .line = "keyctl",
	    .in = {(const uint8_t *)w, sizeof *w},
	    .work = do_issue,
	    .done = issued};

	op.slow = w->algo == 0 ? w->type != PGP_GEN_P256
			       : key_is_slow(w->algo, (struct bytes){w->params, w->nparams});
	op_run(&op);
}

/* 0, or -1: it is too much. */
static int
want_key(struct wanted *w, unsigned algo, struct bytes params, struct bytes secret)
{
	if (params.n > sizeof w->params || secret.n > sizeof w->secret)
		return -1;
	w->algo = algo;
	w->nparams = params.n;
	w->nsecret = secret.n;
	memcpy(w->params, params.p, params.n);
	memcpy(w->secret, secret.p, secret.n);
	return 0;
}

static void
made(void *arg, struct pgp_skey *k, struct err *e)
{
	struct making *g = arg;
	struct cert_key pub;

	if (g->chan != NULL && k == NULL)
		reply_err(g->chan, g->id, e);
	else if (g->chan != NULL && cryptod.keys == NULL)
		reply(g->chan, g->id, CRYPTO_LOCKED, CRYPTOD_LOCKED_TEXT);
	else if (g->chan != NULL) {
		pgp_skey_public(k, &pub);
		if (want_key(&g->wanted, pub.algo, pub.params, pgp_skey_secret(k)) == 0)
			issue(g->chan, g->id, &g->wanted);
		else
			reply(g->chan, g->id, CRYPTO_FAILED, "");
	}
	pgp_skey_free(k);
	LIST_REMOVE(g, next);
	explicit_bzero(g, sizeof *g);
	free(g);
}

static int
make_in_child(struct chan *c, uint64_t id, const struct wanted *w, struct err *e)
{
	struct makekey *made_by;
	struct making *g;

	if ((g = calloc(1, sizeof *g)) == NULL)
		return err_set(e, ENOMEM, "out of memory");
	g->chan = c;
	g->id = id;
	g->wanted = *w;
	LIST_INSERT_HEAD(&makings, g, next);
	pool_hold(cryptod.pool);
	made_by = makekey_begin(cryptod.base, PGP_GEN_RSA, 0, made, g, e);
	pool_release(cryptod.pool);
	if (made_by != NULL)
		return 0;
	LIST_REMOVE(g, next);
	free(g);
	return -1;
}

/* The request, judged. 0 and w, or -1 with e. */
static int
judge(const struct ca_init_req *r, struct wanted *w, struct err *e)
{
	static const struct {
		enum key_kind kind;
		enum pgp_keytype type;
	} kinds[] = {
	    {KIND_P256, PGP_GEN_P256}, {KIND_P384, PGP_GEN_P384}, {KIND_RSA3072, PGP_GEN_RSA}};
	const char *why = x509_authority_name_bad(r->name);
	struct authority_entry there;
	size_t i = 0;
	int rc;

	if (why != NULL)
		return err_set(e, EPERM, "%s", why);
	memset(w, 0, sizeof *w);
	w->authority = r->authority;
	w->replace = r->replace;
	w->days = r->days;
	(void)strlcpy(w->name, r->name, sizeof w->name);
	if (r->kind == 0) {
		/* It may be one that is trusted somewhere. */
		if (r->authority != AUTHORITY_PROXY)
			return err_set(e, EPERM, "the untrusted authority's key is made here");
		if (r->algo == 0 || want_key(w, r->algo, r->params, r->secret) == -1)
			return err_set(e, EPERM, "no key was given");
	} else {
		while (i < sizeof kinds / sizeof kinds[0] && kinds[i].kind != r->kind)
			i++;
		if (i == sizeof kinds / sizeof kinds[0])
			return err_set(e, EPERM, "an authority has no key of this kind");
		w->type = kinds[i].type;
	}
	/* Asked again when it is stored; making a key for nothing is no good. */
	if (r->replace)
		return 0;
	if ((rc = keys_authority(cryptod.keys, (enum authority)r->authority, &there, e)) == 1)
		return err_set(e, EEXIST, "there is such an authority already");
	return rc;
}

void
cryptod_ca_init(struct chan *c, struct ipc_msg *m)
{
	const struct ca_init_req *r = m->body;
	struct err e = {0};
	enum crypto_status st;
	struct wanted w;
	const char *text;

	if ((st = cryptod_permitted(c, USE_CA, PERM_CA_INIT, &text)) != CRYPTO_OK) {
		reply(c, m->id, st, text);
		return;
	}
	if (judge(r, &w, &e) == -1 ||
	    (w.algo == 0 && w.type == PGP_GEN_RSA && make_in_child(c, m->id, &w, &e) == -1))
		reply_err(c, m->id, &e);
	else if (w.algo != 0 || w.type != PGP_GEN_RSA)
		issue(c, m->id, &w);
	explicit_bzero(&w, sizeof w);
}

/* ---- telling ---- */

void
cryptod_ca_get(struct chan *c, struct ipc_msg *m)
{
	const struct ca_get_req *r = m->body;
	struct authority_entry en;
	struct err e = {0};
	enum crypto_status st;
	const char *text;
	int rc;

	if ((st = cryptod_permitted(c, USE_CA, PERM_CA_GET, &text)) != CRYPTO_OK)
		reply(c, m->id, st, text);
	else if ((rc = keys_authority(cryptod.keys, (enum authority)r->authority, &en, &e)) == 1)
		reply_entry(c, m->id, &en);
	else if (rc == 0)
		reply(c, m->id, CRYPTO_NOKEY, "there is no such authority: run keyctl ca init");
	else
		reply_err(c, m->id, &e);
}

/* When the proxy authority ends, seconds since the epoch; 0: there is none, or it is not known. */
static uint64_t
proxy_ends(void)
{
	struct authority_entry en;
	struct err e = {0};
	uint64_t begins, ends;

	if (cryptod.keys == NULL || keys_authority(cryptod.keys, AUTHORITY_PROXY, &en, &e) != 1 ||
	    x509_times((struct bytes){en.cert, en.n}, &begins, &ends, &e) == -1)
		return 0;
	return ends;
}

static const char *
date(uint64_t t, char out[16])
{
	time_t when = (time_t)t;
	struct tm tm;

	if (gmtime_r(&when, &tm) == NULL || strftime(out, 16, "%Y-%m-%d", &tm) == 0)
		(void)strlcpy(out, "?", 16);
	return out;
}

const char *
cryptod_ca_note(char out[CA_NOTE_MAX])
{
	uint64_t ends = proxy_ends(), now = clock_unix();
	char day[16];

	out[0] = '\0';
	if (ends != 0 && ends < now + SOON_S)
		(void)snprintf(out, CA_NOTE_MAX,
		    "the proxy authority %s on %s: run keyctl ca init --replace and give out the "
		    "new certificate",
		    ends <= now ? "ended" : "ends", date(ends, day));
	return out;
}

void
cryptod_ca_facts(void)
{
	uint64_t ends = proxy_ends();
	char day[16];

	if (ends != 0)
		proc_fact("proxy_authority", "until %s", date(ends, day));
	proc_fact("minted", "%llu", (unsigned long long)cryptod.nminted);
}
