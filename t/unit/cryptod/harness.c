#include "t/unit/cryptod/harness.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/rsa.h>

#include "cryptod/vault.h"
#include "openpgp/algo.h"
#include "openpgp/mpi.h"
#include "proc/internal.h"

struct event_base *base;
char dir[64];
const uint8_t seal[SEAL_KEY_LEN] = "a sealing key of thirty-two octe";
static uint8_t salt[SEAL_SALT_LEN] = "salt";

void
harness_begin(void)
{
	struct err e;

	(void)snprintf(dir, sizeof dir, "/tmp/cryptod-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_ptr_nonnull(base = event_base_new());
	ck_assert_int_eq(vault_open(&e), 0);
	ck_assert_int_eq(pgp_algo_init(), 0);
}

void
harness_end(void)
{
	char path[512];
	struct dirent *d;
	DIR *h;

	cryptod_unload();
	neighbours_free();
	event_base_free(base);
	if ((h = opendir(dir)) == NULL)
		return;
	while ((d = readdir(h)) != NULL) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, d->d_name);
		(void)unlink(path);
	}
	closedir(h);
	(void)rmdir(dir);
}

int
harness_load(struct err *e)
{
	return cryptod_load(base, dir, dir, 2, e);
}

void
harness_init(void)
{
	struct seal_params p = {
	    .version = 1, .t = 1, .m = 8, .lanes = 1, .salt = {salt, sizeof salt}};
	struct err e = {0};

	ck_assert_msg(harness_load(&e) == 0, "%s", e.text);
	ck_assert_msg(cryptod_init(&p, seal, &e) == 0, "%s", e.text);
}

void
harness_peer(struct ipc *c, enum proc_id who)
{
	int fds[2];

	ck_assert_int_eq(ipc_pair(fds), 0);
	ck_assert_ptr_nonnull(chan_new(base, fds[0], P_CRYPTOD, who, cryptod_handlers, NULL, NULL));
	ipc_init(c, fds[1], who, P_CRYPTOD);
}

void
harness_policyd(struct ipc *c)
{
	static const struct proc table = {.self = P_CRYPTOD};
	static struct proc_env env;
	struct plumb p = {.peer = P_POLICYD, .serial = 1};
	int fds[2];

	env = (struct proc_env){.base = base, .self = P_CRYPTOD};
	neighbours_init(&env, &table, cryptod_handlers);
	ck_assert_int_eq(ipc_pair(fds), 0);
	ck_assert_int_eq(neighbours_plumb(&p, fds[0]), 0);
	ipc_init(c, fds[1], P_POLICYD, P_CRYPTOD);
}

static void
turn(void)
{
	(void)event_base_loop(base, EVLOOP_NONBLOCK);
}

void
harness_worker(struct ipc *filterd, struct ipc *c, const uint8_t id[WORKER_ID])
{
	struct worker_bind b = {.worker = {id, WORKER_ID}};
	int fds[2];

	ck_assert_int_eq(ipc_pair(fds), 0);
	ck_assert_int_eq(ipc_queue(filterd, M_worker_bind, 0, &b, fds[0]), 0);
	ck_assert_int_eq(ipc_flush(filterd), 1);
	ipc_init(c, fds[1], P_WORKER, P_CRYPTOD);
	turn();
	turn();
}

int
harness_send(struct ipc *c, uint16_t type, const void *body)
{
	static uint64_t id;

	if (ipc_queue(c, type, ++id, body, -1) == -1 || ipc_flush(c) != 1)
		return -1;
	return 0;
}

int
harness_answer(struct ipc *c, struct ipc_msg *m)
{
	int rc;

	for (int i = 0; i < 20000; i++) {
		turn();
		if (i > 100)
			(void)usleep(1000);
		if ((rc = ipc_next(c, m)) == 1)
			return 0;
		ck_assert_int_eq(rc, 0);
		if (ipc_fill(c) == -1)
			return -1;
	}
	ck_abort_msg("no answer");
}

int
harness_ask(struct ipc *c, uint16_t type, const void *body, struct ipc_msg *m)
{
	if (harness_send(c, type, body) == -1)
		return -1;
	return harness_answer(c, m);
}

void
harness_turns(unsigned n)
{
	while (n-- > 0)
		turn();
}

int
harness_status(struct ipc *c, uint16_t type, const void *body)
{
	struct ipc_msg m;
	int st;

	if (harness_ask(c, type, body, &m) == -1)
		return -1;
	/* status is the first field of every answer asked for here */
	st = *(const uint8_t *)m.body;
	ipc_done(c, &m);
	return st;
}

void
harness_key(struct ipc *keyctl, enum key_kind kind, enum key_use use, uint8_t fpr[KEY_FPR])
{
	struct key_generate_req r = {.kind = (uint8_t)kind,
	    .use = (uint8_t)use,
	    .created = 1700000000,
	    .label = "a@b.example"};
	const struct key_rep *rep;
	struct ipc_msg m;

	/* Keys of TLS are named without a time. */
	if (use == USE_TLS)
		r.created = 0;
	ck_assert_int_eq(harness_ask(keyctl, M_key_generate_req, &r, &m), 0);
	rep = m.body;
	ck_assert_msg(rep->status == CRYPTO_OK, "%s", rep->text);
	ck_assert_uint_eq(rep->fresh, 1);
	memcpy(fpr, rep->key.v[0].fpr.p, KEY_FPR);
	ipc_done(keyctl, &m);
}

static void
put_bn(struct buf *b, EVP_PKEY *k, const char *name)
{
	uint8_t v[2048];
	BIGNUM *x = NULL;
	int n;

	ck_assert_int_eq(EVP_PKEY_get_bn_param(k, name, &x), 1);
	n = BN_bn2bin(x, v);
	ck_assert_int_eq(pgp_mpi_put(b, v, (size_t)n), 0);
	BN_clear_free(x);
}

int
harness_rsa(
    struct ipc *keyctl, unsigned bits, enum key_use use, uint64_t created, uint8_t fpr[KEY_FPR])
{
	struct key_import_req r = {.use = (uint8_t)use, .algo = 1, .created = created, .label = ""};
	EVP_PKEY *k = EVP_RSA_gen(bits);
	const struct key_rep *rep;
	struct buf params, secret;
	struct ipc_msg m;
	int st;

	buf_init(&params, CERT_PARAMS_MAX);
	buf_init(&secret, KEY_SECRET_MAX);
	put_bn(&params, k, OSSL_PKEY_PARAM_RSA_N);
	put_bn(&params, k, OSSL_PKEY_PARAM_RSA_E);
	put_bn(&secret, k, OSSL_PKEY_PARAM_RSA_D);
	/* OpenPGP's p is OpenSSL's second; u is OpenSSL's coefficient then. */
	put_bn(&secret, k, OSSL_PKEY_PARAM_RSA_FACTOR2);
	put_bn(&secret, k, OSSL_PKEY_PARAM_RSA_FACTOR1);
	put_bn(&secret, k, OSSL_PKEY_PARAM_RSA_COEFFICIENT1);
	r.params = (struct bytes){buf_ptr(&params), buf_len(&params)};
	r.secret = (struct bytes){buf_ptr(&secret), buf_len(&secret)};
	ck_assert_int_eq(harness_ask(keyctl, M_key_import_req, &r, &m), 0);
	rep = m.body;
	if ((st = rep->status) == CRYPTO_OK)
		memcpy(fpr, rep->key.v[0].fpr.p, KEY_FPR);
	ipc_done(keyctl, &m);
	buf_free(&params);
	buf_wipe_free(&secret);
	EVP_PKEY_free(k);
	return st;
}

EVP_PKEY *
harness_public(struct ipc *keyctl, const uint8_t fpr[KEY_FPR])
{
	struct key_list_req r = {.limit = KEYS_PAGE};
	const struct key_list_rep *rep;
	struct pgp_params p;
	EVP_PKEY *k = NULL;
	struct ipc_msg m;
	struct err e;

	ck_assert_int_eq(harness_ask(keyctl, M_key_list_req, &r, &m), 0);
	rep = m.body;
	for (size_t i = 0; i < rep->keys.n; i++) {
		const struct key_info *info = &rep->keys.v[i];

		if (memcmp(info->fpr.p, fpr, KEY_FPR) != 0)
			continue;
		ck_assert_int_eq(
		    pgp_params_parse(&p, info->algo, info->params.p, info->params.n, 1, &e), 0);
		ck_assert_int_eq(pgp_params_pkey(&p, &k), 0);
	}
	ipc_done(keyctl, &m);
	ck_assert_ptr_nonnull(k);
	return k;
}
