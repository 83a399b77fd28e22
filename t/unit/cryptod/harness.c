#include "t/unit/cryptod/harness.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cryptod/vault.h"

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
}

void
harness_end(void)
{
	char path[512];
	struct dirent *d;
	DIR *h;

	cryptod_unload();
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
	return cryptod_load(base, dir, dir, e);
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
harness_ask(struct ipc *c, uint16_t type, const void *body, struct ipc_msg *m)
{
	static uint64_t id;
	int rc;

	if (ipc_queue(c, type, ++id, body, -1) == -1 || ipc_flush(c) != 1)
		return -1;
	for (int i = 0; i < 20000; i++) {
		turn();
		if (i > 100)
			(void)usleep(1000);
		if ((rc = ipc_next(c, m)) == 1) {
			ck_assert_uint_eq(m->id, id);
			return 0;
		}
		ck_assert_int_eq(rc, 0);
		if (ipc_fill(c) == -1)
			return -1;
	}
	ck_abort_msg("no answer");
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

	ck_assert_int_eq(harness_ask(keyctl, M_key_generate_req, &r, &m), 0);
	rep = m.body;
	ck_assert_msg(rep->status == CRYPTO_OK, "%s", rep->text);
	ck_assert_uint_eq(rep->fresh, 1);
	memcpy(fpr, rep->key.v[0].fpr.p, KEY_FPR);
	ipc_done(keyctl, &m);
}
