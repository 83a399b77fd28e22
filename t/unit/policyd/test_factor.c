/* Has the consumer shown what his connector asks for beside the login? */
#include <string.h>

#include "model/factor.h"
#include "policyd/factor.h"
#include "t/unit/policyd/world.h"

Suite *factor_suite(void);

#define SECRET "abcde-fghij-kmnpq-rstuv-wxyz23"

static void
set_password(const char *id, const char *secret)
{
	uint8_t hash[FACTOR_HASH_LEN];
	struct consumer_factor q = {.id = id};

	if (secret[0] != '\0') {
		ck_assert_int_eq(factor_hash(hash, secret), 0);
		q.factor = (struct bytes){hash, sizeof hash};
	}
	ck_assert_uint_eq(world_change(&gwctl, M_consumer_factor, &q, NULL), ADMIN_OK);
}

static unsigned
ask(struct ipc *proxy, struct factor_req q, char why[256])
{
	const struct factor_rep *r;
	struct ipc_msg m;
	unsigned result;

	world_ask(proxy, M_factor_req, &q, M_factor_rep, &m);
	r = m.body;
	result = r->result;
	if (why != NULL)
		(void)strlcpy(why, r->why, 256);
	ipc_done(proxy, &m);
	return result;
}

static struct factor_req
login(const char *connector, const char *authzid, const char *authcid)
{
	return (struct factor_req){.tenant = "default",
	    .connector = connector,
	    .peer = "office",
	    .authzid = authzid,
	    .authcid = authcid,
	    .secret = ""};
}

static unsigned
password(const char *authcid, const char *secret)
{
	struct factor_req q = login("word", "", authcid);

	q.secret = secret;
	return ask(&pop3d, q, NULL);
}

/* Is a session of this login opened? */
static int
opened(struct ipc *proxy, const char *connector, const char *authzid, const char *authcid)
{
	struct session_open_req q = {.tenant = "default",
	    .connector = connector,
	    .peer = "office",
	    .authzid = authzid,
	    .authcid = authcid,
	    .client = "127.0.0.1"};
	struct ipc_msg m;

	(void)world_send(proxy, M_session_open_req, &q);
	if (!world_poll(proxy, &m))
		return 0;
	ipc_done(proxy, &m);
	return 1;
}

START_TEST(accepts_the_gateway_password_of_the_logins_own_consumer)
{
	static const struct {
		const char *authzid, *authcid, *secret;
		unsigned want;
	} t[] = {
	    {"", "alice", SECRET, FACTOR_OK},
	    {"", "ALICE@acme.test", SECRET, FACTOR_OK},
	    {"alice", "alice", SECRET, FACTOR_OK},
	    {"", "alice", "", FACTOR_DENIED},
	    {"", "alice", "x", FACTOR_DENIED},
	    {"", "alice", SECRET "x", FACTOR_DENIED},
	    {"", "alice", "Abcde-fghij-kmnpq-rstuv-wxyz23", FACTOR_DENIED},
	    /* hers is not his */
	    {"", "mallory", SECRET, FACTOR_DENIED},
	    {"", "chief", "", FACTOR_DENIED},
	    /* nobody's logins */
	    {"alice", "mallory", SECRET, FACTOR_DENIED},
	    {"", "alice*master", SECRET, FACTOR_DENIED},
	    {"", "nobody", SECRET, FACTOR_DENIED},
	    {"", "", SECRET, FACTOR_DENIED},
	    {"", "eve@other.test", SECRET, FACTOR_DENIED},
	};
	struct factor_req q;
	size_t i;

	world_begin();
	world_people();
	set_password("alice", SECRET);
	set_password("mallory", "another-one");
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		q = login("word", t[i].authzid, t[i].authcid);
		q.secret = t[i].secret;
		ck_assert_msg(ask(&pop3d, q, NULL) == t[i].want, "case %zu", i);
	}
	set_password("alice", "");
	ck_assert_uint_eq(password("alice", SECRET), FACTOR_DENIED);
	ck_assert_uint_eq(password("alice", ""), FACTOR_DENIED);
	world_end();
}
END_TEST

START_TEST(accepts_a_certificate_with_an_address_of_the_consumer)
{
	static const struct {
		const char *authcid, *a, *b;
		unsigned want;
	} t[] = {
	    {"alice", "alice@acme.test", NULL, FACTOR_OK},
	    {"alice", "x@y.test", "Alice@ACME.test", FACTOR_OK},
	    {"alice", "mallory@acme.test", "chief@acme.test", FACTOR_DENIED},
	    {"alice", "malice@acme.test", NULL, FACTOR_DENIED},
	    {"alice", "", NULL, FACTOR_DENIED},
	    {"alice", NULL, NULL, FACTOR_DENIED},
	    {"mallory", "alice@acme.test", NULL, FACTOR_DENIED},
	    {"nobody", "nobody@acme.test", NULL, FACTOR_DENIED},
	    {"bob@out.test", "bob@out.test", NULL, FACTOR_DENIED},
	};
	struct mailbox m[2];
	struct factor_req q;
	size_t i;

	world_begin();
	world_people();
	set_password("alice", SECRET);
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		q = login("card", "", t[i].authcid);
		m[0].addr = t[i].a;
		m[1].addr = t[i].b;
		q.addrs.v = m;
		q.addrs.n = t[i].a == NULL ? 0 : t[i].b == NULL ? 1 : 2;
		ck_assert_msg(ask(&pop3d, q, NULL) == t[i].want, "case %zu", i);
	}
	world_end();
}
END_TEST

START_TEST(the_configuration_says_which_factor_counts)
{
	struct mailbox a = {"alice@acme.test"};
	struct factor_req q;

	world_begin();
	world_people();
	set_password("alice", SECRET);
	/* A password where a certificate is asked for, and the other way round. */
	q = login("card", "", "alice");
	q.secret = SECRET;
	ck_assert_uint_eq(ask(&pop3d, q, NULL), FACTOR_DENIED);
	q = login("word", "", "alice");
	q.addrs.v = &a;
	q.addrs.n = 1;
	ck_assert_uint_eq(ask(&pop3d, q, NULL), FACTOR_DENIED);
	/* Another peer or tenant than the connector's, an unknown connector. */
	q = login("word", "", "alice@acme.test");
	q.secret = SECRET;
	q.peer = "strict";
	ck_assert_uint_eq(ask(&pop3d, q, NULL), FACTOR_DEFER);
	q = login("word", "", "eve@other.test");
	q.tenant = "other";
	ck_assert_uint_eq(ask(&pop3d, q, NULL), FACTOR_DEFER);
	ck_assert_uint_eq(ask(&pop3d, login("gone", "", "alice"), NULL), FACTOR_DEFER);
	ck_assert_uint_eq(ask(&pop3d, login("pop3", "", "alice"), NULL), FACTOR_OK);
	world_end();
}
END_TEST

START_TEST(guessing_a_gateway_password_is_stopped)
{
	char why[256];
	struct factor_req q;
	unsigned i;

	world_begin();
	world_people();
	set_password("chief", SECRET);
	set_password("mallory", SECRET);
	for (i = 0; i < FACTOR_TRIES; i++)
		ck_assert_uint_eq(password("chief", "guess"), FACTOR_DENIED);
	q = login("word", "", "chief");
	q.secret = "guess";
	/* Who guesses does not learn of it, nor so that the mail server took his login. */
	ck_assert_uint_eq(ask(&pop3d, q, why), FACTOR_DENIED);
	ck_assert_ptr_nonnull(strstr(why, "too many"));
	/* Not even the right one tells anything now; others are not touched. */
	ck_assert_uint_eq(password("chief", SECRET), FACTOR_DENIED);
	ck_assert_uint_eq(password("mallory", SECRET), FACTOR_OK);
	/* Nor does it help to ask through the other proxy. */
	q = login("byaddr", "", "chief@acme.test");
	q.peer = "out";
	q.secret = SECRET;
	ck_assert_uint_eq(ask(&smtpd, q, NULL), FACTOR_DENIED);
	world_end();
}
END_TEST

START_TEST(sessions_need_the_factor_shown_through_the_same_process)
{
	struct session_open_req by_address = {.tenant = "default",
	    .connector = "word",
	    .peer = "office",
	    .authzid = "",
	    .authcid = "",
	    .by_address = 1,
	    .client = "127.0.0.1"};
	struct ipc_msg m;

	world_begin();
	world_people();
	set_password("alice", SECRET);
	ck_assert(opened(&pop3d, "pop3", "", "alice"));
	ck_assert(!opened(&pop3d, "word", "", "alice"));
	ck_assert_uint_eq(password("alice", "wrong"), FACTOR_DENIED);
	ck_assert(!opened(&pop3d, "word", "", "alice"));
	ck_assert_uint_eq(password("alice", SECRET), FACTOR_OK);
	ck_assert(opened(&pop3d, "word", "", "alice"));
	ck_assert(opened(&pop3d, "word", "", "alice"));
	/* However it is spelled: else one login could fill up the room for all. */
	ck_assert(opened(&pop3d, "word", "", "ALICE@acme.test"));
	ck_assert(!opened(&pop3d, "word", "alice", "alice"));
	ck_assert(!opened(&pop3d, "word", "", "mallory"));
	ck_assert(!opened(&pop3d, "card", "", "alice"));
	ck_assert(!opened(&smtpd, "word", "", "alice"));
	/* Without a login the connector must sign by address. */
	(void)world_send(&pop3d, M_session_open_req, &by_address);
	ck_assert_int_eq(world_poll(&pop3d, &m), 0);
	by_address.connector = "byaddr";
	by_address.peer = "out";
	world_ask(&smtpd, M_session_open_req, &by_address, M_session_open_rep, &m);
	ipc_done(&smtpd, &m);
	/* A new process in the place of the old one has shown nothing. */
	world_plumb(&pop3d, P_POP3D);
	world_turn();
	ck_assert(!opened(&pop3d, "word", "", "alice"));
	world_end();
}
END_TEST

/* A proxy that was broken into says what it likes. */
START_TEST(naming_another_connector_opens_no_session)
{
	static const struct {
		struct ipc *proxy;
		const char *tenant, *connector, *peer, *authcid;
		int opened;
	} t[] = {
	    {&pop3d, "default", "pop3", "office", "alice", 1},
	    {&pop3d, "default", "word", "office", "alice", 0},
	    {&pop3d, "default", "gone", "office", "alice", 0},
	    /* one without a second factor, in front of another peer, of another tenant */
	    {&pop3d, "default", "strict", "office", "alice", 0},
	    {&pop3d, "default", "strict", "nosuchpeer", "alice@acme.test", 0},
	    {&pop3d, "default", "other", "strict", "alice@acme.test", 0},
	    /* the other proxy's */
	    {&pop3d, "default", "smtp", "out", "alice@acme.test", 0},
	    {&smtpd, "default", "smtp", "out", "alice@acme.test", 1},
	    {&smtpd, "default", "pop3", "office", "alice", 0},
	    /* a foreign server, one with a peer's name, one that others reach with a factor only */
	    {&pop3d, "default", "foreign", "", "alice", 1},
	    {&pop3d, "default", "foreign", "known", "alice", 1},
	    {&pop3d, "default", "foreign", "guarded", "alice", 0},
	    {&pop3d, "default", "foreign", "theirs", "alice", 0}, /* another tenant's */
	    {&pop3d, "default", "foreign", "office", "alice", 0},
	    {&pop3d, "default", "foreign", "out", "alice", 0},
	};
	struct session_open_req q;
	struct ipc_msg m;
	size_t i;
	int got;

	world_begin();
	world_people();
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		q = (struct session_open_req){.tenant = t[i].tenant,
		    .connector = t[i].connector,
		    .peer = t[i].peer,
		    .authzid = "",
		    .authcid = t[i].authcid,
		    .client = "127.0.0.1"};
		(void)world_send(t[i].proxy, M_session_open_req, &q);
		if ((got = world_poll(t[i].proxy, &m)) == 1)
			ipc_done(t[i].proxy, &m);
		ck_assert_msg(got == t[i].opened, "case %zu", i);
	}
	world_end();
}
END_TEST

START_TEST(passwords_are_random_and_pass_through_a_colon_split)
{
	char a[FACTOR_TEXT_LEN + 1], b[FACTOR_TEXT_LEN + 1];
	uint8_t h[FACTOR_HASH_LEN], g[FACTOR_HASH_LEN];

	factor_password(a);
	factor_password(b);
	ck_assert_str_ne(a, b);
	ck_assert_uint_eq(strlen(a), FACTOR_TEXT_LEN);
	ck_assert_uint_eq(strspn(a, "abcdefghijkmnpqrstuvwxyz23456789-"), FACTOR_TEXT_LEN);
	ck_assert_int_eq(factor_hash(h, a), 0);
	ck_assert_int_eq(factor_hash(g, a), 0);
	ck_assert(memcmp(h, g, sizeof h) != 0); /* salted */
	ck_assert(factor_match((struct bytes){h, sizeof h}, a));
	ck_assert(!factor_match((struct bytes){h, sizeof h}, b));
	ck_assert(!factor_match((struct bytes){h, 47}, a));
	ck_assert(!factor_match((struct bytes){NULL, 0}, ""));
}
END_TEST

/* What a tool gets to see of a consumer. */
static void
show(const char *id, uint8_t *factor, size_t *n, char phrase[PHRASE_LEN + 1])
{
	struct consumer_get q = {.id = id, .addr = ""};
	const struct consumer_page *p;
	struct ipc_msg m;

	world_ask(&gwctl, M_consumer_get, &q, M_consumer_page, &m);
	p = m.body;
	ck_assert_uint_eq(p->consumers.n, 1);
	*n = p->consumers.v[0].factor.n;
	if (*n > 0)
		*factor = p->consumers.v[0].factor.p[0];
	(void)strlcpy(phrase, p->consumers.v[0].phrase, PHRASE_LEN + 1);
	ipc_done(&gwctl, &m);
}

START_TEST(editing_a_consumer_keeps_password_and_phrase_and_never_shows_the_hash)
{
	static const uint8_t forged[FACTOR_HASH_LEN];
	struct address a[] = {{"alice@acme.test"}, {"al@acme.test"}};
	struct consumer c = {.id = "alice",
	    .tenant = "default",
	    .kind = CONSUMER_INTERNAL,
	    .name = "Alice",
	    .factor = {forged, sizeof forged},
	    .phrase = "forged",
	    .addresses = {a, 2}};
	struct consumer_put q = {.consumer = {&c, 1}};
	struct consumer_phrase p = {.id = "alice", .phrase = "tokalirumesipona"};
	struct consumer_factor f = {.id = "bob", .factor = {forged, sizeof forged}};
	char before[PHRASE_LEN + 1], after[PHRASE_LEN + 1];
	uint8_t octet;
	size_t n;

	world_begin();
	world_people();
	show("alice", &octet, &n, before);
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(strlen(before), PHRASE_LEN);
	set_password("alice", SECRET);
	ck_assert_uint_eq(world_change(&gwctl, M_consumer_put, &q, NULL), ADMIN_OK);
	show("alice", &octet, &n, after);
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(octet, 1);
	ck_assert_str_eq(before, after);
	ck_assert_uint_eq(password("alice", SECRET), FACTOR_OK);
	ck_assert_uint_eq(world_change(&gwctl, M_consumer_phrase, &p, NULL), ADMIN_OK);
	show("alice", &octet, &n, after);
	ck_assert_str_eq(after, p.phrase);
	ck_assert_uint_eq(password("alice", SECRET), FACTOR_OK);
	p.phrase = "Not-only-letters";
	ck_assert_uint_eq(world_change(&gwctl, M_consumer_phrase, &p, NULL), ADMIN_INVALID);
	ck_assert_uint_eq(world_change(&gwctl, M_consumer_factor, &f, NULL), ADMIN_INVALID);
	f.id = "nobody";
	ck_assert_uint_eq(world_change(&gwctl, M_consumer_factor, &f, NULL), ADMIN_NOTFOUND);
	f.id = "alice";
	f.factor.n = 7;
	ck_assert_uint_eq(world_change(&gwctl, M_consumer_factor, &f, NULL), ADMIN_INVALID);
	world_end();
}
END_TEST

START_TEST(a_worker_learns_the_phrase_of_its_own_session_only)
{
	static const struct {
		const char *authcid, *consumer;
	} t[] = {{"alice", "alice"}, {"chief", "chief"}, {"nobody", NULL}};
	struct phrase_req q = {0};
	char want[PHRASE_LEN + 1];
	const struct phrase_rep *r;
	struct opened o;
	struct ipc w;
	struct ipc_msg m;
	uint8_t octet;
	size_t i, n;

	world_begin();
	world_people();
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		want[0] = '\0';
		if (t[i].consumer != NULL)
			show(t[i].consumer, &octet, &n, want);
		o = world_login("office", "", t[i].authcid);
		world_worker(&w, o.id);
		world_ask(&w, M_phrase_req, &q, M_phrase_rep, &m);
		r = m.body;
		ck_assert_uint_eq(r->defer, 0);
		ck_assert_str_eq(r->phrase, want);
		ipc_done(&w, &m);
		ipc_close(&w);
	}
	world_end();
}
END_TEST

Suite *
factor_suite(void)
{
	const TTest *const tests[] = {accepts_the_gateway_password_of_the_logins_own_consumer,
	    accepts_a_certificate_with_an_address_of_the_consumer,
	    the_configuration_says_which_factor_counts, guessing_a_gateway_password_is_stopped,
	    sessions_need_the_factor_shown_through_the_same_process,
	    naming_another_connector_opens_no_session,
	    passwords_are_random_and_pass_through_a_colon_split,
	    editing_a_consumer_keeps_password_and_phrase_and_never_shows_the_hash,
	    a_worker_learns_the_phrase_of_its_own_session_only, NULL};

	return unit_suite("factor", tests);
}
