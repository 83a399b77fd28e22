/* init, unlock, lock, status: the state of the key store. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "keyctl/keyctl.h"

/* The least cost, and the time that the derivation shall take on this machine. */
#define COST_T 3
#define COST_M (64 * 1024) /* KiB */
#define COST_M_FACTOR 4
#define COST_MS 750
#define KEY_FILE_LEN 32

struct ignite_options {
	const char *passphrase_file, *key_file;
	unsigned long t, m; /* 0: to be measured */
	int json;
};

static int
parse_cost(const char *s, struct ignite_options *o)
{
	char *end;

	o->t = strtoul(s, &end, 10);
	if (*end != ',')
		return -1;
	o->m = strtoul(end + 1, &end, 10);
	return *end == '\0' && o->t >= SEAL_T_MIN && o->t <= SEAL_T_MAX && o->m >= SEAL_M_MIN &&
		       o->m <= SEAL_M_MAX
		   ? 0
		   : -1;
}

/* allowed: a set of 'p' and 'k' (files), 'c' (cost), 'j' (json) */
static int
parse_options(int argc, char *argv[], const char *allowed, struct ignite_options *o)
{
	static const struct option longs[] = {
	    {"passphrase-file", required_argument, NULL, 'p'},
	    {"key-file", required_argument, NULL, 'k'},
	    {"cost", required_argument, NULL, 'c'},
	    {"json", no_argument, NULL, 'j'},
	    {NULL, 0, NULL, 0},
	};
	int c;

	memset(o, 0, sizeof *o);
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == '?' || strchr(allowed, c) == NULL)
			return complain_usage(argv[0]);
		if (c == 'p')
			o->passphrase_file = optarg;
		else if (c == 'k')
			o->key_file = optarg;
		else if (c == 'j')
			o->json = 1;
		else if (parse_cost(optarg, o) == -1)
			return complain(EX_USAGE,
			    "--cost %s: passes (%d to %d) and KiB (%d to %d), as in 3,65536",
			    optarg, SEAL_T_MIN, SEAL_T_MAX, SEAL_M_MIN, SEAL_M_MAX);
	}
	if (optind != argc || (o->passphrase_file != NULL && o->key_file != NULL))
		return complain_usage(argv[0]);
	return 0;
}

/* Make a key file with random octets; 0 when it is there already. */
static int
make_key_file(const char *file, struct err *e)
{
	uint8_t key[KEY_FILE_LEN];
	int fd, rc = 0;

	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (fd == -1)
		return errno == EEXIST ? 0 : err_sys(e, "%s", file);
	arc4random_buf(key, sizeof key);
	if (write(fd, key, sizeof key) != (ssize_t)sizeof key || fsync(fd) == -1) {
		rc = err_sys(e, "%s", file);
		(void)unlink(file);
	} else
		(void)printf("%s: made; keep a copy of it in a safe place\n", file);
	explicit_bzero(key, sizeof key);
	close(fd);
	return rc;
}

/* The ignition secret; octets or -1. */
static ssize_t
get_secret(const struct ignite_options *o, int fresh, uint8_t out[SEAL_SECRET_MAX], struct err *e)
{
	char pass[PASS_MAX];
	ssize_t n;
	int fd;

	if (o->key_file != NULL) {
		if (fresh && make_key_file(o->key_file, e) == -1)
			return -1;
		if ((fd = open(o->key_file, O_RDONLY | O_CLOEXEC)) == -1)
			return err_sys(e, "%s", o->key_file);
		n = seal_read(fd, o->key_file, 0, out, e);
		close(fd);
		return n;
	}
	if (ask_passphrase(o->passphrase_file, "Passphrase of the key store", fresh, pass, e) == -1)
		return -1;
	n = (ssize_t)strlen(pass);
	memcpy(out, pass, (size_t)n);
	explicit_bzero(pass, sizeof pass);
	return n;
}

/* What it takes to derive for about COST_MS here, never below the least. */
static int
measure(struct seal_params *p, struct err *e)
{
	uint8_t key[SEAL_KEY_LEN];
	uint64_t took, factor, m;

	p->t = COST_T;
	p->m = COST_M;
	took = clock_ms();
	if (seal_derive(p, "measure", 7, key, e) == -1)
		return -1;
	took = clock_ms() - took;
	if (took < 1)
		took = 1;
	/* Memory first, it hurts the attacker more. */
	factor = COST_MS / took;
	m = factor > COST_M_FACTOR ? COST_M_FACTOR : factor < 1 ? 1 : factor;
	p->m = (uint32_t)(COST_M * m);
	p->t = (uint32_t)(COST_T * COST_MS / (took * m));
	if (p->t < COST_T)
		p->t = COST_T;
	if (p->t > SEAL_T_MAX)
		p->t = SEAL_T_MAX;
	return 0;
}

/* Send a request whose answer is keys_rep. */
static int
request(struct keyctl *t, uint16_t type, const void *body)
{
	const struct keys_rep *rep;
	struct err e = {0};
	struct ipc_msg m;
	int rc;

	if (control_call(&t->keys, type, body, M_keys_rep, &m, SLOW_CALL, &e) == -1)
		return complain_err(&e);
	rep = m.body;
	rc = rep->status == CRYPTO_OK ? EX_OK : complain_status(rep->status, rep->text);
	ipc_done(&t->keys, &m);
	return rc;
}

/* params and salt receive the store's; *initialised 0: none yet. */
static int
get_state(struct keyctl *t, struct keys_state_rep *out, struct seal_params *params,
    uint8_t salt[SEAL_SALT_LEN])
{
	struct keys_state_req req = {0};
	const struct keys_state_rep *rep;
	struct err e = {0};
	struct ipc_msg m;
	int rc;

	if ((rc = connect_keys(t)) != 0)
		return rc;
	if (control_call(
		&t->keys, M_keys_state_req, &req, M_keys_state_rep, &m, CONTROL_TIMEOUT, &e) == -1)
		return complain_err(&e);
	rep = m.body;
	*out = *rep;
	out->params.v = params;
	if (rep->params.n == 1) {
		*params = rep->params.v[0];
		memcpy(salt, params->salt.p, SEAL_SALT_LEN);
		params->salt.p = salt;
	}
	ipc_done(&t->keys, &m);
	return 0;
}

int
verb_init(struct keyctl *t, int argc, char *argv[])
{
	uint8_t secret[SEAL_SECRET_MAX], key[SEAL_KEY_LEN], salt[SEAL_SALT_LEN];
	struct seal_params p = {.version = 1, .lanes = 1, .salt = {salt, sizeof salt}}, have;
	struct keys_init_req req = {.seal = {key, sizeof key}};
	struct keys_state_rep state;
	struct ignite_options o;
	struct err e = {0};
	ssize_t n;
	int rc;

	if ((rc = parse_options(argc, argv, "pkc", &o)) != 0 ||
	    (rc = get_state(t, &state, &have, salt)) != 0)
		return rc;
	if (state.params.n == 1)
		return complain(EX_CANTCREAT, "the key store is there already; it is %s",
		    state.locked ? "locked: run keyctl unlock" : "unlocked");
	arc4random_buf(salt, sizeof salt);
	p.t = (uint32_t)o.t;
	p.m = (uint32_t)o.m;
	p.source = o.key_file != NULL;
	if ((n = get_secret(&o, 1, secret, &e)) == -1 || (o.t == 0 && measure(&p, &e) == -1) ||
	    seal_derive(&p, secret, (size_t)n, key, &e) == -1) {
		rc = complain_err(&e);
		goto out;
	}
	req.params.v = &p;
	req.params.n = 1;
	if ((rc = request(t, M_keys_init_req, &req)) != 0)
		goto out;
	(void)printf(
	    "key store made and unlocked (Argon2id, %u passes over %u MiB)\n", p.t, p.m / 1024);
	if (o.key_file != NULL)
		(void)printf("to unlock it at every start: ignition { key_file = \"%s\" } in "
			     "postern.conf\n",
		    o.key_file);
	else
		(void)printf("without this passphrase no key can be opened again\n");
out:
	explicit_bzero(secret, sizeof secret);
	explicit_bzero(key, sizeof key);
	return rc;
}

int
verb_unlock(struct keyctl *t, int argc, char *argv[])
{
	uint8_t secret[SEAL_SECRET_MAX], key[SEAL_KEY_LEN], salt[SEAL_SALT_LEN];
	struct keys_unlock_req req = {.seal = {key, sizeof key}};
	struct keys_state_rep state;
	struct ignite_options o;
	struct seal_params p;
	struct err e = {0};
	ssize_t n;
	int rc;

	if ((rc = parse_options(argc, argv, "pk", &o)) != 0 ||
	    (rc = get_state(t, &state, &p, salt)) != 0)
		return rc;
	if (state.params.n == 0)
		return complain(EX_CONFIG, "there is no key store yet: run keyctl init");
	if (!state.locked) {
		(void)printf("the key store is unlocked already\n");
		return EX_OK;
	}
	if (p.source && o.key_file == NULL && o.passphrase_file == NULL) {
		if (t->conf->ignition.key_file[0] == '\0')
			return complain(
			    EX_USAGE, "this key store opens with a key file: use --key-file");
		o.key_file = t->conf->ignition.key_file;
	}
	if ((n = get_secret(&o, 0, secret, &e)) == -1 ||
	    seal_derive(&p, secret, (size_t)n, key, &e) == -1)
		rc = complain_err(&e);
	else if ((rc = request(t, M_keys_unlock_req, &req)) == 0)
		(void)printf("key store unlocked\n");
	explicit_bzero(secret, sizeof secret);
	explicit_bzero(key, sizeof key);
	return rc;
}

int
verb_lock(struct keyctl *t, int argc, char *argv[])
{
	struct keys_lock_req req = {0};
	struct ignite_options o;
	int rc;

	if ((rc = parse_options(argc, argv, "", &o)) != 0 || (rc = connect_keys(t)) != 0 ||
	    (rc = request(t, M_keys_lock_req, &req)) != 0)
		return rc;
	(void)printf("key store locked\n");
	if (t->conf->ignition.key_file[0] != '\0')
		(void)printf(
		    "the next start unlocks it again with %s\n", t->conf->ignition.key_file);
	else if (t->conf->ignition.credential[0] != '\0')
		(void)printf("the next start unlocks it again with the credential %s\n",
		    t->conf->ignition.credential);
	return EX_OK;
}

int
verb_status(struct keyctl *t, int argc, char *argv[])
{
	struct keys_state_rep state;
	uint8_t salt[SEAL_SALT_LEN];
	struct seal_params p = {0};
	struct ignite_options o;
	const char *what;
	int rc;

	if ((rc = parse_options(argc, argv, "j", &o)) != 0 ||
	    (rc = get_state(t, &state, &p, salt)) != 0)
		return rc;
	what = state.params.n == 0 ? "not initialised" : state.locked ? "locked" : "unlocked";
	if (o.json) {
		(void)printf("{\"keystore\": \"%s\", \"keys\": %u, \"source\": \"%s\", "
			     "\"passes\": %u, \"kib\": %u}\n",
		    what, state.keys, p.source ? "key file" : "passphrase", p.t, p.m);
		return EX_OK;
	}
	(void)printf("key store: %s\n", what);
	if (state.params.n == 1)
		(void)printf("opens with: %s (Argon2id, %u passes over %u MiB)\n",
		    p.source ? "key file" : "passphrase", p.t, p.m / 1024);
	if (!state.locked)
		(void)printf("keys: %u\n", state.keys);
	return EX_OK;
}
