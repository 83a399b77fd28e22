/* The key store's state: loaded, made, unlocked, locked. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cryptod/cryptod.h"
#include "cryptod/makekey.h"
#include "cryptod/vault.h"

struct cryptod cryptod = {.dirfd = -1};

#define TICK_SECONDS 1
#define REPORT_TICKS 10
#define NOTE_TICKS 3600 /* an authority may end meanwhile */

void
cryptod_note(void)
{
	char ca[CA_NOTE_MAX];

	if (!cryptod.initialised)
		proc_note("key store is not initialised: run keyctl init");
	else if (cryptod.keys == NULL)
		proc_note("key store is locked: run keyctl unlock");
	else
		proc_note(cryptod_ca_note(ca));
}

static void
tell(const char *consumer, const unsigned counts[RATE_KINDS], unsigned limited)
{
	log_info("keys of consumer=%s signed=%u unwrapped=%u refused=%u", log_str(consumer),
	    counts[RATE_SIGNED], counts[RATE_UNWRAPPED], counts[RATE_REFUSED]);
	if (limited > 0)
		log_warn("keys of consumer=%s: %u operations over the limit of %d a second",
		    log_str(consumer), limited, RATE_PER_SECOND);
}

static void
tell_tls(const char *proxy, const unsigned counts[RATE_KINDS], unsigned limited)
{
	if (counts[RATE_SIGNED] > 0 || counts[RATE_REFUSED] > 0)
		log_info("TLS keys used by %s signed=%u refused=%u", proxy, counts[RATE_SIGNED],
		    counts[RATE_REFUSED]);
	if (limited > 0)
		log_warn("TLS keys used by %s: %u handshakes over the limit of %d a second", proxy,
		    limited, RATE_TLS_PER_SECOND);
}

static void
tell_minted(const char *proxy, const unsigned counts[RATE_KINDS], unsigned limited)
{
	if (counts[RATE_SIGNED] > 0 || counts[RATE_REFUSED] > 0)
		log_info("certificates for %s minted=%u refused=%u", proxy, counts[RATE_SIGNED],
		    counts[RATE_REFUSED]);
	if (limited > 0)
		log_warn("certificates for %s: %u over the limit of %d a second", proxy, limited,
		    RATE_MINT_PER_SECOND);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	static unsigned ticks;

	(void)fd;
	(void)what;
	(void)arg;
	(void)grants_expire(cryptod.grants, clock_ms());
	if (++ticks % REPORT_TICKS != 0)
		return;
	rate_report(cryptod.rate, clock_ms(), 0, tell);
	rate_report(cryptod.tls_rate, clock_ms(), 0, tell_tls);
	rate_report(cryptod.mint_rate, clock_ms(), 0, tell_minted);
	if (ticks % NOTE_TICKS == 0)
		cryptod_note();
}

static int
load_ignition(struct err *e)
{
	int rc;

	rc = ignition_load(&cryptod.ignition, cryptod.dirfd, cryptod.name, e);
	if (rc == -1)
		return -1;
	cryptod.initialised = rc == 1 && cryptod.ignition.complete;
	if (cryptod.initialised)
		return keys_check(cryptod.dir, cryptod.name, e);
	/* Keys without the record that opens them: nothing may be written over them. */
	if (rc == 0 && keys_there(cryptod.dir))
		return err_set(e, EUCLEAN,
		    "%s/%s: missing, but there are keys; bring it back from a backup", cryptod.name,
		    IGNITION_FILE);
	return 0;
}

int
cryptod_load(
    struct event_base *base, const char *dir, const char *name, unsigned threads, struct err *e)
{
	const struct timeval tick = {.tv_sec = TICK_SECONDS};

	memset(&cryptod, 0, sizeof cryptod);
	cryptod.base = base;
	cryptod.dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cryptod.dirfd == -1) {
		err_sys(e, "%s", name);
		goto fail;
	}
	if ((cryptod.dir = strdup(dir)) == NULL || (cryptod.name = strdup(name)) == NULL ||
	    (cryptod.grants = grants_new()) == NULL ||
	    (cryptod.rate = rate_new(RATE_BURST, RATE_PER_SECOND)) == NULL ||
	    (cryptod.tls_rate = rate_new(RATE_TLS_BURST, RATE_TLS_PER_SECOND)) == NULL ||
	    (cryptod.mint_rate = rate_new(RATE_MINT_BURST, RATE_MINT_PER_SECOND)) == NULL ||
	    event_assign(&cryptod.tick, base, -1, EV_PERSIST, on_tick, NULL) == -1 ||
	    event_add(&cryptod.tick, &tick) == -1) {
		err_set(e, ENOMEM, "no memory to begin");
		goto fail;
	}
	cryptod.ticking = 1;
	/* This forks, so it comes before the threads. */
	if (load_ignition(e) == -1 || (cryptod.pool = pool_new(base, threads, e)) == NULL)
		goto fail;
	cryptod_note();
	return 0;
fail:
	cryptod_unload();
	return -1;
}

void
cryptod_unload(void)
{
	/* Their channels may have been freed already: nobody is told any more. */
	cryptod_tools_gone();
	cryptod_ca_tools_gone();
	makekey_stop();
	cryptod_workers_close();
	ops_end(0);
	pool_free(cryptod.pool);
	cryptod.pool = NULL;
	keys_close(cryptod.keys);
	cryptod.keys = NULL;
	vault_wipe();
	if (cryptod.rate != NULL)
		rate_report(cryptod.rate, clock_ms(), 1, tell);
	if (cryptod.tls_rate != NULL)
		rate_report(cryptod.tls_rate, clock_ms(), 1, tell_tls);
	if (cryptod.mint_rate != NULL)
		rate_report(cryptod.mint_rate, clock_ms(), 1, tell_minted);
	if (cryptod.ticking)
		(void)event_del(&cryptod.tick);
	cryptod.ticking = 0;
	grants_free(cryptod.grants);
	rate_free(cryptod.rate);
	rate_free(cryptod.tls_rate);
	rate_free(cryptod.mint_rate);
	cryptod.grants = NULL;
	cryptod.rate = cryptod.tls_rate = cryptod.mint_rate = NULL;
	free(cryptod.dir);
	free(cryptod.name);
	cryptod.dir = cryptod.name = NULL;
	if (cryptod.dirfd != -1)
		close(cryptod.dirfd);
	cryptod.dirfd = -1;
}

void
cryptod_leave_key(void)
{
	struct seal_key m = {0};
	int fd;

	if (proc_master() == NULL || vault_get() == NULL)
		return;
	if ((fd = vault_export()) == -1 || chan_send(proc_master(), M_seal_key, 0, &m, fd) == -1)
		log_warn("the sealing key cannot be left with master, a restart will lock: %s",
		    strerror(errno));
}

/* The store's check is a child. */
static struct keys *
open_keys(const uint8_t seal[SEAL_KEY_LEN], int create, struct err *e)
{
	struct keys *k;

	pool_hold(cryptod.pool);
	k = keys_open(cryptod.dir, cryptod.name, seal, create, e);
	pool_release(cryptod.pool);
	return k;
}

static void
unlocked(struct keys *k, const uint8_t *seal)
{
	cryptod.keys = k;
	vault_put(seal);
	cryptod_leave_key();
	cryptod_note();
}

int
cryptod_init(const struct seal_params *p, const uint8_t seal[SEAL_KEY_LEN], struct err *e)
{
	struct ignition fresh;
	struct keys *k;

	if (cryptod.initialised)
		return err_set(
		    e, EEXIST, "the key store in %s is initialised already", cryptod.name);
	if (ignition_make(&fresh, p, seal, e) == -1)
		return -1;
	/*
	 * The record first says that it is not complete: a store that is found beside such a one
	 * has never held a key, and is made anew.
	 */
	if (ignition_save(&fresh, cryptod.dirfd, cryptod.name, e) == -1 ||
	    keys_remove(cryptod.dir, e) == -1 || (k = open_keys(seal, 1, e)) == NULL)
		return -1;
	fresh.complete = 1;
	if (ignition_save(&fresh, cryptod.dirfd, cryptod.name, e) == -1) {
		keys_close(k);
		return -1;
	}
	cryptod.ignition = fresh;
	cryptod.ignition.params.salt.p = cryptod.ignition.salt;
	cryptod.initialised = 1;
	log_info("key store initialised");
	unlocked(k, seal);
	return 0;
}

int
cryptod_unlock(const uint8_t seal[SEAL_KEY_LEN], struct err *e)
{
	struct keys *k;

	if (!cryptod.initialised)
		return err_set(e, ENOENT, "the key store is not initialised: run keyctl init");
	switch (ignition_check(&cryptod.ignition, seal)) {
	case 1:
		break;
	case 0:
		log_warn("key store: refused a wrong key");
		return err_set(e, EKEYREJECTED, "wrong passphrase or key file");
	default:
		return err_sys(e, "checking the key");
	}
	if (cryptod.keys != NULL)
		return 0;
	if ((k = open_keys(seal, 0, e)) == NULL)
		return -1;
	log_info("key store unlocked");
	unlocked(k, seal);
	return 0;
}

void
cryptod_lock(void)
{
	struct seal_drop m = {0};

	/* Such a child has a copy of all that is in memory. */
	makekey_stop();
	/* Afterwards nobody holds a key, so closing wipes all of them. */
	ops_end(1);
	keys_close(cryptod.keys);
	cryptod.keys = NULL;
	vault_wipe();
	grants_clear(cryptod.grants);
	memset(cryptod.fresh, 0, sizeof cryptod.fresh);
	memset(cryptod.leaf, 0, sizeof cryptod.leaf);
	if (proc_master() != NULL)
		(void)chan_send(proc_master(), M_seal_drop, 0, &m, -1);
	log_info("key store locked");
	cryptod_note();
}

enum crypto_status
cryptod_status(const struct err *e)
{
	switch (e->code) {
	case ENOKEY:
	case ENOENT:
		return CRYPTO_NOKEY;
	case EKEYREJECTED:
	case EEXIST:
	case EPERM:
		return CRYPTO_DENIED;
	case EBUSY:
	case EAGAIN:
		return CRYPTO_BUSY;
	default:
		return CRYPTO_FAILED;
	}
}
