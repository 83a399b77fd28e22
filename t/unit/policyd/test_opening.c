/* Retrieval: whose keys open, who signed. */
#include <string.h>

#include "openpgp/pk.h"
#include "t/unit/policyd/world.h"

Suite *opening_suite(void);

static struct ipc worker;

/* Ask to open a message with these key ids. */
static void
ask_opening(const struct opened *s, struct bytes *ids, size_t n)
{
	struct key_id v[8];
	struct opening_req q = {.ids = {v, n}};
	size_t i;

	for (i = 0; i < n; i++)
		v[i].id = ids[i];
	world_worker(&worker, s->id);
	(void)world_send(&worker, M_opening_req, &q);
}

static unsigned
result(char why[256])
{
	const struct opening_rep *r;
	struct ipc_msg m;
	unsigned res;

	ck_assert_int_eq(world_poll(&worker, &m), 1);
	r = m.body;
	res = r->result;
	if (res != OPENING_GRANTED) {
		ck_assert_uint_eq(r->job.n, 0);
		ck_assert_uint_eq(r->keys.n, 0);
	}
	(void)strlcpy(why, r->why, 256);
	ipc_done(&worker, &m);
	ipc_close(&worker);
	return res;
}

START_TEST(mallory_does_not_open_what_is_alices)
{
	static const uint8_t hidden[8];
	struct made alice, mallory, copy;
	struct opened s;
	struct ipc_msg m;
	struct bytes ids[3];
	char why[256];

	world_begin();
	world_people();
	world_cert(&alice, &(struct making){.uid = "Alice <alice@acme.test>"}, "alice", 1);
	s = world_login("office", "", "mallory");
	ids[0] = (struct bytes){pgp_keyid(alice.encrypt, 20), 8};
	ids[1] = (struct bytes){alice.encrypt, 20};
	ids[2] = (struct bytes){hidden, 8};
	/* without a key of his own, */
	ask_opening(&s, ids, 3);
	ck_assert_uint_eq(result(why), OPENING_NOKEY);
	/* with alice's certificate as his own, which he has from her mail, */
	make_cert(&copy, &(struct making){.uid = "Alice <alice@acme.test>"}, "mallory", 0);
	made_free(&copy);
	alice.c.consumer = "mallory";
	ck_assert_uint_eq(
	    world_change(&gwctl, M_cert_put, &(struct cert_put){.cert = {&alice.c, 1}}, NULL),
	    ADMIN_OK);
	ask_opening(&s, ids, 3);
	ck_assert_uint_eq(result(why), OPENING_NOKEY);
	/* and with one of his own: only that is granted. */
	world_cert(&mallory, &(struct making){.uid = "M <mallory@acme.test>"}, "mallory", 1);
	ask_opening(&s, ids, 2);
	ck_assert_uint_eq(result(why), OPENING_NOKEY);
	ask_opening(&s, ids, 3);
	world_granted(&m);
	ck_assert_uint_eq(((const struct grant_req *)m.body)->keys.n, 1);
	ck_assert_mem_eq(((const struct grant_req *)m.body)->keys.v[0].key.p, mallory.encrypt, 20);
	ck_assert_str_eq(((const struct grant_req *)m.body)->consumer, "mallory");
	ipc_done(&cryptod, &m);
	ck_assert_uint_eq(result(why), OPENING_GRANTED);
	made_free(&alice);
	made_free(&mallory);
	world_end();
}
END_TEST

START_TEST(old_keys_open_old_mail)
{
	static const struct making how[] = {
	    {.uid = "Alice <alice@acme.test>"},
	    {.uid = "Alice <alice@acme.test>", .made = -100000, .expires = -50000},
	    {.uid = "Alice <alice@acme.test>", .revoked = 1},
	};
	struct opened s;
	struct ipc_msg m;
	struct made a[3];
	struct bytes id;
	char why[256];
	size_t i;

	world_begin();
	world_people();
	for (i = 0; i < 3; i++)
		world_cert(&a[i], &how[i], "alice", 1);
	s = world_login("office", "", "alice");
	for (i = 0; i < 3; i++) {
		id = (struct bytes){pgp_keyid(a[i].encrypt, 20), 8};
		ask_opening(&s, &id, 1);
		world_granted(&m);
		ck_assert_uint_eq(((const struct grant_req *)m.body)->op, OP_UNWRAP);
		ck_assert_uint_eq(((const struct grant_req *)m.body)->keys.n, 1);
		ck_assert_mem_eq(
		    ((const struct grant_req *)m.body)->keys.v[0].key.p, a[i].encrypt, 20);
		ipc_done(&cryptod, &m);
		ck_assert_uint_eq(result(why), OPENING_GRANTED);
		made_free(&a[i]);
	}
	world_end();
}
END_TEST

START_TEST(a_locked_store_defers_and_a_missing_key_does_not)
{
	static const struct {
		enum crypto_status status;
		unsigned result;
	} cases[] = {{CRYPTO_LOCKED, OPENING_DEFER}, {CRYPTO_BUSY, OPENING_DEFER},
	    {CRYPTO_FAILED, OPENING_DEFER}, {CRYPTO_DENIED, OPENING_DEFER},
	    {CRYPTO_NOKEY, OPENING_NOKEY}, {CRYPTO_OK, OPENING_GRANTED}};
	struct opened s;
	struct ipc_msg m;
	struct bytes id;
	char why[256];
	struct made a;
	size_t i;

	world_begin();
	world_people();
	world_cert(&a, &(struct making){.uid = "Alice <alice@acme.test>"}, "alice", 1);
	s = world_login("office", "", "alice");
	id = (struct bytes){a.encrypt, 20};
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		world_cryptod_dies();
		ask_opening(&s, &id, 1);
		world_plumb(&cryptod, P_CRYPTOD);
		world_grant(&m, cases[i].status);
		ipc_done(&cryptod, &m);
		ck_assert_msg(
		    result(why) == cases[i].result, "status %u: '%s'", cases[i].status, why);
		ck_assert((why[0] == '\0') == (cases[i].result == OPENING_GRANTED));
	}
	made_free(&a);
	world_end();
}
END_TEST

START_TEST(an_unknown_session_is_deferred)
{
	const struct opened none = {.id = {7}};
	struct bytes id = {(const uint8_t *)"12345678", 8};
	char why[256];

	world_begin();
	world_people();
	ask_opening(&none, &id, 1);
	ck_assert_uint_eq(result(why), OPENING_DEFER);
	world_end();
}
END_TEST

START_TEST(a_worker_keeps_to_its_session)
{
	struct opened alice, mallory;
	struct made a, b;
	struct ipc_msg m;
	struct ipc other;
	struct bytes id;
	char why[256];

	world_begin();
	world_people();
	world_cert(&a, &(struct making){.uid = "Alice <alice@acme.test>"}, "alice", 1);
	world_cert(&b, &(struct making){.uid = "M <mallory@acme.test>"}, "mallory", 1);
	alice = world_login("office", "", "alice");
	mallory = world_login("office", "", "mallory");
	/* Both work at the same time; the grants name different workers. */
	id = (struct bytes){a.encrypt, 20};
	world_worker(&other, alice.id);
	ask_opening(&mallory, &id, 1);
	ck_assert_uint_eq(result(why), OPENING_NOKEY);
	ck_assert_int_eq(world_poll(&cryptod, &m), 0);
	/* A worker cannot make itself another one's: the message is filterd's alone. */
	ck_assert_int_eq(ipc_queue(&other, M_worker_bind, 0,
			     &(struct worker_bind){
				 .worker = {mallory.id, WORKER_ID}, .session = {mallory.id, 16}},
			     -1),
	    -1);
	ipc_close(&other);
	made_free(&a);
	made_free(&b);
	world_end();
}
END_TEST

START_TEST(who_left_or_became_external_opens_nothing)
{
	struct address addr = {"alice@acme.test"};
	struct consumer c = {
	    .id = "alice", .tenant = "default", .kind = CONSUMER_EXTERNAL, .addresses = {&addr, 1}};
	struct opened s;
	struct bytes id;
	char why[256];
	struct made a;

	world_begin();
	world_people();
	world_cert(&a, &(struct making){.uid = "Alice <alice@acme.test>"}, "alice", 1);
	s = world_login("office", "", "alice");
	id = (struct bytes){a.encrypt, 20};
	ck_assert_uint_eq(
	    world_change(&gwctl, M_consumer_put, &(struct consumer_put){.consumer = {&c, 1}}, NULL),
	    ADMIN_OK);
	ask_opening(&s, &id, 1);
	ck_assert_uint_eq(result(why), OPENING_NOKEY);
	ck_assert_uint_eq(
	    world_change(&gwctl, M_consumer_del, &(struct consumer_del){.id = "alice"}, NULL),
	    ADMIN_OK);
	ask_opening(&s, &id, 1);
	ck_assert_uint_eq(result(why), OPENING_NOKEY);
	made_free(&a);
	world_end();
}
END_TEST

START_TEST(names_signers_of_the_own_tenant_only)
{
	struct signer_req q;
	const struct signer_rep *r;
	struct opened here, there;
	struct ipc_msg m;
	struct made b;

	world_begin();
	world_people();
	world_cert(&b, &(struct making){.uid = "Chief <chief@acme.test>"}, "bob", 0);
	here = world_login("office", "", "alice");
	there = world_login_at("other", "strict", "", "eve@other.test", 0);
	q.id = (struct bytes){pgp_keyid(b.sign, 20), 8};
	world_worker(&worker, here.id);
	world_ask(&worker, M_signer_req, &q, M_signer_rep, &m);
	r = m.body;
	ck_assert_uint_eq(r->defer, 0);
	ck_assert_uint_eq(r->signers.n, 1);
	ck_assert_str_eq(r->signers.v[0].consumer, "bob");
	/* the administrator's address, not what the key says of itself */
	ck_assert_uint_eq(r->signers.v[0].addrs.n, 1);
	ck_assert_str_eq(r->signers.v[0].addrs.v[0].addr, "bob@out.test");
	ipc_done(&worker, &m);
	q.id = (struct bytes){(const uint8_t *)"12345678", 8};
	world_ask(&worker, M_signer_req, &q, M_signer_rep, &m);
	r = m.body;
	ck_assert_uint_eq(r->signers.n + r->defer, 0);
	ipc_done(&worker, &m);
	ipc_close(&worker);
	q.id = (struct bytes){b.sign, 20};
	world_worker(&worker, there.id);
	world_ask(&worker, M_signer_req, &q, M_signer_rep, &m);
	r = m.body;
	ck_assert_uint_eq(r->signers.n + r->defer, 0);
	ipc_done(&worker, &m);
	ipc_close(&worker);
	made_free(&b);
	world_end();
}
END_TEST

/* Another tenant's copies of a certificate must not push out the own ones. */
START_TEST(finds_the_own_signer_among_many_of_other_tenants)
{
	struct consumer x = {.tenant = "other", .kind = CONSUMER_EXTERNAL, .name = ""};
	struct signer_req q;
	const struct signer_rep *r;
	struct opened here;
	struct ipc_msg m;
	char name[16];
	struct made b;
	int i;

	world_begin();
	world_people();
	for (i = 0; i < 8; i++) {
		(void)snprintf(name, sizeof name, "a%d", i);
		x.id = name;
		ck_assert_int_eq(
		    world_change(&gwctl, M_consumer_put,
			&(struct consumer_put){.create = 1, .consumer = {&x, 1}}, NULL),
		    ADMIN_OK);
	}
	world_cert(&b, &(struct making){.uid = "Bob <bob@out.test>"}, "bob", 0);
	for (i = 0; i < 8; i++) {
		(void)snprintf(name, sizeof name, "a%d", i);
		b.c.consumer = name;
		ck_assert_int_eq(
		    world_change(&gwctl, M_cert_put, &(struct cert_put){.cert = {&b.c, 1}}, NULL),
		    ADMIN_OK);
	}
	here = world_login("office", "", "alice");
	q.id = (struct bytes){b.sign, 20};
	world_worker(&worker, here.id);
	world_ask(&worker, M_signer_req, &q, M_signer_rep, &m);
	r = m.body;
	ck_assert_uint_eq(r->signers.n, 1);
	ck_assert_str_eq(r->signers.v[0].consumer, "bob");
	ipc_done(&worker, &m);
	ipc_close(&worker);
	made_free(&b);
	world_end();
}
END_TEST

Suite *
opening_suite(void)
{
	const TTest *const tests[] = {mallory_does_not_open_what_is_alices, old_keys_open_old_mail,
	    a_locked_store_defers_and_a_missing_key_does_not, an_unknown_session_is_deferred,
	    a_worker_keeps_to_its_session, who_left_or_became_external_opens_nothing,
	    names_signers_of_the_own_tenant_only, finds_the_own_signer_among_many_of_other_tenants,
	    NULL};

	return unit_suite("opening", tests);
}
