/* Whose login is it? */
#include <string.h>

#include "policyd/identity.h"
#include "t/unit/policyd/world.h"

Suite *identity_suite(void);

static void
put_logins(const char *id, const char *addr, struct login *v, size_t n)
{
	struct address a = {addr};
	struct consumer c = {.id = id,
	    .tenant = "default",
	    .kind = CONSUMER_INTERNAL,
	    .addresses = {&a, 1},
	    .logins = {v, n}};
	struct consumer_put q = {.consumer = {&c, 1}};
	char text[501];

	ck_assert_msg(world_change(&gwctl, M_consumer_put, &q, text) == ADMIN_OK, "%s", text);
}

START_TEST(maps_what_the_peer_accepted_and_nothing_else)
{
	static const struct {
		const char *peer, *authzid, *authcid, *consumer;
	} cases[] = {
	    {"office", "", "alice", "alice"},
	    {"office", "", "alice@acme.test", "alice"},
	    {"office", "", "Alice@ACME.test", "alice"},
	    {"office", "alice", "alice", "alice"},
	    {"office", "alice@acme.test", "alice", "alice"},
	    {"office", "ALICE", "alice", "alice"},
	    /* acting for somebody else */
	    {"office", "alice", "mallory", ""},
	    {"office", "alice", "admin", ""},
	    {"office", "mallory", "alice", ""},
	    {"office", "alice", "", ""},
	    /* master users */
	    {"office", "", "alice*master", ""},
	    {"office", "", "alice@acme.test*master", ""},
	    {"office", "", "alice*", ""},
	    {"office", "", "*alice", ""},
	    {"office", "", "alice*MASTER@acme.test", ""},
	    {"office", "alice*master", "alice", ""},
	    /* other spellings, which the peer may take for other people */
	    {"office", "", " alice", ""},
	    {"office", "", "alice ", ""},
	    {"office", "", "alice @acme.test", ""},
	    {"office", "", "alice@ acme.test", ""},
	    {"office", "", "alice@acme.test ", ""},
	    {"office", "", "alice@acme.test.", ""},
	    {"office", "", "\"alice\"@acme.test", ""},
	    {"office", "", "alice(x)@acme.test", ""},
	    {"office", "", "<alice@acme.test>", ""},
	    {"office", "", "alice\t", ""},
	    {"office", "", "alice\n", ""},
	    {"office", "", "alice\x7f", ""},
	    {"office", "", "alice@acme.test@acme.test", ""},
	    {"office", "", "", ""},
	    {"office", "", "nobody", ""},
	    /* a peer without login_domain knows no alice */
	    {"strict", "", "alice", ""},
	    {"strict", "", "alice@acme.test", "alice"},
	    /* and where case counts, Alice is somebody else */
	    {"strict", "", "Alice@acme.test", ""},
	    {"strict", "alice@acme.test", "Alice@acme.test", ""},
	    /* people who are not ours, or not of this tenant */
	    {"office", "", "bob@out.test", ""},
	    {"office", "", "eve@other.test", ""},
	};
	struct opened o;
	size_t i;

	world_begin();
	world_people();
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		o = world_login(cases[i].peer, cases[i].authzid, cases[i].authcid);
		ck_assert_msg(strcmp(o.consumer, cases[i].consumer) == 0,
		    "case %zu: login '%s' for '%s' at %s is '%s', not '%s'", i, cases[i].authcid,
		    cases[i].authzid, cases[i].peer, o.consumer, cases[i].consumer);
	}
	world_end();
}
END_TEST

START_TEST(login_map_comes_before_addresses)
{
	static const struct {
		const char *peer, *authcid, *consumer;
	} cases[] = {
	    /* mallory's login at office is alice's address: the map decides */
	    {"office", "alice", "mallory"},
	    {"office", "alice@acme.test", "mallory"},
	    {"strict", "alice@acme.test", "alice"},
	    /* "*" is every peer, and stands behind the peer's own entry */
	    {"office", "x17", "chief"},
	    {"office", "x17@acme.test", "chief"},
	    {"strict", "x17", "chief"},
	    {"strict", "X17", ""},
	    {"office", "X17", "chief"},
	    {"office", "both", "mallory"},
	    {"strict", "both", "chief"},
	    {"office", "x17@elsewhere.test", ""},
	};
	struct login m[] = {{"office", "alice@acme.test"}, {"office", "both"}};
	struct login c[] = {{"*", "x17"}, {"*", "both"}};
	struct opened o;
	size_t i;

	world_begin();
	world_people();
	put_logins("mallory", "mallory@acme.test", m, 2);
	put_logins("chief", "chief@acme.test", c, 2);
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		o = world_login(cases[i].peer, "", cases[i].authcid);
		ck_assert_msg(strcmp(o.consumer, cases[i].consumer) == 0,
		    "case %zu: '%s' at %s is '%s', not '%s'", i, cases[i].authcid, cases[i].peer,
		    o.consumer, cases[i].consumer);
	}
	world_end();
}
END_TEST

START_TEST(tenants_do_not_see_each_other)
{
	struct opened o;

	world_begin();
	world_people();
	o = world_login_at("other", "strict", "", "eve@other.test", 0);
	ck_assert_str_eq(o.consumer, "eve");
	o = world_login_at("other", "strict", "", "alice@acme.test", 0);
	ck_assert_str_eq(o.consumer, "");
	o = world_login_at("default", "strict", "", "eve@other.test", 0);
	ck_assert_str_eq(o.consumer, "");
	world_end();
}
END_TEST

START_TEST(a_session_ends_with_its_proxy)
{
	struct opened a, b;

	world_begin();
	world_people();
	a = world_login("office", "", "alice");
	b = world_login("office", "", "alice");
	ck_assert(memcmp(a.id, b.id, SESSION_ID) != 0);
	ck_assert_uint_eq(session_count(), 2);
	ck_assert_ptr_nonnull(session_find(a.id));
	world_plumb(&pop3d, P_POP3D); /* a new pop3d in the old one's place */
	world_turn();
	ck_assert_uint_eq(session_count(), 0);
	ck_assert_ptr_null(session_find(a.id));
	a = world_login("office", "", "alice");
	ipc_close(&pop3d);
	pop3d.fd = -1;
	world_turn();
	ck_assert_uint_eq(session_count(), 0);
	world_end();
}
END_TEST

START_TEST(only_the_proxy_that_opened_a_session_closes_it)
{
	struct session_close q;
	struct opened a;

	world_begin();
	world_people();
	a = world_login("office", "", "alice");
	q.session = (struct bytes){a.id, SESSION_ID};
	(void)world_send(&smtpd, M_session_close, &q);
	ck_assert_uint_eq(session_count(), 1);
	(void)world_send(&pop3d, M_session_close, &q);
	ck_assert_uint_eq(session_count(), 0);
	(void)world_send(&pop3d, M_session_close, &q);
	ck_assert_uint_eq(session_count(), 0);
	world_end();
}
END_TEST

Suite *
identity_suite(void)
{
	const TTest *const tests[] = {maps_what_the_peer_accepted_and_nothing_else,
	    login_map_comes_before_addresses, tenants_do_not_see_each_other,
	    a_session_ends_with_its_proxy, only_the_proxy_that_opened_a_session_closes_it, NULL};

	return unit_suite("identity", tests);
}
