/* The queue's way in: addresses, screening, sessions of recipients and of logins by SASL. */
#include <string.h>

#include "t/unit/policyd/world.h"

Suite *whose_suite(void);

static unsigned
whose(const char *addr, int sender, char tenant[65], unsigned *reads)
{
	struct whose_req q = {.addr = addr, .sender = (uint8_t)sender};
	const struct whose_rep *p;
	struct ipc_msg m;
	unsigned r;

	world_ask(&smtpd, M_whose_req, &q, M_whose_rep, &m);
	p = m.body;
	ck_assert_uint_eq(p->defer, 0);
	r = p->whose;
	(void)strlcpy(tenant, p->tenant, 65);
	*reads = p->reads;
	ipc_done(&smtpd, &m);
	return r;
}

static void
domain_mode(const char *name, const char *tenant, enum domain_recipients mode)
{
	struct domain d = {.name = name, .tenant = tenant, .recipients = (uint8_t)mode};
	struct domain_put q = {.domain = {&d, 1}};
	char text[501];

	ck_assert_uint_eq(world_change(&gwctl, M_domain_put, &q, text), ADMIN_OK);
}

static unsigned
recipient_add(const char *addr)
{
	struct recipient r = {.addr = addr, .tenant = "x"};
	struct recipient_put q = {.recipients = {&r, 1}};
	char text[501];

	return world_change(&gwctl, M_recipient_put, &q, text);
}

START_TEST(an_address_is_judged_by_its_domain)
{
	static const struct {
		const char *addr;
		enum domain_recipients mode;
		unsigned whose;
		const char *tenant;
	} cases[] = {
	    {"alice@acme.test", DOMAIN_LIST, WHOSE_OURS, "default"},
	    {"ALICE@Acme.Test", DOMAIN_LIST, WHOSE_OURS, "default"},
	    {"alice+tag@acme.test", DOMAIN_LIST, WHOSE_OURS, "default"},
	    {"\"alice\"@acme.test", DOMAIN_LIST, WHOSE_OURS, "default"},
	    {"postmaster@acme.test", DOMAIN_LIST, WHOSE_OURS, "default"},
	    {"nobody@acme.test", DOMAIN_LIST, WHOSE_UNKNOWN, "default"},
	    {"+tag@acme.test", DOMAIN_LIST, WHOSE_UNKNOWN, "default"},
	    {"nobody@acme.test", DOMAIN_ASK, WHOSE_ASK, "default"},
	    {"nobody@acme.test", DOMAIN_ANY, WHOSE_OURS, "default"},
	    {"x@listed.acme.test", DOMAIN_LIST, WHOSE_FOREIGN, ""},
	    {"bob@out.test", DOMAIN_LIST, WHOSE_FOREIGN, ""},
	    {"bob%out.test@acme.test", DOMAIN_LIST, WHOSE_UNKNOWN, "default"},
	    {"out.test!bob@acme.test", DOMAIN_LIST, WHOSE_UNKNOWN, "default"},
	    {"alice@acme.test.", DOMAIN_LIST, WHOSE_OURS, "default"},
	    {"alice@[127.0.0.1]", DOMAIN_LIST, WHOSE_FOREIGN, ""},
	    {"no address", DOMAIN_LIST, WHOSE_FOREIGN, ""},
	};
	unsigned got, reads;
	char tenant[65];
	size_t i;

	world_begin();
	world_people();
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		domain_mode("acme.test", "default", cases[i].mode);
		got = whose(cases[i].addr, 0, tenant, &reads);
		ck_assert_msg(got == cases[i].whose, "%s: %u", cases[i].addr, got);
		ck_assert_str_eq(tenant, cases[i].tenant);
		ck_assert_uint_eq(reads, 0);
	}
	world_end();
}
END_TEST

START_TEST(the_list_has_addresses_and_whole_domains)
{
	unsigned reads;
	char tenant[65];

	world_begin();
	world_people();
	domain_mode("acme.test", "default", DOMAIN_LIST);
	ck_assert_uint_eq(recipient_add("sales@elsewhere.test"), ADMIN_NOTFOUND);
	ck_assert_uint_eq(recipient_add("not an address"), ADMIN_INVALID);
	ck_assert_uint_eq(whose("sales@acme.test", 0, tenant, &reads), WHOSE_UNKNOWN);
	ck_assert_uint_eq(recipient_add("Sales@ACME.test"), ADMIN_OK);
	ck_assert_uint_eq(whose("sales@acme.test", 0, tenant, &reads), WHOSE_OURS);
	ck_assert_uint_eq(whose("sales+x@acme.test", 0, tenant, &reads), WHOSE_OURS);
	ck_assert_uint_eq(recipient_add("@acme.test"), ADMIN_OK);
	ck_assert_uint_eq(whose("whoever@acme.test", 0, tenant, &reads), WHOSE_OURS);
	world_end();
}
END_TEST

START_TEST(who_has_a_key_here_can_have_his_mail_opened)
{
	struct made alice;
	unsigned reads;
	char tenant[65];

	world_begin();
	world_people();
	world_cert(&alice, &(struct making){.uid = "Alice <alice@acme.test>"}, "alice", 1);
	ck_assert_uint_eq(whose("alice@acme.test", 0, tenant, &reads), WHOSE_OURS);
	ck_assert_uint_eq(reads, 1);
	/* Of a sender nothing of the kind is told. */
	ck_assert_uint_eq(whose("alice@acme.test", 1, tenant, &reads), WHOSE_OURS);
	ck_assert_uint_eq(reads, 0);
	made_free(&alice);
	world_end();
}
END_TEST

static int
open_at(const struct session_open_req *q, struct opened *o)
{
	const struct session_open_rep *p;
	struct ipc_msg m;

	(void)world_send(&smtpd, M_session_open_req, q);
	if (!world_poll(&smtpd, &m))
		return 0;
	p = m.body;
	memcpy(o->id, p->session.p, SESSION_ID);
	(void)strlcpy(o->consumer, p->consumer, sizeof o->consumer);
	ipc_done(&smtpd, &m);
	return 1;
}

START_TEST(a_recipients_session_is_where_mail_is_opened_at_the_door)
{
	static const struct {
		const char *connector, *rcpt, *authcid, *consumer;
	} cases[] = {
	    {"mx", "alice@acme.test", "", "alice"},
	    {"mx", "alice+tag@acme.test", "", "alice"},
	    {"mx", "bob@out.test", "", ""},
	    {"mx", "bob+tag@out.test", "", ""},
	    {"mx", "alice@acme.test", "alice", ""},
	    {"passes", "alice@acme.test", "", ""},
	    {"relay", "alice@acme.test", "", ""},
	};
	struct opened o;
	size_t i;

	world_begin();
	world_people();
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct session_open_req q = {.tenant = "default",
		    .connector = cases[i].connector,
		    .peer = "",
		    .authzid = "",
		    .authcid = cases[i].authcid,
		    .client = "",
		    .rcpt = cases[i].rcpt};

		ck_assert_int_eq(open_at(&q, &o), 1);
		ck_assert_msg(strcmp(o.consumer, cases[i].consumer) == 0, "%s at %s: %s",
		    cases[i].rcpt, cases[i].connector, o.consumer);
	}
	world_end();
}
END_TEST

START_TEST(a_recipients_session_signs_nothing)
{
	struct session_open_req s = {.tenant = "default",
	    .connector = "mx",
	    .peer = "",
	    .authzid = "",
	    .authcid = "",
	    .client = "",
	    .rcpt = "alice@acme.test"};
	struct plan_req q = {.sender = "alice@acme.test", .from = "alice@acme.test", .sign = 1};
	const struct plan_rep *p;
	struct ipc worker;
	struct made alice;
	struct opened o;
	struct ipc_msg m;

	world_begin();
	world_people();
	world_cert(&alice, &(struct making){.uid = "Alice <alice@acme.test>"}, "alice", 1);
	ck_assert_int_eq(open_at(&s, &o), 1);
	ck_assert_str_eq(o.consumer, "alice");
	world_worker(&worker, o.id);
	(void)world_send(&worker, M_plan_req, &q);
	ck_assert_int_eq(world_poll(&worker, &m), 1);
	p = m.body;
	ck_assert_uint_eq(p->sign, SIGN_DEFER);
	ck_assert_uint_eq(p->job.n, 0);
	ipc_done(&worker, &m);
	ipc_close(&worker);
	made_free(&alice);
	world_end();
}
END_TEST

START_TEST(a_login_by_sasl_is_looked_up_under_the_connectors_name)
{
	static const struct {
		const char *connector, *peer, *authcid, *consumer;
		int answered;
	} cases[] = {
	    {"users", "users", "alice", "alice", 1},
	    {"users", "users", "alice@acme.test", "alice", 1},
	    {"users", "users", "alice*chief", "", 1},
	    {"users", "users", "nobody", "", 1},
	    {"users", "", "alice", "", 1},
	    {"users", "office", "alice", "", 0},
	    {"relay", "users", "alice", "", 0},
	    {"mx", "users", "alice", "", 0},
	};
	struct opened o;
	size_t i;

	world_begin();
	world_people();
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct session_open_req q = {.tenant = "default",
		    .connector = cases[i].connector,
		    .peer = cases[i].peer,
		    .authzid = "",
		    .authcid = cases[i].authcid,
		    .client = "",
		    .rcpt = ""};

		memset(&o, 0, sizeof o);
		ck_assert_msg(open_at(&q, &o) == cases[i].answered, "%zu", i);
		ck_assert_msg(strcmp(o.consumer, cases[i].consumer) == 0, "%zu: %s", i, o.consumer);
	}
	world_end();
}
END_TEST

START_TEST(a_worker_is_needed_where_there_is_a_key_or_a_doubt)
{
	static const struct {
		const char *sender, *rcpt;
		unsigned worker;
	} cases[] = {
	    {"chief@acme.test", "somebody@out.test", 0},
	    {"", "somebody@out.test", 0},
	    {"chief@acme.test", "alice@acme.test", 1}, /* can be encrypted */
	    {"alice@acme.test", "somebody@out.test", 1}, /* can be signed */
	    {"eve@out.test", "somebody@out.test", 1}, /* a sender from outside is refused */
	    {"chief@acme.test", "no address", 1},
	};
	struct session_open_req s = {.tenant = "default",
	    .connector = "relay",
	    .peer = "",
	    .authzid = "",
	    .authcid = "",
	    .by_address = 1,
	    .client = "",
	    .rcpt = ""};
	static const uint8_t wrong[SESSION_ID];
	struct ipc_msg m;
	struct made alice;
	struct opened o;
	size_t i;

	world_begin();
	world_people();
	world_cert(&alice, &(struct making){.uid = "Alice <alice@acme.test>"}, "alice", 1);
	ck_assert_int_eq(open_at(&s, &o), 1);
	for (i = 0; i <= sizeof cases / sizeof cases[0]; i++) {
		size_t k = i < sizeof cases / sizeof cases[0] ? i : 0;
		struct mailbox rcpt = {.addr = cases[k].rcpt};
		struct screen_req q = {
		    .session = {k == i ? o.id : wrong, SESSION_ID}, .sender = cases[k].sender};
		unsigned want = k == i ? cases[k].worker : 1, got;

		q.rcpts.v = &rcpt;
		q.rcpts.n = 1;
		world_ask(&smtpd, M_screen_req, &q, M_screen_rep, &m);
		got = ((const struct screen_rep *)m.body)->worker;
		ck_assert_msg(got == want, "%zu: %u", i, got);
		ipc_done(&smtpd, &m);
	}
	made_free(&alice);
	world_end();
}
END_TEST

Suite *
whose_suite(void)
{
	Suite *s = suite_create("whose");
	TCase *c = tcase_create("whose");

	tcase_add_test(c, an_address_is_judged_by_its_domain);
	tcase_add_test(c, the_list_has_addresses_and_whole_domains);
	tcase_add_test(c, who_has_a_key_here_can_have_his_mail_opened);
	tcase_add_test(c, a_recipients_session_is_where_mail_is_opened_at_the_door);
	tcase_add_test(c, a_recipients_session_signs_nothing);
	tcase_add_test(c, a_login_by_sasl_is_looked_up_under_the_connectors_name);
	tcase_add_test(c, a_worker_is_needed_where_there_is_a_key_or_a_doubt);
	suite_add_tcase(s, c);
	return s;
}
