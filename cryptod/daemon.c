/* cryptod as a process. */
#include "cryptod/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cryptod/cryptod.h"
#include "cryptod/makekey.h"
#include "cryptod/vault.h"
#include "openpgp/algo.h"

/* The ignition secret's file, opened as root; -1: there is none, or it has been used. */
static int key_fd = -1;
static char key_name[1024];

/* Only a service of systemd has credentials: what to set otherwise (systemd.exec(5)). */
#define SET_CREDENTIAL                                                                             \
	"the unit needs LoadCredential=%s:FILE or LoadCredentialEncrypted=%s:FILE; "               \
	"see systemd-creds(1)"

static void
open_credential(const char *name)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");

	if (folder == NULL || folder[0] != '/') {
		log_err("key store stays locked: systemd gave no credentials, and ignition wants "
			"%s: " SET_CREDENTIAL,
		    name, name, name);
		return;
	}
	if ((size_t)snprintf(key_name, sizeof key_name, "%s/%s", folder, name) >= sizeof key_name) {
		log_err("key store stays locked: %.100s...: name too long", folder);
		return;
	}
	if ((key_fd = open(key_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) == -1)
		log_err("key store stays locked: %s: %s: " SET_CREDENTIAL, key_name,
		    strerror(errno), name, name);
}

/* Failing is no error here: mail that needs no key must go on. */
static void
open_secret(const struct conf_ignition *g)
{
	if (g->credential[0] != '\0') {
		open_credential(g->credential);
		return;
	}
	if (g->key_file[0] == '\0')
		return;
	(void)strlcpy(key_name, g->key_file, sizeof key_name);
	if ((key_fd = open(g->key_file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) == -1)
		log_err("key store stays locked: %s: %s", g->key_file, strerror(errno));
}

static int
on_open(const struct proc_env *env, struct err *e)
{
	if (vault_open(e) == -1)
		return -1;
	if (pgp_algo_init() == -1)
		return err_sys(e, "crypto libraries");
	/* What keyctl lock has locked stays so until somebody unlocks it, or master is restarted.
	 */
	if (!env->locked)
		open_secret(&env->conf->ignition);
	return sandbox_allow(".", 1, e);
}

/* The sealing key that a predecessor left with master. */
static void
on_seal_key(int fd)
{
	uint8_t seal[SEAL_KEY_LEN];

	if (vault_import(fd, seal) == 0)
		vault_put(seal);
	else
		log_warn("the sealing key from master is of no use");
	explicit_bzero(seal, sizeof seal);
	close(fd);
}

static int
unlock_kept(struct err *e)
{
	uint8_t seal[SEAL_KEY_LEN];
	int rc;

	if (vault_get() == NULL || !cryptod.initialised)
		return 0;
	memcpy(seal, vault_get(), sizeof seal);
	vault_wipe();
	rc = cryptod_unlock(seal, e);
	explicit_bzero(seal, sizeof seal);
	if (rc == 0 || e->code != EKEYREJECTED)
		return rc;
	log_warn("the sealing key from master is of another key store");
	return 0;
}

static int
unlock_by_file(struct err *e)
{
	uint8_t secret[SEAL_SECRET_MAX], seal[SEAL_KEY_LEN];
	ssize_t n;
	int rc = -1;

	n = seal_read(key_fd, key_name, !cryptod.ignition.params.source, secret, e);
	if (n != -1 && seal_derive(&cryptod.ignition.params, secret, (size_t)n, seal, e) == 0)
		rc = cryptod_unlock(seal, e);
	explicit_bzero(secret, sizeof secret);
	explicit_bzero(seal, sizeof seal);
	return rc;
}

static int
on_start(const struct proc_env *env, struct err *e)
{
	char name[1024];

	(void)snprintf(name, sizeof name, "%s/keys", env->conf->node.state_dir);
	if (cryptod_load(env->base, ".", name, (unsigned)env->conf->processes.cryptod_threads, e) ==
		-1 ||
	    unlock_kept(e) == -1)
		return -1;
	if (key_fd == -1)
		return 0;
	if (cryptod.initialised && cryptod.keys == NULL && unlock_by_file(e) == -1) {
		if (e->code == EUCLEAN)
			return -1;
		log_err("key store stays locked: %s", e->text);
	}
	close(key_fd);
	key_fd = -1;
	return 0;
}

static int
on_serve(const struct proc_env *env, struct err *e)
{
	(void)env;
	(void)e;
	/* However it ends: no thread may be at work when the libraries are taken down. */
	(void)atexit(cryptod_unload);
	cryptod_leave_key();
	return 0;
}

static void
leave(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	makekey_stop(); /* and whoever waits is told */
	cryptod_unload();
	proc_drained();
}

/* Not at once: the last operation is still in somebody's hands. */
static void
leave_soon(void)
{
	const struct timeval now = {0, 0};

	(void)event_base_once(cryptod.base, -1, EV_TIMEOUT, leave, NULL, &now);
}

static void
on_drain(unsigned seconds)
{
	(void)seconds;
	if (ops_count() == 0)
		leave_soon();
	else
		ops_when_none(leave_soon);
}

static void
on_status(void)
{
	struct err e = {0};
	int64_t n;

	proc_fact("keystore", "%s",
	    !cryptod.initialised   ? "not initialised"
	    : cryptod.keys == NULL ? "locked"
				   : "unlocked");
	if (cryptod.keys != NULL && (n = keys_count(cryptod.keys, &e)) >= 0)
		proc_fact("keys", "%lld", (long long)n);
	proc_fact("workers", "%u", cryptod.nworkers);
	proc_fact("grants", "%zu", grants_count(cryptod.grants));
	proc_fact("signed", "%llu", (unsigned long long)cryptod.nsigned);
	proc_fact("unwrapped", "%llu", (unsigned long long)cryptod.nunwrapped);
	proc_fact("handshakes", "%llu", (unsigned long long)cryptod.nhandshakes);
	cryptod_ca_facts();
	proc_fact("under_way", "%u", ops_count());
	proc_fact("refused", "%llu", (unsigned long long)cryptod.nrefused);
}

static void
on_plumbed(enum proc_id peer, unsigned instance, struct chan *c)
{
	/* What the one before asked is of no interest to a new one either. */
	ops_forget_peer(peer, instance);
	if (peer == P_KEYCTL && c == NULL) {
		cryptod_tool_gone(instance);
		cryptod_ca_tool_gone(instance);
	}
}

const struct chan_handler cryptod_handlers[] = {
    {M_worker_bind, cryptod_worker_bind},
    {M_grant_req, cryptod_grant},
    {M_tls_sign_req, cryptod_tls_sign},
    {M_mint_req, cryptod_mint},
    {M_keys_state_req, cryptod_keys_state},
    {M_keys_init_req, cryptod_keys_init},
    {M_keys_unlock_req, cryptod_keys_unlock},
    {M_keys_lock_req, cryptod_keys_lock},
    {M_key_generate_req, cryptod_key_generate},
    {M_key_import_req, cryptod_key_import},
    {M_key_export_req, cryptod_key_export},
    {M_key_list_req, cryptod_key_list},
    {M_key_certify_req, cryptod_key_certify},
    {M_key_disable_req, cryptod_key_disable},
    {M_ca_init_req, cryptod_ca_init},
    {M_ca_get_req, cryptod_ca_get},
    {0, NULL},
};

/*
 * Files and fork stay permitted: keyctl unlock opens the store, and its check is a child; so is the
 * maker of an RSA key.  Threads are for slow operations.  No network, no other folder than the
 * jail.
 */
static const struct sandbox sandbox = {
    .calls = SB_FILES | SB_MAPFILE | SB_FORK | SB_MEMFD | SB_THREADS,
};

const struct proc cryptod_proc = {
    .self = P_CRYPTOD,
    .sandbox = &sandbox,
    .handlers = cryptod_handlers,
    .open = on_open,
    .start = on_start,
    .serve = on_serve,
    .plumbed = on_plumbed,
    .drain = on_drain,
    .status = on_status,
    .seal_key = on_seal_key,
};
