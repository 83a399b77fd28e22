#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unbound-event.h>
#include <unbound.h>
#include <unistd.h>

#include "base/buf.h"
#include "dnsd/dnsd.h"
#include "proc/internal.h"
#include "t/unit/unit.h"

Suite *daemon_suite(void);

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define SHA2_32 "9439b8c47f32cf46c9abf0be67ccafb5c1e3217145e54e869251b31c388da8ed"
#define TEST_DS "test. IN DS 1 13 2 " SHA2_32
#define QUESTIONS 3000

enum { INSECURE, BOGUS, SECURE }; /* what ub_event_callback_type gets */

/* ---- a libunbound that answers what and when a test wants ---- */

struct ub_ctx {
	char anchors[4][200], server[100];
	unsigned nanchors;
};

static struct question {
	char name[256];
	int type;
	void *arg;
	ub_event_callback_type fn;
} questions[QUESTIONS];
static unsigned nquestions;
static struct ub_ctx contexts[10], *current;
static unsigned ncontexts;

struct ub_ctx *
ub_ctx_create_event(struct event_base *base)
{
	(void)base;
	ck_assert_uint_lt(ncontexts, 10);
	current = &contexts[ncontexts++];
	return current;
}

static void
give(unsigned i, int rcode, const uint8_t *packet, size_t n, int sec, const char *why)
{
	struct question q = questions[i];

	questions[i] = questions[--nquestions];
	q.fn(q.arg, rcode, (void *)(uintptr_t)packet, (int)n, sec, (char *)(uintptr_t)why, 0);
}

/* The real one fails what is open, in the callbacks. */
void
ub_ctx_delete(struct ub_ctx *c)
{
	(void)c;
	while (nquestions > 0)
		give(0, 2, NULL, 0, 0, NULL);
}

int
ub_ctx_set_option(struct ub_ctx *c, const char *opt, const char *val)
{
	(void)c;
	(void)opt;
	(void)val;
	return 0;
}

int
ub_ctx_set_fwd(struct ub_ctx *c, const char *addr)
{
	(void)strlcpy(c->server, addr, sizeof c->server);
	return 0;
}

int
ub_ctx_add_ta(struct ub_ctx *c, const char *ta)
{
	ck_assert_uint_lt(c->nanchors, 4);
	(void)strlcpy(c->anchors[c->nanchors++], ta, sizeof c->anchors[0]);
	return 0;
}

int
ub_ctx_zone_remove(struct ub_ctx *c, const char *name)
{
	(void)c;
	(void)name;
	return 0;
}

const char *
ub_strerror(int err)
{
	(void)err;
	return "an error of libunbound";
}

int
ub_resolve_event(struct ub_ctx *c, const char *name, int type, int class, void *arg,
    ub_event_callback_type fn, int *id)
{
	(void)class;
	(void)id;
	ck_assert_ptr_eq(c, current);
	ck_assert_uint_lt(nquestions, QUESTIONS);
	(void)strlcpy(questions[nquestions].name, name, sizeof questions[0].name);
	questions[nquestions].type = type;
	questions[nquestions].arg = arg;
	questions[nquestions++].fn = fn;
	return 0;
}

/* ---- dnsd, and somebody who asks ---- */

static struct conf conf;
static struct netaddr server;
static struct ipc pop3d;
static char anchor_path[] = "/anchor";

static struct proc_env *
env(void)
{
	return (struct proc_env *)proc_env();
}

/* The files of the next start or reload. */
static void
stage(const char *path, const char *text)
{
	const struct config_file m = {.path = path};
	int fd = memfd_create("t", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
	ck_assert_int_eq(files_stage(&m, fd, NULL), 0);
	close(fd);
}

/* fn: dnsd.start or dnsd.reload, with what was staged. */
static int
load(int (*fn)(const struct proc_env *, struct err *), struct err *e)
{
	int rc;

	ck_assert_int_eq(files_switch(e), 0);
	rc = fn(env(), e);
	files_settle(rc == 0);
	return rc;
}

static void
set_up(void)
{
	static uint32_t serial;
	struct plumb p = {.peer = P_POP3D, .serial = ++serial};
	struct err e = {0};
	int fds[2];

	ck_assert_int_eq(netaddr_parse_host("192.0.2.53", &server), 0);
	server.port = 53;
	conf.dns.servers = (struct conf_addrs){&server, 1};
	conf.dns.trust_anchor = anchor_path;
	env()->base = event_base_new();
	env()->conf = &conf;
	env()->self = P_DNSD;
	neighbours_init(env(), &dnsd, dnsd.handlers);
	ck_assert_int_eq(ipc_pair(fds), 0);
	ck_assert_int_eq(neighbours_plumb(&p, fds[0]), 0);
	ipc_init(&pop3d, fds[1], P_POP3D, P_DNSD);
	stage(anchor_path, TEST_DS);
	ck_assert_msg(load(dnsd.start, &e) == 0, "%s", e.text);
}

static void
tear_down(void)
{
	resolver_close();
	neighbours_free();
	ipc_close(&pop3d);
	files_free();
	event_base_free(env()->base);
}

static void
turn(void)
{
	unsigned i;

	for (i = 0; i < 4; i++)
		(void)event_base_loop(env()->base, EVLOOP_NONBLOCK);
}

/* libunbound's answer to the question of this type; it must be there. */
static void
resolve(int type, int rcode, const uint8_t *packet, size_t n, int sec, const char *why)
{
	unsigned i = 0;

	turn();
	while (i < nquestions && questions[i].type != type)
		i++;
	ck_assert_msg(i < nquestions, "type %d was not asked for", type);
	give(i, rcode, packet, n, sec, why);
	turn();
}

/* A message with one record, or none. */
static const uint8_t *
packet(unsigned type, const void *data, size_t len, size_t *n)
{
	static uint8_t p[600];

	memset(p, 0, sizeof p);
	*n = 12;
	if (len == 0)
		return p;
	put_be16(p + 6, 1);
	put_be16(p + 13, (uint16_t)type);
	put_be16(p + 15, 1);
	put_be16(p + 21, (uint16_t)len);
	memcpy(p + 23, data, len);
	*n = 23 + len;
	return p;
}

static void
found(int type, const void *data, size_t len, int sec)
{
	size_t n;
	const uint8_t *p = packet((unsigned)type, data, len, &n);

	resolve(type, 0, p, n, sec, NULL);
}

static void
ask(uint64_t id, const char *name)
{
	struct dns_addr_req q = {.name = name};

	ck_assert_int_eq(ipc_send(&pop3d, M_dns_addr_req, id, &q, -1, 1000), 0);
	turn();
}

static void
ask_tlsa(uint64_t id, const char *name)
{
	struct dns_tlsa_req q = {.name = name};

	ck_assert_int_eq(ipc_send(&pop3d, M_dns_tlsa_req, id, &q, -1, 1000), 0);
	turn();
}

static int
has_answer(void)
{
	struct pollfd p = {.fd = pop3d.fd, .events = POLLIN};

	turn();
	return poll(&p, 1, 0) > 0;
}

/* dnsd's answer to id: "status secure count: text", with the first record's data. */
static const char *
answer(uint64_t id)
{
	static const char *const names[] = {"ok", "notfound", "tempfail", "bogus"};
	static char text[600];
	const struct dns_addr_rep *a;
	const struct dns_tlsa_rep *t;
	struct ipc_msg m;

	ck_assert_msg(has_answer(), "no answer to %u", (unsigned)id);
	ck_assert_int_eq(ipc_recv(&pop3d, &m, 1000), 0);
	ck_assert_uint_eq(m.id, id);
	if (m.def->type == M_dns_tlsa_rep) {
		t = m.body;
		(void)snprintf(text, sizeof text, "%s %u %zu%.*s: %s", names[t->status], t->secure,
		    t->records.n, t->records.n > 0 ? (int)t->records.v[0].data.n : 0,
		    t->records.n > 0 ? (const char *)t->records.v[0].data.p : "", t->text);
	} else {
		ck_assert_uint_eq(m.def->type, M_dns_addr_rep);
		a = m.body;
		(void)snprintf(text, sizeof text, "%s %u %zu: %s", names[a->status], a->secure,
		    a->addrs.n, a->text);
	}
	ipc_done(&pop3d, &m);
	ck_assert(!has_answer());
	return text;
}

#define IS(got, want) ck_assert_str_eq(got, want)

static const uint8_t v4[4] = {192, 0, 2, 1}, v6[16] = {0x20, 1, 0xd, 0xb8};
static const uint8_t key[] = {3, 1, 1, 'k', 'e', 'y'};

#define NAME "_995._tcp.mail.test"

/* ---- the tests ---- */

START_TEST(addresses_are_secure_when_all_of_them_are)
{
	ask(1, "mail.test");
	found(TYPE_A, v4, 4, SECURE);
	ck_assert(!has_answer());
	found(TYPE_AAAA, v6, 16, SECURE);
	IS(answer(1), "ok 1 2: ");
	ask(2, "mail.test");
	found(TYPE_A, v4, 4, SECURE);
	found(TYPE_AAAA, NULL, 0, SECURE);
	IS(answer(2), "ok 1 1: ");
	ask(3, "mail.test");
	found(TYPE_A, v4, 4, SECURE);
	found(TYPE_AAAA, v6, 16, INSECURE);
	IS(answer(3), "ok 0 2: ");
	ask(4, "mail.test");
	found(TYPE_A, v4, 4, SECURE);
	found(TYPE_AAAA, NULL, 0, INSECURE);
	IS(answer(4), "ok 0 1: ");
	/* What could not be found does not make what was found worse, nor better. */
	ask(5, "mail.test");
	found(TYPE_A, v4, 4, SECURE);
	resolve(TYPE_AAAA, 2, NULL, 0, INSECURE, NULL);
	IS(answer(5), "ok 1 1: ");
	ask(6, "mail.test");
	found(TYPE_A, v4, 4, INSECURE);
	resolve(TYPE_AAAA, 2, NULL, 0, INSECURE, NULL);
	IS(answer(6), "ok 0 1: ");
}
END_TEST

START_TEST(that_there_are_no_addresses_may_be_secure)
{
	ask(1, "mail.test");
	resolve(TYPE_A, 3, NULL, 0, SECURE, NULL);
	resolve(TYPE_AAAA, 3, NULL, 0, SECURE, NULL);
	IS(answer(1), "notfound 1 0: there is no such name, or it has no address");
	ask(2, "mail.test");
	found(TYPE_A, NULL, 0, INSECURE);
	found(TYPE_AAAA, NULL, 0, SECURE);
	IS(answer(2), "notfound 0 0: there is no such name, or it has no address");
	ask(3, "mail.test");
	found(TYPE_A, NULL, 0, SECURE);
	resolve(TYPE_AAAA, 2, NULL, 0, INSECURE, NULL);
	IS(answer(3), "tempfail 0 0: the name servers do not answer");
}
END_TEST

START_TEST(half_of_a_forged_answer_is_forged)
{
	ask(1, "mail.test");
	found(TYPE_A, v4, 4, SECURE);
	resolve(TYPE_AAAA, 0, NULL, 0, BOGUS, "validation failure <mail.test. AAAA IN>: expired");
	IS(answer(1), "bogus 0 0: DNSSEC: validation failure mail.test. AAAA IN: expired");
	ask(2, "mail.test");
	resolve(TYPE_A, 2, NULL, 0, BOGUS, NULL);
	found(TYPE_AAAA, v6, 16, SECURE);
	IS(answer(2), "bogus 0 0: DNSSEC: bogus");
}
END_TEST

START_TEST(tlsa_records_are_given_when_they_are_signed)
{
	ask_tlsa(1, NAME);
	ck_assert_str_eq(questions[1].name, NAME);
	found(TYPE_TLSA, key, sizeof key, SECURE);
	IS(answer(1), "ok 1 1key: ");
	ask_tlsa(2, NAME);
	found(TYPE_TLSA, key, sizeof key, INSECURE);
	IS(answer(2), "notfound 0 0: they are not signed with DNSSEC");
	ask_tlsa(3, NAME);
	found(TYPE_TLSA, NULL, 0, INSECURE);
	IS(answer(3), "notfound 0 0: they are not signed with DNSSEC");
}
END_TEST

START_TEST(that_there_are_no_tlsa_records_counts_when_it_is_signed)
{
	ask_tlsa(1, NAME);
	found(TYPE_TLSA, NULL, 0, SECURE);
	IS(answer(1), "notfound 1 0: DNSSEC says that there are none");
	ask_tlsa(2, NAME);
	resolve(TYPE_TLSA, 3, NULL, 0, SECURE, NULL);
	IS(answer(2), "notfound 1 0: DNSSEC says that there are none");
	ask_tlsa(3, NAME);
	found(TYPE_TLSA, key, 3, SECURE);
	IS(answer(3), "notfound 1 0: none of them is well-formed");
}
END_TEST

START_TEST(what_is_not_known_of_tlsa_records_is_not_said_to_be_none)
{
	size_t n;
	const uint8_t *p;

	ask_tlsa(1, NAME);
	resolve(TYPE_TLSA, 2, NULL, 0, INSECURE, NULL);
	IS(answer(1), "tempfail 0 0: the name servers do not answer");
	ask_tlsa(2, NAME);
	resolve(TYPE_TLSA, 0, NULL, 0, BOGUS, "signature expired");
	IS(answer(2), "bogus 0 0: DNSSEC: signature expired");
	ask_tlsa(3, NAME);
	p = packet(TYPE_TLSA, key, sizeof key, &n);
	resolve(TYPE_TLSA, 0, p, n - 1, SECURE, NULL);
	IS(answer(3), "tempfail 0 0: the answer is malformed");
	ask_tlsa(4, NAME);
	resolve(TYPE_TLSA, 5, NULL, 0, SECURE, NULL);
	IS(answer(4), "tempfail 0 0: the name servers do not answer");
}
END_TEST

START_TEST(names_are_checked_before_they_are_asked_for)
{
	unsigned before;

	turn();
	before = nquestions;
	ask_tlsa(1, "mail.test");
	IS(answer(1), "notfound 0 0: this is not a name of TLSA records");
	ask_tlsa(2, "_995._tcp.192.0.2.1");
	IS(answer(2), "notfound 0 0: this is not a name of TLSA records");
	ask(3, "a b");
	IS(answer(3), "notfound 0 0: this is not a host name");
	ask(4, "192.0.2.1");
	IS(answer(4), "ok 0 1: ");
	ck_assert_uint_eq(nquestions, before);
}
END_TEST

START_TEST(without_a_trust_anchor_there_are_no_tlsa_records)
{
	char none[] = "";
	struct err e = {0};

	conf.dns.trust_anchor = none;
	ck_assert_int_eq(load(dnsd.reload, &e), 0);
	ck_assert_uint_eq(current->nanchors, 0);
	ask_tlsa(1, NAME);
	IS(answer(1), "notfound 0 0: answers are not validated here: set dns.trust_anchor");
	ck_assert_uint_eq(nquestions, 0);
}
END_TEST

START_TEST(a_reload_takes_another_trust_anchor)
{
	struct err e = {0};

	ck_assert_str_eq(current->server, "192.0.2.53@53");
	ck_assert_str_eq(current->anchors[0], TEST_DS);
	/* What has not changed stays, with its cache. */
	stage(anchor_path, "; the same\n" TEST_DS "\n");
	ck_assert_int_eq(load(dnsd.reload, &e), 0);
	ck_assert_uint_eq(ncontexts, 1);
	stage(anchor_path, TEST_DS "\nexample. IN DS 2 13 2 " SHA2_32);
	ck_assert_int_eq(load(dnsd.reload, &e), 0);
	ck_assert_uint_eq(ncontexts, 2);
	ck_assert_uint_eq(current->nanchors, 2);
	ck_assert_str_eq(current->anchors[1], "example. IN DS 2 13 2 " SHA2_32);
	/* The keys of both zones are looked at. */
	ck_assert_uint_eq(nquestions, 2);
}
END_TEST

START_TEST(a_bad_trust_anchor_changes_nothing)
{
	struct err e = {0};

	stage(anchor_path, TEST_DS "\ntest. IN DS 1 13 2 abcd\n");
	ck_assert_int_eq(load(dnsd.reload, &e), -1);
	ck_assert_str_eq(
	    e.text, "dns: trust_anchor: /anchor:2: the digest is not one of 32 octets in hex");
	ck_assert_int_eq(load(dnsd.reload, &e), -1);
	ck_assert_str_eq(e.text, "dns: trust_anchor: /anchor is not there");
	ck_assert_uint_eq(ncontexts, 1);
	ask_tlsa(1, NAME);
	found(TYPE_TLSA, key, sizeof key, SECURE);
	IS(answer(1), "ok 1 1key: ");
}
END_TEST

START_TEST(name_servers_that_strip_dnssec_are_told_of)
{
	const char *bad = "no DNSKEY rrset";

	resolve(TYPE_DNSKEY, 0, NULL, 0, BOGUS, bad);
	ask_tlsa(1, NAME);
	resolve(TYPE_TLSA, 0, NULL, 0, BOGUS, bad);
	IS(answer(1),
	    "bogus 0 0: DNSSEC: no keys of zone test. that fit the trust anchor come from "
	    "the name servers: do they strip DNSSEC? no DNSKEY rrset");
	/* That of another zone has another reason; nor is it asked again and again. */
	ask_tlsa(2, "_995._tcp.mail.contest");
	resolve(TYPE_TLSA, 0, NULL, 0, BOGUS, bad);
	IS(answer(2), "bogus 0 0: DNSSEC: no DNSKEY rrset");
	ck_assert_uint_eq(nquestions, 0);
	/* The anchor stays: what it does not vouch for is not taken. */
	ck_assert_uint_eq(ncontexts, 1);
}
END_TEST

START_TEST(questions_under_way_fail_when_the_resolver_starts_again)
{
	struct err e = {0};

	ask(1, "mail.test");
	found(TYPE_A, v4, 4, SECURE);
	server.addr[3] = 54;
	stage(anchor_path, TEST_DS);
	ck_assert_int_eq(load(dnsd.reload, &e), 0);
	ck_assert_uint_eq(ncontexts, 2);
	IS(answer(1), "ok 1 1: ");
	ask_tlsa(2, NAME);
	server.addr[3] = 53;
	stage(anchor_path, TEST_DS);
	ck_assert_int_eq(load(dnsd.reload, &e), 0);
	IS(answer(2), "tempfail 0 0: the resolver starts again");
	ck_assert_uint_eq(query_count()->open, 0);
}
END_TEST

START_TEST(an_asker_may_go_away)
{
	ask(1, "mail.test");
	ask_tlsa(2, NAME);
	ipc_close(&pop3d);
	turn();
	found(TYPE_A, v4, 4, SECURE);
	found(TYPE_AAAA, NULL, 0, SECURE);
	found(TYPE_TLSA, key, sizeof key, SECURE);
	ck_assert_uint_eq(query_count()->open, 0);
}
END_TEST

START_TEST(questions_are_bounded)
{
	unsigned i;

	for (i = 0; i < 1000; i++)
		ask_tlsa(i, NAME);
	ck_assert(!has_answer());
	ask_tlsa(i, NAME);
	IS(answer(i), "tempfail 0 0: too many names are being looked up");
	ask(i, "mail.test");
	IS(answer(i), "tempfail 0 0: too many names are being looked up");
}
END_TEST

START_TEST(hosts_and_resolv_conf_are_read_again_at_a_reload)
{
	struct err e = {0};

	conf.dns.hosts = 1;
	conf.dns.servers.n = 0;
	stage(anchor_path, TEST_DS);
	stage(CONF_HOSTS_FILE, "192.0.2.9 mail.test\n");
	stage(CONF_RESOLV_FILE, "nameserver 192.0.2.99\n");
	ck_assert_int_eq(load(dnsd.reload, &e), 0);
	ck_assert_str_eq(current->server, "192.0.2.99@53");
	ask(1, "mail.test");
	IS(answer(1), "ok 0 1: ");
	conf.dns.hosts = 0;
	stage(anchor_path, TEST_DS);
	stage(CONF_RESOLV_FILE, "nameserver 192.0.2.99\n");
	ck_assert_int_eq(load(dnsd.reload, &e), 0);
	ask(2, "mail.test");
	found(TYPE_A, v4, 4, SECURE);
	found(TYPE_AAAA, NULL, 0, SECURE);
	IS(answer(2), "ok 1 1: ");
}
END_TEST

START_TEST(the_systems_anchor_counts_until_it_does_not_work)
{
	char none[] = "";
	struct err e = {0};

	conf.dns.trust_anchor = none;
	ck_assert_int_eq(dnsd.open(env(), &e), 0);
	ck_assert_int_eq(load(dnsd.reload, &e), 0);
	if (current->nanchors == 0)
		return; /* this machine has none */
	ask(1, "mail.test");
	resolve(TYPE_DNSKEY, 0, NULL, 0, BOGUS, "no DNSKEY rrset");
	IS(answer(1), "tempfail 0 0: the resolver starts again");
	ck_assert_uint_eq(ncontexts, 3);
	ck_assert_uint_eq(current->nanchors, 0);
	ask(2, "mail.test");
	found(TYPE_A, v4, 4, INSECURE);
	found(TYPE_AAAA, NULL, 0, INSECURE);
	IS(answer(2), "ok 0 1: ");
}
END_TEST

Suite *
daemon_suite(void)
{
	return unit_suite_around("daemon", set_up, tear_down,
	    (const TTest *const[]){addresses_are_secure_when_all_of_them_are,
		that_there_are_no_addresses_may_be_secure, half_of_a_forged_answer_is_forged,
		tlsa_records_are_given_when_they_are_signed,
		that_there_are_no_tlsa_records_counts_when_it_is_signed,
		what_is_not_known_of_tlsa_records_is_not_said_to_be_none,
		names_are_checked_before_they_are_asked_for,
		without_a_trust_anchor_there_are_no_tlsa_records,
		a_reload_takes_another_trust_anchor, a_bad_trust_anchor_changes_nothing,
		name_servers_that_strip_dnssec_are_told_of,
		questions_under_way_fail_when_the_resolver_starts_again, an_asker_may_go_away,
		questions_are_bounded, hosts_and_resolv_conf_are_read_again_at_a_reload,
		the_systems_anchor_counts_until_it_does_not_work, NULL});
}
