/*
 * Stands in for filterd/ask.c: the same functions, answered in this process without any channel,
 * so that a fuzz target reaches thousands of messages a second.  bob has a key, nobody else; the
 * session is bob's.  What a worker sends to its proxy is read back from a socketpair.
 */
#ifndef FUZZ_FILTERD_ASK_H
#define FUZZ_FILTERD_ASK_H

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "filterd/worker.h"
#include "openpgp/cert.h"
#include "openpgp/encrypt.h"
#include "openpgp/skey.h"

#define BOB "bob@example.org"
#define PHRASE "tokalirumesipona" /* bob's */
#define INPUT_MAX 32768 /* octets: all answers to one fit into the socket */

static struct pgp_skey *sign_key, *open_key;
static struct cert_key keys[2];
static struct cert cert = {.keys = {keys, 2}, .features = 1};
static struct mailbox mailbox = {BOB};
static struct signer signer = {BOB, {&mailbox, 1}, {&cert, 1}};
static struct worker worker;
static struct ipc proxy;

static int
fake_sign(void *ctx, const uint8_t *fpr, size_t fprlen, unsigned hash, const uint8_t *digest,
    size_t n, struct pgp_sigval *out)
{
	(void)ctx;
	(void)fpr;
	(void)fprlen;
	return pgp_skey_sign(sign_key, hash, digest, n, out);
}

static int
fake_unwrap(void *ctx, const uint8_t *fpr, size_t fprlen, const uint8_t *esk, size_t n,
    struct pgp_session_key *out)
{
	(void)ctx;
	(void)fpr;
	(void)fprlen;
	return pgp_skey_unwrap(open_key, esk, n, out);
}

static const struct cert *
fake_find(void *ctx, const uint8_t keyid[8], const uint8_t *fpr, size_t fprlen)
{
	(void)ctx;
	return pgp_cert_find(&cert, fprlen ? fpr : keyid, fprlen ? fprlen : 8) ? &cert : NULL;
}

void
ask_init(struct ask *a, struct ipc *policyd, struct ipc *cryptod)
{
	(void)policyd;
	(void)cryptod;
	memset(a, 0, sizeof *a);
}

void
ask_reset(struct ask *a)
{
	(void)a;
}

void
kept_free(struct kept *k)
{
	free(k->body);
	k->body = NULL;
}

int
ask_plan(struct ask *a, const char *sender, const char *from, int sign, const struct mailbox *rcpts,
    size_t n, struct kept *k, struct err *e)
{
	static struct plan_rcpt known[PLAN_RCPTS_MAX];
	struct plan_rep *p = k->body = calloc(1, sizeof *p);
	size_t i;

	(void)a;
	if (p == NULL)
		return err_set(e, ENOMEM, "no memory");
	p->consumer = BOB;
	p->why = "";
	p->rcpts.v = known;
	p->rcpts.n = n;
	for (i = 0; i < n; i++) {
		memset(&known[i], 0, sizeof known[i]);
		known[i].why = "";
		if (strcmp(rcpts[i].addr, BOB) == 0)
			known[i] = (struct plan_rcpt){KEYS_FOUND, 1, "", {&cert, 1}};
	}
	if (sign && strcmp(sender, BOB) == 0 && strcmp(from, BOB) == 0) {
		p->sign = SIGN_YES;
		p->sign_key = keys[0].fpr;
		p->signer.v = &cert;
		p->signer.n = 1;
	}
	return 0;
}

int
ask_opening(struct ask *a, const struct key_id *ids, size_t n, struct kept *k, struct err *e)
{
	struct opening_rep *p = k->body = calloc(1, sizeof *p);

	(void)a;
	(void)ids;
	(void)n;
	if (p == NULL)
		return err_set(e, ENOMEM, "no memory");
	p->result = OPENING_GRANTED;
	p->why = "";
	p->keys.v = &keys[1];
	p->keys.n = 1;
	return 0;
}

int
ask_phrase(struct ask *a, const char **phrase, struct err *e)
{
	(void)a;
	(void)e;
	*phrase = PHRASE;
	return 0;
}

struct pgp_secret
ask_secret(struct ask *a)
{
	return (struct pgp_secret){fake_sign, fake_unwrap, a};
}

struct pgp_certs
ask_certs(struct ask *a)
{
	return (struct pgp_certs){fake_find, a};
}

const struct signer *
ask_signer(const struct ask *a, const uint8_t *primary, size_t n)
{
	(void)a;
	return n == keys[0].fpr.n && memcmp(primary, keys[0].fpr.p, n) == 0 ? &signer : NULL;
}

static void
no_log(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

/* Once: keys, and a worker whose proxy is who. */
static void
stand_in(enum proc_id who)
{
	static const uint8_t ciphers[] = {9, 8, 7};
	uint64_t made = clock_unix() - 1000000;
	int fds[2], room = 4 << 20;

	if (sign_key != NULL)
		return;
	log_set_sink(no_log, NULL);
	sign_key = pgp_skey_generate(PGP_GEN_ED25519, 0, made, NULL);
	open_key = pgp_skey_generate(PGP_GEN_CV25519, 0, made, NULL);
	if (sign_key == NULL || open_key == NULL || ipc_pair(fds) == -1)
		abort();
	pgp_skey_public(sign_key, &keys[0]);
	pgp_skey_public(open_key, &keys[1]);
	keys[0].flags = KEY_CERTIFY | KEY_SIGN;
	keys[1].flags = KEY_ENCRYPT;
	cert.ciphers = (struct bytes){ciphers, sizeof ciphers};
	(void)setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
	ipc_init(&worker.proxy, fds[0], P_WORKER, who);
	ipc_init(&proxy, fds[1], who, P_WORKER);
	if ((worker.spooldir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		abort();
	ask_init(&worker.ask, NULL, NULL);
}

/* The next message of the worker; 0 when there is none. */
static int
next_answer(struct ipc_msg *m)
{
	int rc;

	while ((rc = ipc_next(&proxy, m)) == 0)
		if (ipc_fill(&proxy) != 1)
			return 0;
	if (rc != 1)
		abort();
	return 1;
}

#endif
