/* What keyctl asks. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "cryptod/cryptod.h"
#include "cryptod/makekey.h"
#include "cryptod/tlssign.h"

#define TEXT_MAX CRYPTOD_TEXT_MAX
#define NOT_ZERO "a key of TLS has creation time 0"
#define LOCKED CRYPTOD_LOCKED_TEXT

static void
reply(struct chan *c, const struct ipc_msg *m, enum crypto_status st, const char *text)
{
	struct keys_rep rep = {.status = (uint8_t)st, .text = text};

	(void)chan_send(c, M_keys_rep, m->id, &rep, -1);
}

/* The answer of a function that returned rc and, on failure, filled e. */
static void
reply_rc(struct chan *c, const struct ipc_msg *m, int rc, struct err *e)
{
	e->text[TEXT_MAX] = '\0';
	if (rc == -1)
		reply(c, m, cryptod_status(e), e->text);
	else
		reply(c, m, CRYPTO_OK, "");
}

enum crypto_status
cryptod_permitted(struct chan *c, unsigned use, enum perm_op op, const char **text)
{
	*text = "";
	if (perm_need(chan_peer(c), use, op) != PERM_FREE) {
		log_warn("%s refused: operation %u with a key of use %u", proc_name(chan_peer(c)),
		    (unsigned)op, use);
		*text = "not permitted with a key of this use";
		return CRYPTO_DENIED;
	}
	if (op != PERM_STATE && op != PERM_IGNITE && cryptod.keys == NULL) {
		*text = LOCKED;
		return CRYPTO_LOCKED;
	}
	return CRYPTO_OK;
}

void
cryptod_keys_state(struct chan *c, struct ipc_msg *m)
{
	struct keys_state_rep rep = {.locked = cryptod.keys == NULL};
	struct err e = {0};
	const char *text;
	int64_t n;

	if (cryptod_permitted(c, 0, PERM_STATE, &text) != CRYPTO_OK)
		return;
	if (cryptod.initialised) {
		rep.params.v = &cryptod.ignition.params;
		rep.params.n = 1;
	}
	if (cryptod.keys != NULL && (n = keys_count(cryptod.keys, &e)) > 0)
		rep.keys = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
	(void)chan_send(c, M_keys_state_rep, m->id, &rep, -1);
}

void
cryptod_keys_init(struct chan *c, struct ipc_msg *m)
{
	const struct keys_init_req *r = m->body;
	struct err e = {0};
	const char *text;
	enum crypto_status st;

	if ((st = cryptod_permitted(c, 0, PERM_IGNITE, &text)) != CRYPTO_OK)
		reply(c, m, st, text);
	else
		reply_rc(c, m, cryptod_init(r->params.v, r->seal.p, &e), &e);
}

void
cryptod_keys_unlock(struct chan *c, struct ipc_msg *m)
{
	const struct keys_unlock_req *r = m->body;
	struct err e = {0};
	const char *text;
	enum crypto_status st;
	int rc;

	if ((st = cryptod_permitted(c, 0, PERM_IGNITE, &text)) != CRYPTO_OK) {
		reply(c, m, st, text);
		return;
	}
	if ((rc = cryptod_unlock(r->seal.p, &e)) == -1)
		log_err("key store stays locked: %s", e.text);
	reply_rc(c, m, rc, &e);
}

void
cryptod_keys_lock(struct chan *c, struct ipc_msg *m)
{
	const char *text;
	enum crypto_status st;

	if ((st = cryptod_permitted(c, 0, PERM_IGNITE, &text)) == CRYPTO_OK)
		cryptod_lock();
	reply(c, m, st, text);
}

/* ---- making and taking keys ---- */

static void
fresh_add(struct bytes fpr)
{
	uint64_t now = clock_ms();
	unsigned i, oldest = 0;

	for (i = 0; i < NEW_KEYS_MAX; i++)
		if (cryptod.fresh[i].until < cryptod.fresh[oldest].until)
			oldest = i;
	memcpy(cryptod.fresh[oldest].fpr, fpr.p, KEY_FPR);
	cryptod.fresh[oldest].until = now + NEW_KEY_TTL;
}

static int
fresh_has(struct bytes fpr)
{
	uint64_t now = clock_ms();

	for (unsigned i = 0; i < NEW_KEYS_MAX; i++)
		if (cryptod.fresh[i].until > now &&
		    memcmp(cryptod.fresh[i].fpr, fpr.p, KEY_FPR) == 0)
			return 1;
	return 0;
}

static void
reply_key(struct chan *c, const struct ipc_msg *m, enum crypto_status st, const char *text,
    int fresh, const struct key_info *info)
{
	struct key_info copy;
	struct key_rep rep = {.status = (uint8_t)st, .text = text, .fresh = (uint8_t)fresh};

	if (info != NULL) {
		copy = *info;
		rep.key.v = &copy;
		rep.key.n = 1;
	}
	(void)chan_send(c, M_key_rep, m->id, &rep, -1);
}

/* What an algorithm can be used for. */
static int
algo_fits(struct pgp_skey *k, const struct cert_key *pub, enum key_use use)
{
	unsigned can = pgp_algo_can(pub->algo);

	if (use == USE_TLS)
		return tls_key_fits(k);
	return (can & (use == USE_DECRYPT ? KEY_ENCRYPT : KEY_SIGN)) != 0;
}

/* Whoever has a certificate of TLS finds its key by the fingerprint, which holds no other time. */
static int
time_fits(enum key_use use, uint64_t created)
{
	return use != USE_TLS || created == 0;
}

/* Store k (which goes) and answer. generated: it may sign its binding. */
static void
store_key(struct chan *c, const struct ipc_msg *m, struct pgp_skey *k, enum key_use use,
    const char *label, int generated)
{
	struct key_entry en = {0};
	struct err e = {0};
	struct cert_key pub;
	char fpr[2 * KEY_FPR + 1];
	int rc;

	pgp_skey_public(k, &pub);
	if (!algo_fits(k, &pub, use)) {
		reply_key(c, m, CRYPTO_DENIED, "this algorithm is not for that use", 0, NULL);
		goto out;
	}
	rc = keys_add(cryptod.keys, k, use, label, clock_unix(), &en, &e);
	if (rc == -1) {
		log_err("a key cannot be stored: %s", e.text);
		e.text[TEXT_MAX] = '\0';
		reply_key(c, m, cryptod_status(&e), e.text, 0, NULL);
		goto out;
	}
	if (rc == 1) {
		log_info("key %s stored: use=%s label=%s", hex_encode(fpr, pub.fpr.p, KEY_FPR),
		    key_use_name(use), log_str(label));
		if (generated)
			fresh_add(pub.fpr);
	}
	reply_key(c, m, CRYPTO_OK, "", rc == 1, en.info);
out:
	keys_entry_free(&en);
	pgp_skey_free(k);
}

/* A key that a child is making for a tool. */
struct making {
	LIST_ENTRY(making) next;
	struct chan *chan; /* NULL: the tool has gone */
	uint64_t id;
	enum key_use use;
	char *label;
};
static LIST_HEAD(, making) makings = LIST_HEAD_INITIALIZER(makings);

void
cryptod_tool_gone(unsigned instance)
{
	struct making *g;

	LIST_FOREACH (g, &makings, next)
		if (g->chan != NULL && chan_instance(g->chan) == instance)
			g->chan = NULL;
}

void
cryptod_tools_gone(void)
{
	struct making *g;

	LIST_FOREACH (g, &makings, next)
		g->chan = NULL;
}

static void
made(void *arg, struct pgp_skey *k, struct err *e)
{
	struct making *g = arg;
	struct ipc_msg m = {.id = g->id, .fd = -1};

	/* Nobody waits for it any more, or nothing could be stored: the key is forgotten. */
	if (g->chan == NULL)
		pgp_skey_free(k);
	else if (k == NULL) {
		e->text[TEXT_MAX] = '\0';
		reply_key(g->chan, &m, cryptod_status(e), e->text, 0, NULL);
	} else if (cryptod.keys == NULL) {
		pgp_skey_free(k);
		reply_key(g->chan, &m, CRYPTO_LOCKED, LOCKED, 0, NULL);
	} else
		store_key(g->chan, &m, k, g->use, g->label, 1);
	LIST_REMOVE(g, next);
	free(g->label);
	free(g);
}

static int
make_in_child(struct chan *c, const struct ipc_msg *m, enum pgp_keytype type, struct err *e)
{
	const struct key_generate_req *r = m->body;
	struct makekey *made_by;
	struct making *g;

	if ((g = calloc(1, sizeof *g)) == NULL || (g->label = strdup(r->label)) == NULL) {
		free(g);
		return err_set(e, ENOMEM, "out of memory");
	}
	g->chan = c;
	g->id = m->id;
	g->use = (enum key_use)r->use;
	LIST_INSERT_HEAD(&makings, g, next);
	pool_hold(cryptod.pool);
	made_by = makekey_begin(cryptod.base, type, r->created, made, g, e);
	pool_release(cryptod.pool);
	if (made_by != NULL)
		return 0;
	LIST_REMOVE(g, next);
	free(g->label);
	free(g);
	return -1;
}

/* A key to be made or loaded: input of an operation. */
struct taking {
	enum key_use use;
	uint64_t created;
	char label[KEY_LABEL_MAX + 1];
	unsigned type; /* enum pgp_keytype; of one that is made */
	unsigned algo; /* of one that is loaded, with what follows */
	size_t nparams, nsecret;
	uint8_t params[CERT_PARAMS_MAX], secret[KEY_SECRET_MAX];
};

static enum crypto_status
do_make(struct op *op)
{
	const struct taking *t = (const void *)op->in.p;

	op->out.made = pgp_skey_generate(
	    (enum pgp_keytype)t->type, t->use == USE_DECRYPT, t->created, &op->err);
	return op->out.made != NULL ? CRYPTO_OK : cryptod_status(&op->err);
}

static enum crypto_status
do_load(struct op *op)
{
	const struct taking *t = (const void *)op->in.p;
	struct bytes params = {t->params, t->nparams}, secret = {t->secret, t->nsecret};

	op->out.made = pgp_skey_load(t->algo, t->created, params, secret, &op->err);
	return op->out.made != NULL ? CRYPTO_OK : CRYPTO_FAILED;
}

static void
took(struct op *op, int generated)
{
	const struct taking *t = (const void *)op->in.p;
	struct ipc_msg m = {.id = op->id, .fd = -1};

	if (op->status == CRYPTO_OK && op->chan != NULL) {
		store_key(op->chan, &m, op->out.made, t->use, t->label, generated);
		return;
	}
	/* What was made before the store was locked. */
	pgp_skey_free(op->out.made);
	if (op->chan == NULL)
		return;
	op->err.text[TEXT_MAX] = '\0';
	reply_key(op->chan, &m, op->status,
	    op->status == CRYPTO_LOCKED ? LOCKED
	    : op->status == CRYPTO_BUSY ? "too much is under way: try again"
					: op->err.text,
	    0, NULL);
}

static void
took_made(struct op *op)
{
	took(op, 1);
}

static void
took_loaded(struct op *op)
{
	took(op, 0);
}

static void
generate(struct chan *c, const struct ipc_msg *m, enum pgp_keytype type)
{
	const struct key_generate_req *r = m->body;
	struct taking t = {.use = (enum key_use)r->use, .created = r->created, .type = type};
	struct op op = {.chan = c, .id = m->id, .line = "keyctl", .work = do_make};

	(void)strlcpy(t.label, r->label, sizeof t.label);
	op.done = took_made;
	op.slow = type != PGP_GEN_ED25519 && type != PGP_GEN_CV25519 && type != PGP_GEN_P256;
	op.in = (struct bytes){(const uint8_t *)&t, sizeof t};
	op_run(&op);
}

void
cryptod_key_generate(struct chan *c, struct ipc_msg *m)
{
	static const enum pgp_keytype types[] = {
	    [KIND_ED25519] = PGP_GEN_ED25519,
	    [KIND_CV25519] = PGP_GEN_CV25519,
	    [KIND_RSA3072] = PGP_GEN_RSA,
	    [KIND_P256] = PGP_GEN_P256,
	    [KIND_P384] = PGP_GEN_P384,
	    [KIND_P521] = PGP_GEN_P521,
	    [KIND_BP256] = PGP_GEN_BP256,
	    [KIND_BP384] = PGP_GEN_BP384,
	    [KIND_BP512] = PGP_GEN_BP512,
	};
	const struct key_generate_req *r = m->body;
	struct err e = {0};
	const char *text;
	enum crypto_status st;

	if ((st = cryptod_permitted(c, r->use, PERM_GENERATE, &text)) != CRYPTO_OK)
		reply_key(c, m, st, text, 0, NULL);
	else if (!time_fits((enum key_use)r->use, r->created))
		reply_key(c, m, CRYPTO_DENIED, NOT_ZERO, 0, NULL);
	else if (types[r->kind] != PGP_GEN_RSA)
		generate(c, m, types[r->kind]);
	else if (make_in_child(c, m, types[r->kind], &e) == -1) {
		e.text[TEXT_MAX] = '\0';
		reply_key(c, m, cryptod_status(&e), e.text, 0, NULL);
	}
}

void
cryptod_key_import(struct chan *c, struct ipc_msg *m)
{
	const struct key_import_req *r = m->body;
	struct taking t = {.use = (enum key_use)r->use, .created = r->created, .algo = r->algo};
	struct op op = {.chan = c, .id = m->id, .line = "keyctl", .work = do_load};
	const char *text;
	enum crypto_status st;

	if ((st = cryptod_permitted(c, r->use, PERM_IMPORT, &text)) != CRYPTO_OK) {
		reply_key(c, m, st, text, 0, NULL);
		return;
	}
	if (!time_fits((enum key_use)r->use, r->created)) {
		reply_key(c, m, CRYPTO_DENIED, NOT_ZERO, 0, NULL);
		return;
	}
	(void)strlcpy(t.label, r->label, sizeof t.label);
	t.nparams = r->params.n;
	t.nsecret = r->secret.n;
	memcpy(t.params, r->params.p, t.nparams);
	memcpy(t.secret, r->secret.p, t.nsecret);
	op.done = took_loaded;
	op.slow = key_is_slow(r->algo, r->params);
	op.in = (struct bytes){(const uint8_t *)&t, sizeof t};
	op_run(&op);
	explicit_bzero(&t, sizeof t);
}

/* ---- looking at them ---- */

void
cryptod_key_export(struct chan *c, struct ipc_msg *m)
{
	const struct key_export_req *r = m->body;
	struct key_export_rep rep = {.text = ""};
	struct key_entry en = {0};
	struct err e = {0};
	char fpr[2 * KEY_FPR + 1];
	enum crypto_status st;
	int rc = 0;

	/* That it may export anything at all comes before looking for the key. */
	if ((st = cryptod_permitted(c, USE_DECRYPT, PERM_EXPORT, &rep.text)) != CRYPTO_OK)
		goto out;
	if ((rc = keys_read(cryptod.keys, r->fpr, &en, &e)) != 1) {
		st = rc == 0 ? CRYPTO_NOKEY : cryptod_status(&e);
		e.text[TEXT_MAX] = '\0';
		rep.text = rc == 0 ? "no such key" : e.text;
		goto out;
	}
	if ((st = cryptod_permitted(c, en.info->use, PERM_EXPORT, &rep.text)) != CRYPTO_OK)
		goto out;
	rep.key.v = en.rec->info.v;
	rep.key.n = 1;
	rep.secret = en.rec->secret;
	log_info("key %s exported: use=%s label=%s", hex_encode(fpr, r->fpr.p, KEY_FPR),
	    key_use_name(en.info->use), log_str(en.info->label));
out:
	rep.status = (uint8_t)st;
	(void)chan_send(c, M_key_export_rep, m->id, &rep, -1);
	keys_entry_free(&en);
}

void
cryptod_key_list(struct chan *c, struct ipc_msg *m)
{
	const struct key_list_req *r = m->body;
	struct key_entry en[KEYS_PAGE];
	struct key_info infos[KEYS_PAGE];
	struct key_list_rep rep = {.text = ""};
	struct err e = {0};
	enum crypto_status st;
	int n = 0, more = 0;

	memset(en, 0, sizeof en);
	if ((st = cryptod_permitted(c, 0, PERM_LIST, &rep.text)) != CRYPTO_OK)
		goto out;
	if ((n = keys_list(cryptod.keys, r->after, en, r->limit, &more, &e)) == -1) {
		st = cryptod_status(&e);
		e.text[TEXT_MAX] = '\0';
		rep.text = e.text;
		goto out;
	}
	for (int i = 0; i < n; i++)
		infos[i] = *en[i].info;
	rep.keys.v = infos;
	rep.keys.n = (size_t)n;
	rep.more = (uint8_t)more;
out:
	rep.status = (uint8_t)st;
	(void)chan_send(c, M_key_list_rep, m->id, &rep, -1);
	for (int i = 0; i < n; i++)
		keys_entry_free(&en[i]);
}

/* ---- with them ---- */

static enum crypto_status
may_certify(struct chan *c, const struct key_certify_req *r, struct loaded_key **k)
{
	struct err e = {0};
	enum perm_need need;

	if (!perm_any(chan_peer(c), PERM_CERTIFY))
		return CRYPTO_DENIED;
	if (cryptod.keys == NULL)
		return CRYPTO_LOCKED;
	if ((*k = keys_get(cryptod.keys, r->fpr, &e)) == NULL)
		return cryptod_status(&e);
	need = perm_need(chan_peer(c), (*k)->use, PERM_CERTIFY);
	if (need != PERM_FREE && (need != PERM_NEW || !fresh_has(r->fpr)))
		return CRYPTO_DENIED;
	return CRYPTO_OK;
}

static enum crypto_status
do_certify(struct op *op)
{
	const uint8_t *digest = op->in.p + KEY_FPR;
	size_t n = op->in.n - KEY_FPR;

	if (pgp_skey_sign(op->key->skey, op->number, digest, n, &op->out.sig) == -1)
		return CRYPTO_FAILED;
	return CRYPTO_OK;
}

static void
certified(struct op *op)
{
	struct sign_rep rep = {.status = (uint8_t)op->status};
	char fpr[2 * KEY_FPR + 1];

	if (op->status == CRYPTO_OK) {
		rep.value = (struct bytes){op->out.sig.data, op->out.sig.n};
		log_info("key %s signed for a certificate", hex_encode(fpr, op->in.p, KEY_FPR));
	}
	if (op->chan != NULL)
		(void)chan_send(op->chan, M_sign_rep, op->id, &rep, -1);
}

void
cryptod_key_certify(struct chan *c, struct ipc_msg *m)
{
	const struct key_certify_req *r = m->body;
	struct op op = {.chan = c, .id = m->id, .line = "keyctl", .number = r->hash};
	struct sign_rep rep = {0};
	uint8_t in[KEY_FPR + 64]; /* which key, for the log, and the digest */
	char fpr[2 * KEY_FPR + 1];

	rep.status = (uint8_t)may_certify(c, r, &op.key);
	if (rep.status == CRYPTO_OK) {
		memcpy(in, r->fpr.p, KEY_FPR);
		memcpy(in + KEY_FPR, r->digest.p, r->digest.n);
		op.in = (struct bytes){in, KEY_FPR + r->digest.n};
		op.work = do_certify;
		op.done = certified;
		op_run(&op);
		return;
	}
	if (rep.status == CRYPTO_DENIED)
		log_warn("%s refused: certify with key %s", proc_name(chan_peer(c)),
		    hex_encode(fpr, r->fpr.p, KEY_FPR));
	(void)chan_send(c, M_sign_rep, m->id, &rep, -1);
}

void
cryptod_key_disable(struct chan *c, struct ipc_msg *m)
{
	const struct key_disable_req *r = m->body;
	struct err e = {0};
	enum key_use use;
	const char *text;
	enum crypto_status st;
	int rc, was;

	if ((st = cryptod_permitted(c, USE_SIGN, PERM_DISABLE, &text)) != CRYPTO_OK) {
		reply(c, m, st, text);
		return;
	}
	if ((rc = keys_peek(cryptod.keys, r->fpr, &use, &was, &e)) == 0)
		rc = err_set(&e, ENOKEY, "no such key");
	if (rc == 1 && (st = cryptod_permitted(c, use, PERM_DISABLE, &text)) != CRYPTO_OK) {
		reply(c, m, st, text);
		return;
	}
	if (rc == 1)
		rc = keys_set_disabled(cryptod.keys, r->fpr, r->disabled, &e);
	reply_rc(c, m, rc, &e);
}
