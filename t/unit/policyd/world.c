#include "t/unit/policyd/world.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "openpgp/algo.h"
#include "openpgp/cert.h"
#include "openpgp/certmake.h"
#include "openpgp/skey.h"
#include "policyd/factor.h"
#include "proc/internal.h"

struct ipc smtpd, pop3d, filterd, cryptod, gwctl, keyctl;
char world_dir[64];

static struct proc_env env;
static uint64_t last_id;

static const char config[] = "node { hostname = gw.acme.test }\n"
			     "peer office { service = pop3\n host = 127.0.0.1\n tls = none\n"
			     " login_domain = acme.test }\n"
			     "peer strict { service = pop3\n host = 127.0.0.1\n tls = none\n"
			     " login_case = keep }\n"
			     "peer out { service = smtp\n host = 127.0.0.1\n tls = none }\n"
			     "peer known { service = pop3\n host = pop.test\n tls = implicit }\n"
			     "peer guarded { service = pop3\n host = safe.test\n"
			     " tls = implicit }\n"
			     "tls_profile card { client_certificate = require\n"
			     " client_ca = /ca.pem }\n"
			     "action card { service = pop3\n profile = card }\n"
			     "connector pop3 { service = pop3\n listen = {\"127.0.0.1:1110\"}\n"
			     " peer = office\n tls = disabled\n banner = yes }\n"
			     "connector smtp { service = smtp\n listen = {\"127.0.0.1:1587\"}\n"
			     " peer = out\n tls = disabled }\n"
			     "connector word { service = pop3\n listen = {\"127.0.0.1:1111\"}\n"
			     " peer = office\n tls = disabled\n second_factor = password }\n"
			     "connector card { service = pop3\n listen = {\"127.0.0.1:1112\"}\n"
			     " peer = office\n certificates = {/x.pem}\n action = card\n"
			     " starttls = required\n second_factor = certificate }\n"
			     "connector strict { service = pop3\n listen = {\"127.0.0.1:1113\"}\n"
			     " peer = strict\n tls = disabled }\n"
			     "connector other { service = pop3\n listen = {\"127.0.0.1:1114\"}\n"
			     " peer = strict\n tls = disabled\n tenant = other }\n"
			     "connector guarded { service = pop3\n"
			     " listen = {\"127.0.0.1:1115\"}\n peer = guarded\n"
			     " tls = disabled\n second_factor = password }\n"
			     "peer theirs { service = pop3\n host = their.test\n"
			     " tls = implicit }\n"
			     "connector theirs { service = pop3\n"
			     " listen = {\"127.0.0.1:1117\"}\n peer = theirs\n"
			     " tls = disabled\n tenant = other }\n"
			     "connector foreign { service = pop3\n"
			     " listen = {\"127.0.0.1:1116\"}\n tls = disabled\n"
			     " transparent = redirect }\n"
			     "connector byaddr { service = smtp\n"
			     " listen = {\"127.0.0.1:1588\"}\n peer = out\n tls = disabled\n"
			     " sign_by_address = {\"127.0.0.1/32\"}\n"
			     " second_factor = password }\n"
			     "connector mx { service = mx\n"
			     " listen = {\"127.0.0.1:1025\"}\n tls = disabled\n"
			     " inbound = decrypt }\n"
			     "connector passes { service = mx\n"
			     " listen = {\"127.0.0.1:1026\"}\n tls = disabled }\n"
			     "connector relay { service = relay\n"
			     " listen = {\"127.0.0.1:1027\"}\n tls = disabled\n"
			     " relay_clients = {\"127.0.0.1\"} }\n"
			     "connector users { service = submission\n"
			     " listen = {\"127.0.0.1:1028\"}\n tls = disabled\n"
			     " auth = sasl\n sasl_socket = /auth\n"
			     " login_domain = acme.test }\n";

/* What the daemon asks of lib/proc, beside its neighbours. */
const struct proc_env *
proc_env(void)
{
	return &env;
}

struct chan *
proc_master(void)
{
	return NULL;
}

void
proc_fact(const char *name, const char *fmt, ...)
{
	(void)name;
	(void)fmt;
}

void
world_plumb(struct ipc *c, enum proc_id peer)
{
	static uint32_t serial;
	struct plumb p = {.peer = (uint8_t)peer, .serial = ++serial};
	int fds[2];

	if (c->fd != -1)
		ipc_close(c);
	ck_assert_int_eq(ipc_pair(fds), 0);
	ck_assert_int_eq(neighbours_plumb(&p, fds[0]), 0);
	ipc_init(c, fds[1], peer, P_POLICYD);
}

void
world_begin(void)
{
	struct {
		struct ipc *c;
		enum proc_id who;
	} all[] = {{&smtpd, P_SMTPD}, {&pop3d, P_POP3D}, {&filterd, P_FILTERD},
	    {&cryptod, P_CRYPTOD}, {&gwctl, P_GWCTL}, {&keyctl, P_KEYCTL}};
	const char *tmp = getenv("TMPDIR");
	struct err e = {0};
	size_t i;

	ck_assert_int_eq(pgp_algo_init(), 0);
	(void)snprintf(world_dir, sizeof world_dir, "%.40s/policyd.XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(world_dir));
	ck_assert_int_eq(chdir(world_dir), 0);
	memset(&env, 0, sizeof env);
	env.self = P_POLICYD;
	env.base = event_base_new();
	env.conf = conf_load_mem(config, sizeof config - 1, "unit.conf", NULL, &e);
	ck_assert_msg(env.conf != NULL, "%s", e.text);
	ck_assert_msg(policyd.start(&env, &e) == 0, "%s", e.text);
	neighbours_init(&env, &policyd, policyd.handlers);
	for (i = 0; i < sizeof all / sizeof all[0]; i++) {
		ipc_init(all[i].c, -1, all[i].who, P_POLICYD);
		world_plumb(all[i].c, all[i].who);
	}
}

void
world_end(void)
{
	struct ipc *all[] = {&smtpd, &pop3d, &filterd, &cryptod, &gwctl, &keyctl};
	size_t i;

	for (i = 0; i < sizeof all / sizeof all[0]; i++)
		if (all[i]->fd != -1)
			ipc_close(all[i]);
	world_turn();
	neighbours_free();
	session_forget(P_SMTPD, 0);
	session_forget(P_POP3D, 0);
	factor_forget(P_SMTPD, 0);
	factor_forget(P_POP3D, 0);
	db_close();
	event_base_free(env.base);
	conf_free((struct conf *)(uintptr_t)env.conf);
	(void)unlink("data.mdb");
	(void)unlink("data.seq");
	(void)rmdir(world_dir);
}

void
world_turn(void)
{
	int i;

	for (i = 0; i < 4; i++)
		(void)event_base_loop(env.base, EVLOOP_NONBLOCK);
}

uint64_t
world_send(struct ipc *c, uint16_t type, const void *body)
{
	ck_assert_int_eq(ipc_queue(c, type, ++last_id, body, -1), 0);
	while (ipc_flush(c) == 0)
		world_turn();
	world_turn();
	return last_id;
}

int
world_poll(struct ipc *c, struct ipc_msg *m)
{
	int i, rc;

	for (i = 0; i < 20; i++) {
		world_turn();
		if ((rc = ipc_next(c, m)) == 1)
			return 1;
		ck_assert_int_eq(rc, 0);
		if (ipc_fill(c) == -1)
			return 0;
	}
	return 0;
}

void
world_ask(struct ipc *c, uint16_t type, const void *body, uint16_t want, struct ipc_msg *m)
{
	uint64_t id = world_send(c, type, body);

	ck_assert_msg(world_poll(c, m) == 1, "no answer");
	ck_assert_uint_eq(m->id, id);
	ck_assert_str_eq(m->def->name, ipc_message(want)->name);
}

unsigned
world_change(struct ipc *tool, uint16_t type, const void *body, char text[501])
{
	const struct admin_rep *r;
	struct ipc_msg m;
	unsigned status;

	world_ask(tool, type, body, M_admin_rep, &m);
	r = m.body;
	status = r->status;
	if (text != NULL)
		(void)strlcpy(text, r->text, 501);
	ipc_done(tool, &m);
	return status;
}

static void
put_domain(const char *name, const char *tenant)
{
	struct domain d = {.name = name, .tenant = tenant};
	struct domain_put q = {.domain = {&d, 1}};
	char text[501];

	ck_assert_msg(world_change(&gwctl, M_domain_put, &q, text) == ADMIN_OK, "%s", text);
}

static void
put_consumer(const char *id, const char *tenant, int kind, const char *addr)
{
	struct address a = {addr};
	struct consumer c = {
	    .id = id, .tenant = tenant, .kind = (uint8_t)kind, .addresses = {&a, 1}};
	struct consumer_put q = {.create = 1, .consumer = {&c, 1}};
	char text[501];

	ck_assert_msg(world_change(&gwctl, M_consumer_put, &q, text) == ADMIN_OK, "%s", text);
}

void
world_people(void)
{
	put_domain("acme.test", "default");
	put_domain("other.test", "other");
	put_consumer("alice", "default", CONSUMER_INTERNAL, "alice@acme.test");
	put_consumer("chief", "default", CONSUMER_INTERNAL, "chief@acme.test");
	put_consumer("mallory", "default", CONSUMER_INTERNAL, "mallory@acme.test");
	put_consumer("eve", "other", CONSUMER_INTERNAL, "eve@other.test");
	put_consumer("bob", "default", CONSUMER_EXTERNAL, "bob@out.test");
}

struct opened
world_login_at(
    const char *tenant, const char *peer, const char *authzid, const char *authcid, int by_address)
{
	struct session_open_req q = {.tenant = tenant,
	    .connector = strcmp(tenant, "other") == 0  ? "other"
			 : strcmp(peer, "strict") == 0 ? "strict"
						       : "pop3",
	    .peer = peer,
	    .authzid = authzid,
	    .authcid = authcid,
	    .by_address = (uint8_t)by_address,
	    .client = "127.0.0.1"};
	const struct session_open_rep *r;
	struct opened o;
	struct ipc_msg m;

	world_ask(&pop3d, M_session_open_req, &q, M_session_open_rep, &m);
	r = m.body;
	memcpy(o.id, r->session.p, SESSION_ID);
	(void)strlcpy(o.consumer, r->consumer, sizeof o.consumer);
	ipc_done(&pop3d, &m);
	return o;
}

struct opened
world_login(const char *peer, const char *authzid, const char *authcid)
{
	return world_login_at("default", peer, authzid, authcid, 0);
}

void
world_worker(struct ipc *c, const uint8_t session[SESSION_ID])
{
	uint8_t id[WORKER_ID];
	struct worker_bind b = {.worker = {id, WORKER_ID}, .session = {session, SESSION_ID}};
	int fds[2];

	arc4random_buf(id, sizeof id);
	ck_assert_int_eq(ipc_pair(fds), 0);
	ck_assert_int_eq(ipc_queue(&filterd, M_worker_bind, 0, &b, fds[0]), 0);
	ck_assert_int_eq(ipc_flush(&filterd), 1);
	ipc_init(c, fds[1], P_WORKER, P_POLICYD);
	world_turn();
}

/* ---- certificates ---- */

static struct pgp_skey *skeys[3];

static int
sign_by_hand(void *ctx, const uint8_t *fpr, size_t fprlen, unsigned hash, const uint8_t *digest,
    size_t n, struct pgp_sigval *out)
{
	struct cert_key k;
	size_t i;

	(void)ctx;
	for (i = 0; i < 3; i++) {
		pgp_skey_public(skeys[i], &k);
		if (k.fpr.n == fprlen && memcmp(k.fpr.p, fpr, fprlen) == 0)
			return pgp_skey_sign(skeys[i], hash, digest, n, out);
	}
	errno = ENOKEY;
	return -1;
}

static void
revoke_primary(struct made *m, uint64_t now, const struct pgp_secret *secret)
{
	struct err e = {0};
	struct buf b;

	buf_init(&b, PGP_CERT_MAX);
	ck_assert_msg(pgp_cert_revoke(buf_ptr(&m->raw), buf_len(&m->raw), m->primary, 20,
			  PGP_REASON_COMPROMISED, "", now - 5, secret, &b, &e) == 0,
	    "%s", e.text);
	buf_free(&m->raw);
	m->raw = b;
}

void
make_cert(struct made *m, const struct making *how, const char *consumer, int secret)
{
	static const uint8_t flags[3] = {KEY_CERTIFY, KEY_SIGN, KEY_ENCRYPT};
	static const enum pgp_keytype types[3] = {
	    PGP_GEN_ED25519, PGP_GEN_ED25519, PGP_GEN_CV25519};
	const struct pgp_secret by_hand = {.sign = sign_by_hand};
	uint64_t now = clock_unix(), made = now + (uint64_t)(how->made != 0 ? how->made : -1000);
	const char *uids[] = {how->uid};
	struct cert_key keys[3];
	struct pgp_certspec spec = {.keys = keys,
	    .nkeys = how->keys == 1 ? 2 : 3,
	    .uids = uids,
	    .nuids = 1,
	    .created = made,
	    .expires = how->expires != 0 ? now + (uint64_t)how->expires : 0};
	uint8_t *fprs[3] = {m->primary, m->sign, m->encrypt};
	struct pgp_cert *c;
	struct err e = {0};
	struct buf enc;
	size_t i;

	memset(m, 0, sizeof *m);
	for (i = 0; i < 3; i++) {
		ck_assert_ptr_nonnull(skeys[i] = pgp_skey_generate(types[i], 0, made, &e));
		pgp_skey_public(skeys[i], &keys[i]);
		keys[i].flags = flags[i];
		memcpy(fprs[i], keys[i].fpr.p, 20);
	}
	buf_init(&m->raw, PGP_CERT_MAX);
	ck_assert_msg(pgp_certmake(&spec, &by_hand, &m->raw, &e) == 0, "%s", e.text);
	if (how->revoked)
		revoke_primary(m, now, &by_hand);
	c = pgp_cert_read(buf_ptr(&m->raw), buf_len(&m->raw), now, &e);
	ck_assert_msg(c != NULL, "%s", e.text);
	buf_init(&enc, PGP_CERT_MAX);
	m->c.consumer = consumer;
	m->c.secret = (uint8_t)secret;
	m->c.added = now;
	m->c.cert.v = (struct cert *)(uintptr_t)c->rec;
	m->c.cert.n = 1;
	m->c.raw = (struct bytes){buf_ptr(&m->raw), buf_len(&m->raw)};
	/* Copied, so that it does not hang on c. */
	ck_assert_int_eq(rec_encode(&rec_cert, c->rec, &enc), 0);
	buf_put(&m->raw, buf_ptr(&enc), buf_len(&enc));
	m->c.raw.p = buf_ptr(&m->raw);
	m->rec = rec_decode(&rec_cert, buf_ptr(&m->raw) + m->c.raw.n, buf_len(&enc));
	ck_assert_ptr_nonnull(m->rec);
	m->c.cert.v = m->rec;
	buf_free(&enc);
	pgp_cert_free(c);
	for (i = 0; i < 3; i++)
		pgp_skey_free(skeys[i]);
}

void
made_free(struct made *m)
{
	free(m->rec);
	buf_free(&m->raw);
}

void
world_cert(struct made *m, const struct making *how, const char *consumer, int secret)
{
	struct cert_put q = {.cert = {&m->c, 1}};
	char text[501];

	make_cert(m, how, consumer, secret);
	ck_assert_msg(
	    world_change(secret ? &keyctl : &gwctl, M_cert_put, &q, text) == ADMIN_OK, "%s", text);
}

static void
take_grant(struct ipc_msg *m)
{
	ck_assert_msg(world_poll(&cryptod, m) == 1, "cryptod was not asked");
	ck_assert_str_eq(m->def->name, "grant_req");
}

void
world_granted(struct ipc_msg *m)
{
	take_grant(m);
	ck_assert_uint_eq(m->id, 0);
}

void
world_cryptod_dies(void)
{
	ipc_close(&cryptod);
	cryptod.fd = -1;
	world_turn();
}

void
world_grant(struct ipc_msg *m, enum crypto_status status)
{
	struct grant_rep r = {.status = (uint8_t)status};

	take_grant(m);
	ck_assert_uint_ne(m->id, 0);
	ck_assert_int_eq(ipc_queue(&cryptod, M_grant_rep, m->id, &r, -1), 0);
	ck_assert_int_eq(ipc_flush(&cryptod), 1);
	world_turn();
}
