/* Outbound: who may sign, and to which keys. */
#include <string.h>

#include "t/unit/policyd/world.h"

Suite *plan_suite(void);

static struct ipc worker;

static void
ask_plan(const struct opened *s, const char *sender, const char *from, struct ipc_msg *m)
{
	struct plan_req q = {.sender = sender, .from = from, .sign = 1};

	world_worker(&worker, s->id);
	world_ask(&worker, M_plan_req, &q, M_plan_rep, m);
}

START_TEST(signs_only_as_the_consumer_of_the_session)
{
	static const struct {
		const char *login, *sender, *from, *why;
	} cases[] = {
	    {"alice", "chief@acme.test", "alice@acme.test", "envelope"},
	    {"alice", "alice@acme.test", "chief@acme.test", "From"},
	    {"alice", "chief@acme.test", "chief@acme.test", "envelope"},
	    {"alice", "alice@acme.test", "", "From"}, /* two, or none */
	    {"alice", "", "alice@acme.test", "envelope"},
	    {"alice", "alice@acme.test", "alice@acme.test.evil", "From"},
	    {"alice", "alice@acme.test", "alice", "From"},
	    {"nobody", "alice@acme.test", "alice@acme.test", "no consumer"},
	    {"alice*master", "alice@acme.test", "alice@acme.test", "no consumer"},
	    /* has no key of its own; alice's certificate is of no use to him */
	    {"mallory", "mallory@acme.test", "mallory@acme.test", "no valid key"},
	};
	const struct plan_rep *r;
	struct made alice, chief;
	struct opened s;
	struct ipc_msg m;
	size_t i;

	world_begin();
	world_people();
	world_cert(&alice, &(struct making){.uid = "Alice <alice@acme.test>"}, "alice", 1);
	world_cert(&chief, &(struct making){.uid = "Chief <chief@acme.test>"}, "chief", 1);
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		s = world_login("office", "", cases[i].login);
		ask_plan(&s, cases[i].sender, cases[i].from, &m);
		r = m.body;
		ck_assert_msg(r->sign == SIGN_NO && strstr(r->why, cases[i].why) != NULL,
		    "case %zu: %u '%s'", i, r->sign, r->why);
		ck_assert_uint_eq(r->job.n, 0);
		ck_assert_uint_eq(r->signer.n, 0);
		ipc_done(&worker, &m);
		ipc_close(&worker);
	}
	ck_assert_int_eq(world_poll(&cryptod, &m), 0); /* nothing was granted */
	made_free(&alice);
	made_free(&chief);
	world_end();
}
END_TEST

START_TEST(grants_one_signing_key_to_one_worker)
{
	struct plan_req q = {.sender = "Alice@Acme.test", .from = "alice@acme.test", .sign = 1};
	const struct grant_req *g;
	const struct plan_rep *r;
	struct ipc_msg m, x;
	struct opened s;
	struct made a;
	uint8_t job[JOB_ID];
	uint64_t id;

	world_begin();
	world_people();
	world_cert(&a, &(struct making){.uid = "Alice <alice@acme.test>"}, "alice", 1);
	s = world_login("office", "", "alice");
	world_worker(&worker, s.id);
	id = world_send(&worker, M_plan_req, &q);
	world_granted(&x);
	g = x.body;
	ck_assert_uint_eq(g->op, OP_SIGN);
	ck_assert_str_eq(g->consumer, "alice");
	ck_assert_uint_eq(g->keys.n, 1);
	ck_assert_mem_eq(g->keys.v[0].key.p, a.sign, 20);
	ck_assert_uint_eq(g->max, GRANT_MAX);
	memcpy(job, g->job.p, JOB_ID);
	ipc_done(&cryptod, &x);
	ck_assert_int_eq(world_poll(&worker, &m), 1);
	r = m.body;
	ck_assert_uint_eq(m.id, id);
	ck_assert_uint_eq(r->sign, SIGN_YES);
	ck_assert_uint_eq(r->job.n, JOB_ID);
	ck_assert_mem_eq(r->job.p, job, JOB_ID);
	ck_assert_mem_eq(r->sign_key.p, a.sign, 20);
	ck_assert_str_eq(r->consumer, "alice");
	ck_assert_uint_eq(r->signer.n, 1);
	ipc_done(&worker, &m);
	ipc_close(&worker);
	made_free(&a);
	world_end();
}
END_TEST

/* cryptod must find the grant of whatever a worker asks of it, however soon. */
START_TEST(a_grant_is_in_cryptods_socket_before_the_worker_is_answered)
{
	struct plan_req q = {.sender = "alice@acme.test", .from = "alice@acme.test", .sign = 1};
	const uint8_t *job;
	struct ipc_msg m, x;
	struct opened s;
	struct made a;
	unsigned turns;

	world_begin();
	world_people();
	world_cert(&a, &(struct making){.uid = "Alice <alice@acme.test>"}, "alice", 1);
	s = world_login("office", "", "alice");
	world_worker(&worker, s.id);
	ck_assert_int_eq(ipc_queue(&worker, M_plan_req, 1, &q, -1), 0);
	ck_assert_int_eq(ipc_flush(&worker), 1);
	for (turns = 0; ipc_fill(&worker) == 0; turns++) {
		ck_assert_uint_lt(turns, 100);
		(void)event_base_loop(proc_env()->base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
	}
	/* The loop does not turn any more: what cryptod has now it had then. */
	ck_assert_int_eq(ipc_next(&worker, &m), 1);
	ck_assert_int_eq(ipc_fill(&cryptod), 1);
	ck_assert_int_eq(ipc_next(&cryptod, &x), 1);
	ck_assert_uint_eq(x.id, 0);
	job = ((const struct plan_rep *)m.body)->job.p;
	ck_assert_mem_eq(((const struct grant_req *)x.body)->job.p, job, JOB_ID);
	ipc_done(&worker, &m);
	ipc_done(&cryptod, &x);
	ipc_close(&worker);
	made_free(&a);
	world_end();
}
END_TEST

START_TEST(defers_when_the_key_store_cannot_grant)
{
	static const struct {
		enum crypto_status status;
		const char *why;
	} cases[] = {{CRYPTO_LOCKED, "locked"}, {CRYPTO_NOKEY, "not in the key store"},
	    {CRYPTO_BUSY, "busy"}, {CRYPTO_DENIED, "refuses"}, {CRYPTO_FAILED, "busy"}};
	struct plan_req q = {.sender = "alice@acme.test", .from = "alice@acme.test", .sign = 1};
	const struct plan_rep *r;
	struct ipc_msg m, x;
	struct opened s;
	struct made a;
	size_t i;

	world_begin();
	world_people();
	world_cert(&a, &(struct making){.uid = "Alice <alice@acme.test>"}, "alice", 1);
	s = world_login("office", "", "alice");
	world_worker(&worker, s.id);
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		world_cryptod_dies();
		(void)world_send(&worker, M_plan_req, &q);
		ck_assert_int_eq(world_poll(&worker, &m), 0);
		world_plumb(&cryptod, P_CRYPTOD);
		world_grant(&x, cases[i].status);
		ipc_done(&cryptod, &x);
		ck_assert_int_eq(world_poll(&worker, &m), 1);
		r = m.body;
		ck_assert_uint_eq(r->sign, SIGN_DEFER);
		ck_assert_msg(strstr(r->why, cases[i].why) != NULL, "case %zu: %s", i, r->why);
		ck_assert_uint_eq(r->job.n, 0);
		ck_assert_uint_eq(r->sign_key.n, 0);
		ck_assert_uint_eq(r->signer.n, 0);
		ipc_done(&worker, &m);
	}
	ipc_close(&worker);
	made_free(&a);
	world_end();
}
END_TEST

START_TEST(asks_the_successor_of_a_cryptod_that_died)
{
	struct plan_req q = {.sender = "alice@acme.test", .from = "alice@acme.test", .sign = 1};
	struct ipc_msg m, x;
	struct opened s;
	struct made a;

	world_begin();
	world_people();
	world_cert(&a, &(struct making){.uid = "Alice <alice@acme.test>"}, "alice", 1);
	s = world_login("office", "", "alice");
	world_worker(&worker, s.id);
	world_cryptod_dies();
	(void)world_send(&worker, M_plan_req, &q);
	ck_assert_int_eq(world_poll(&worker, &m), 0);
	world_plumb(&cryptod, P_CRYPTOD);
	world_grant(&x, CRYPTO_OK);
	ipc_done(&cryptod, &x);
	ck_assert_int_eq(world_poll(&worker, &m), 1);
	ck_assert_uint_eq(((const struct plan_rep *)m.body)->sign, SIGN_YES);
	ipc_done(&worker, &m);
	ipc_close(&worker);
	made_free(&a);
	world_end();
}
END_TEST

START_TEST(a_worker_that_floods_is_deferred_and_one_that_died_is_forgotten)
{
	struct plan_req q = {.sender = "alice@acme.test", .from = "alice@acme.test", .sign = 1};
	unsigned i, asked = 0, deferred = 0;
	struct ipc_msg m;
	struct opened s;
	struct made a;

	world_begin();
	world_people();
	world_cert(&a, &(struct making){.uid = "Alice <alice@acme.test>"}, "alice", 1);
	s = world_login("office", "", "alice");
	world_worker(&worker, s.id);
	world_cryptod_dies();
	for (i = 0; i < 20; i++)
		(void)world_send(&worker, M_plan_req, &q);
	world_plumb(&cryptod, P_CRYPTOD);
	world_turn();
	for (; world_poll(&cryptod, &m); asked++)
		ipc_done(&cryptod, &m);
	for (; world_poll(&worker, &m); deferred++) {
		ck_assert_uint_eq(((const struct plan_rep *)m.body)->sign, SIGN_DEFER);
		ipc_done(&worker, &m);
	}
	ck_assert_uint_eq(asked + deferred, 20);
	ck_assert_uint_eq(asked, 8);
	ipc_close(&worker);
	world_turn();
	made_free(&a);
	world_end();
}
END_TEST

START_TEST(an_unknown_session_is_deferred)
{
	const uint8_t none[SESSION_ID] = {1};
	struct plan_req q = {.sender = "alice@acme.test", .from = "alice@acme.test", .sign = 1};
	struct ipc_msg m;

	world_begin();
	world_people();
	world_worker(&worker, none);
	world_ask(&worker, M_plan_req, &q, M_plan_rep, &m);
	ck_assert_uint_eq(((const struct plan_rep *)m.body)->sign, SIGN_DEFER);
	ck_assert_ptr_nonnull(strstr(((const struct plan_rep *)m.body)->why, "session"));
	ipc_done(&worker, &m);
	ipc_close(&worker);
	world_end();
}
END_TEST

START_TEST(by_address_the_sender_decides_and_nothing_is_opened)
{
	static const struct {
		const char *sender, *from, *consumer;
		int asked;
	} cases[] = {
	    {"alice@acme.test", "alice@acme.test", "alice", 1},
	    {"alice@acme.test", "chief@acme.test", "alice", 0},
	    {"mallory@acme.test", "alice@acme.test", "mallory", 0},
	    {"bob@out.test", "bob@out.test", "", 0}, /* not ours */
	    {"eve@other.test", "eve@other.test", "", 0}, /* not this tenant's */
	    {"", "alice@acme.test", "", 0},
	};
	struct opening_req o;
	struct ipc_msg m, x;
	struct opened s;
	struct made a;
	struct key_id id;
	size_t i;

	world_begin();
	world_people();
	world_cert(&a, &(struct making){.uid = "Alice <alice@acme.test>"}, "alice", 1);
	s = world_login_at("default", "office", "", "", 1);
	ck_assert_str_eq(s.consumer, "");
	world_worker(&worker, s.id);
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct plan_req q = {.sender = cases[i].sender, .from = cases[i].from, .sign = 1};

		(void)world_send(&worker, M_plan_req, &q);
		if (cases[i].asked) {
			world_granted(&x);
			ipc_done(&cryptod, &x);
		}
		ck_assert_int_eq(world_poll(&worker, &m), 1);
		ck_assert_str_eq(((const struct plan_rep *)m.body)->consumer, cases[i].consumer);
		ck_assert_uint_eq(
		    ((const struct plan_rep *)m.body)->sign, cases[i].asked ? SIGN_YES : SIGN_NO);
		ipc_done(&worker, &m);
	}
	id.id = (struct bytes){a.encrypt, 20};
	o.ids.v = &id;
	o.ids.n = 1;
	world_ask(&worker, M_opening_req, &o, M_opening_rep, &m);
	ck_assert_uint_eq(((const struct opening_rep *)m.body)->result, OPENING_NOKEY);
	ipc_done(&worker, &m);
	ipc_close(&worker);
	/* With a login there is no deciding by address, whatever the proxy says. */
	s = world_login_at("default", "office", "", "nobody", 1);
	ask_plan(&s, "alice@acme.test", "alice@acme.test", &m);
	ck_assert_uint_eq(((const struct plan_rep *)m.body)->sign, SIGN_NO);
	ipc_done(&worker, &m);
	ipc_close(&worker);
	made_free(&a);
	world_end();
}
END_TEST

START_TEST(tells_a_sender_of_a_foreign_domain_from_our_own)
{
	static const struct {
		const char *sender;
		int outside;
	} cases[] = {
	    {"alice@acme.test", 0}, {"nobody.yet@ACME.test", 0}, {"bob@out.test", 1},
	    {"eve@other.test", 1}, /* another tenant's domain */
	    {"alice@acme.test.evil.test", 1}, {"no address", 1}, {"", 0}, /* notices */
	};
	struct ipc_msg m;
	struct opened s;
	size_t i;

	world_begin();
	world_people();
	s = world_login_at("default", "office", "", "", 0);
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ask_plan(&s, cases[i].sender, cases[i].sender, &m);
		ck_assert_int_eq(((const struct plan_rep *)m.body)->outside, cases[i].outside);
		ipc_done(&worker, &m);
		ipc_close(&worker);
	}
	world_end();
}
END_TEST

START_TEST(tells_which_keys_a_recipient_has_and_why_none)
{
	static const struct {
		struct making how;
		unsigned status;
		const char *why;
	} cases[] = {
	    {{.uid = "B <bob@out.test>"}, KEYS_FOUND, ""},
	    {{.uid = "B <bob@out.test>", .expires = 1000}, KEYS_FOUND, ""},
	    {{.uid = "B <bob@out.test>", .made = -100000, .expires = -50000}, KEYS_UNUSABLE,
		"expired on"},
	    {{.uid = "B <bob@out.test>", .revoked = 1}, KEYS_UNUSABLE, "revoked"},
	    {{.uid = "B <bob@out.test>", .keys = 1}, KEYS_UNUSABLE, "no key for encryption"},
	};
	struct mailbox rcpts[] = {{"Bob@OUT.test"}, {"nobody@out.test"}, {"alice@acme.test"},
	    {"eve@other.test"}, {"not an address"}};
	struct plan_req q = {.sender = "", .from = "", .rcpts = {rcpts, 5}};
	const struct plan_rep *r;
	struct ipc_msg m;
	struct opened s;
	struct made b;
	size_t i, k;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		world_begin();
		world_people();
		world_cert(&b, &cases[i].how, "bob", 0);
		s = world_login("office", "", "nobody");
		world_worker(&worker, s.id);
		world_ask(&worker, M_plan_req, &q, M_plan_rep, &m);
		r = m.body;
		ck_assert_uint_eq(r->rcpts.n, 5);
		ck_assert_msg(r->rcpts.v[0].status == cases[i].status, "case %zu: status %u '%s'",
		    i, r->rcpts.v[0].status, r->rcpts.v[0].why);
		ck_assert_msg(strstr(r->rcpts.v[0].why, cases[i].why) != NULL, "case %zu: '%s'", i,
		    r->rcpts.v[0].why);
		ck_assert_uint_eq(r->rcpts.v[0].certs.n, cases[i].status == KEYS_FOUND);
		for (k = 1; k < 5; k++) {
			ck_assert_uint_eq(r->rcpts.v[k].status, KEYS_NONE);
			ck_assert_str_eq(r->rcpts.v[k].why, "");
			ck_assert_uint_eq(r->rcpts.v[k].internal, k == 2);
		}
		ipc_done(&worker, &m);
		ipc_close(&worker);
		made_free(&b);
		world_end();
	}
}
END_TEST

START_TEST(encrypts_to_every_valid_key_of_a_recipient)
{
	static const struct making how[] = {{.uid = "B <bob@out.test>"},
	    {.uid = "B <bob@out.test>", .made = -100000, .expires = -50000},
	    {.uid = "B <bob@out.test>"}};
	struct mailbox rcpt = {"bob@out.test"};
	struct plan_req q = {.sender = "", .from = "", .rcpts = {&rcpt, 1}};
	const struct plan_rep *r;
	struct made b[10];
	struct ipc_msg m;
	struct opened s;
	size_t i;

	world_begin();
	world_people();
	for (i = 0; i < 10; i++)
		world_cert(&b[i], &how[i % 3], "bob", 0);
	s = world_login("office", "", "nobody");
	world_worker(&worker, s.id);
	world_ask(&worker, M_plan_req, &q, M_plan_rep, &m);
	r = m.body;
	ck_assert_uint_eq(r->rcpts.v[0].status, KEYS_FOUND);
	ck_assert_uint_eq(r->rcpts.v[0].certs.n, 7);
	ck_assert_str_eq(r->rcpts.v[0].why, "");
	ipc_done(&worker, &m);
	ipc_close(&worker);
	for (i = 0; i < 10; i++)
		made_free(&b[i]);
	world_end();
}
END_TEST

Suite *
plan_suite(void)
{
	const TTest *const tests[] = {signs_only_as_the_consumer_of_the_session,
	    grants_one_signing_key_to_one_worker,
	    a_grant_is_in_cryptods_socket_before_the_worker_is_answered,
	    defers_when_the_key_store_cannot_grant, asks_the_successor_of_a_cryptod_that_died,
	    a_worker_that_floods_is_deferred_and_one_that_died_is_forgotten,
	    an_unknown_session_is_deferred, by_address_the_sender_decides_and_nothing_is_opened,
	    tells_a_sender_of_a_foreign_domain_from_our_own,
	    tells_which_keys_a_recipient_has_and_why_none,
	    encrypts_to_every_valid_key_of_a_recipient, NULL};

	return unit_suite("plan", tests);
}
