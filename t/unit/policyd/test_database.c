/* The database: changes, indexes, pages, damage. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "openpgp/pk.h"
#include "t/unit/policyd/world.h"

Suite *database_suite(void);

static unsigned
put(const char *id, const char *tenant, int kind, const char *addr, const char *login, int create,
    char text[501])
{
	struct address a = {addr};
	struct login l = {"*", login};
	struct consumer c = {.id = id,
	    .tenant = tenant,
	    .kind = (uint8_t)kind,
	    .addresses = {&a, addr != NULL},
	    .logins = {&l, login != NULL}};
	struct consumer_put q = {.create = (uint8_t)create, .consumer = {&c, 1}};

	return world_change(&gwctl, M_consumer_put, &q, text);
}

/* The id of the consumer with this address, or "". */
static const char *
owner(const char *addr)
{
	static char id[65];
	struct consumer_get q = {.id = "", .addr = addr};
	const struct consumer_page *p;
	struct ipc_msg m;

	world_ask(&gwctl, M_consumer_get, &q, M_consumer_page, &m);
	p = m.body;
	(void)strlcpy(id, p->consumers.n == 1 ? p->consumers.v[0].id : "", sizeof id);
	ipc_done(&gwctl, &m);
	return id;
}

static size_t
count_certs(const uint8_t *id, size_t n, uint8_t *secret, uint8_t *manual)
{
	struct cert_get q = {.id = {id, n}};
	const struct cert_page *p;
	struct ipc_msg m;
	size_t got;

	world_ask(&gwctl, M_cert_get, &q, M_cert_page, &m);
	p = m.body;
	got = p->certs.n;
	if (got > 0 && secret != NULL) {
		*secret = p->certs.v[0].secret;
		*manual = p->certs.v[0].manual;
	}
	ipc_done(&gwctl, &m);
	return got;
}

START_TEST(refuses_what_would_confuse_identities)
{
	static const struct {
		const char *id, *tenant, *addr, *login;
		int kind, create;
		unsigned status;
		const char *says;
	} cases[] = {
	    {"new", "default", "new@acme.test", NULL, CONSUMER_INTERNAL, 1, ADMIN_OK, ""},
	    {"alice", "default", NULL, NULL, CONSUMER_INTERNAL, 1, ADMIN_EXISTS, "alice"},
	    {"gone", "default", NULL, NULL, CONSUMER_INTERNAL, 0, ADMIN_NOTFOUND, "gone"},
	    {"x", "default", "alice@acme.test", NULL, CONSUMER_INTERNAL, 1, ADMIN_EXISTS, "alice"},
	    {"x", "default", "ALICE@acme.test", NULL, CONSUMER_INTERNAL, 1, ADMIN_EXISTS, "alice"},
	    {"x", "default", "alice@acme.test", NULL, CONSUMER_EXTERNAL, 1, ADMIN_EXISTS, "alice"},
	    {"x", "default", "x@ACME.test", NULL, CONSUMER_INTERNAL, 1, ADMIN_INVALID,
		"plain form"},
	    {"x", "default", "x@acme.test ", NULL, CONSUMER_INTERNAL, 1, ADMIN_INVALID, "plain"},
	    {"x", "default", "x@elsewhere.test", NULL, CONSUMER_INTERNAL, 1, ADMIN_INVALID,
		"domain add elsewhere.test"},
	    {"x", "default", "x@other.test", NULL, CONSUMER_INTERNAL, 1, ADMIN_INVALID, "managed"},
	    {"x", "other", "x@acme.test", NULL, CONSUMER_INTERNAL, 1, ADMIN_INVALID, "managed"},
	    {"x y", "default", NULL, NULL, CONSUMER_INTERNAL, 1, ADMIN_INVALID, "letters"},
	    {"x\n", "default", NULL, NULL, CONSUMER_INTERNAL, 1, ADMIN_INVALID, "letters"},
	    {"x", "de fault", NULL, NULL, CONSUMER_INTERNAL, 1, ADMIN_INVALID, "tenant"},
	    {"x", "default", "x@out.test", "x", CONSUMER_EXTERNAL, 1, ADMIN_INVALID, "no login"},
	    {"chief", "default", "chief@acme.test", "c", CONSUMER_INTERNAL, 0, ADMIN_OK, ""},
	    {"x", "default", NULL, "c", CONSUMER_INTERNAL, 1, ADMIN_EXISTS, "chief"},
	    {"chief", "other", NULL, NULL, CONSUMER_INTERNAL, 0, ADMIN_INVALID, "tenant"},
	};
	char text[501];
	unsigned status;
	size_t i;

	world_begin();
	world_people();
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		status = put(cases[i].id, cases[i].tenant, cases[i].kind, cases[i].addr,
		    cases[i].login, cases[i].create, text);
		ck_assert_msg(status == cases[i].status && strstr(text, cases[i].says) != NULL,
		    "case %zu: %u '%s'", i, status, text);
	}
	ck_assert_str_eq(owner("alice@acme.test"), "alice");
	ck_assert_str_eq(owner("Alice@ACME.test"), "alice");
	world_end();
}
END_TEST

START_TEST(a_domain_does_not_change_hands_by_adding_it)
{
	static const struct {
		const char *name, *tenant;
		unsigned status;
	} cases[] = {{"acme.test", "default", ADMIN_OK}, {"acme.test", "other", ADMIN_EXISTS},
	    {"Acme.test", "default", ADMIN_INVALID}, {"a b", "default", ADMIN_INVALID},
	    {"b\xc3\xbc.test", "default", ADMIN_INVALID}, {"new.test", "other", ADMIN_OK}};
	struct domain_del del = {.name = "acme.test"};
	char text[501];
	size_t i;

	world_begin();
	world_people();
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct domain d = {.name = cases[i].name, .tenant = cases[i].tenant};
		struct domain_put q = {.domain = {&d, 1}};

		ck_assert_msg(world_change(&gwctl, M_domain_put, &q, text) == cases[i].status,
		    "case %zu: %s", i, text);
	}
	ck_assert_uint_eq(world_change(&gwctl, M_domain_del, &del, NULL), ADMIN_OK);
	ck_assert_uint_eq(world_change(&gwctl, M_domain_del, &del, NULL), ADMIN_NOTFOUND);
	world_end();
}
END_TEST

START_TEST(indexes_follow_their_consumer)
{
	struct opened o;
	struct made a;

	world_begin();
	world_people();
	world_cert(&a, &(struct making){.uid = "Alice <alice@acme.test>"}, "alice", 1);
	ck_assert_uint_eq(
	    put("alice", "default", CONSUMER_INTERNAL, "alice@acme.test", "al", 0, NULL), ADMIN_OK);
	o = world_login("strict", "", "al");
	ck_assert_str_eq(o.consumer, "alice");
	/* another address and login: the old ones are free for others */
	ck_assert_uint_eq(
	    put("alice", "default", CONSUMER_INTERNAL, "liddell@acme.test", "li", 0, NULL),
	    ADMIN_OK);
	ck_assert_str_eq(owner("alice@acme.test"), "");
	ck_assert_str_eq(owner("liddell@acme.test"), "alice");
	o = world_login("strict", "", "al");
	ck_assert_str_eq(o.consumer, "");
	o = world_login("strict", "", "li");
	ck_assert_str_eq(o.consumer, "alice");
	ck_assert_uint_eq(
	    put("second", "default", CONSUMER_INTERNAL, "alice@acme.test", "al", 1, NULL),
	    ADMIN_OK);
	/* a change that is refused changes nothing */
	ck_assert_uint_eq(
	    put("alice", "default", CONSUMER_INTERNAL, "alice@acme.test", "zz", 0, NULL),
	    ADMIN_EXISTS);
	ck_assert_str_eq(owner("liddell@acme.test"), "alice");
	o = world_login("strict", "", "li");
	ck_assert_str_eq(o.consumer, "alice");
	ck_assert_uint_eq(count_certs(a.primary, 20, NULL, NULL), 1);
	/* with the consumer go its indexes and certificates */
	ck_assert_uint_eq(
	    world_change(&gwctl, M_consumer_del, &(struct consumer_del){.id = "alice"}, NULL),
	    ADMIN_OK);
	ck_assert_str_eq(owner("liddell@acme.test"), "");
	o = world_login("strict", "", "li");
	ck_assert_str_eq(o.consumer, "");
	ck_assert_uint_eq(count_certs(a.primary, 20, NULL, NULL), 0);
	ck_assert_uint_eq(count_certs(pgp_keyid(a.encrypt, 20), 8, NULL, NULL), 0);
	ck_assert_int_eq(db_count_certs(), 0);
	ck_assert_uint_eq(
	    world_change(&gwctl, M_consumer_del, &(struct consumer_del){.id = "alice"}, NULL),
	    ADMIN_NOTFOUND);
	made_free(&a);
	world_end();
}
END_TEST

START_TEST(a_certificate_never_loses_what_was_known_of_it)
{
	struct made a, b;
	struct cert_put q = {.cert = {&a.c, 1}};
	uint8_t secret, manual;
	char text[501];

	world_begin();
	world_people();
	/* gwctl cannot say that private halves are here */
	make_cert(&b, &(struct making){.uid = "Alice <alice@acme.test>"}, "", 1);
	ck_assert_uint_eq(
	    world_change(&gwctl, M_cert_put, &(struct cert_put){.cert = {&b.c, 1}}, NULL),
	    ADMIN_OK);
	ck_assert_uint_eq(count_certs(b.primary, 20, &secret, &manual), 1);
	ck_assert_uint_eq(secret, 0);
	/* keyctl can, and a later copy from gwctl does not undo it */
	make_cert(&a, &(struct making){.uid = "Alice <alice@acme.test>"}, "alice", 1);
	a.c.manual = 1;
	ck_assert_uint_eq(world_change(&keyctl, M_cert_put, &q, NULL), ADMIN_OK);
	a.c.secret = a.c.manual = 0;
	a.c.added = 1;
	ck_assert_uint_eq(world_change(&gwctl, M_cert_put, &q, NULL), ADMIN_OK);
	ck_assert_uint_eq(count_certs(a.sign, 20, &secret, &manual), 1);
	ck_assert_uint_eq(secret, 1);
	ck_assert_uint_eq(manual, 1);
	/* owners must exist, and external ones have no private keys */
	a.c.consumer = "ghost";
	ck_assert_uint_eq(world_change(&gwctl, M_cert_put, &q, text), ADMIN_NOTFOUND);
	a.c.consumer = "bob";
	a.c.secret = 1;
	ck_assert_uint_eq(world_change(&keyctl, M_cert_put, &q, text), ADMIN_INVALID);
	ck_assert_ptr_nonnull(strstr(text, "external"));
	/* by its user id when no owner is named */
	made_free(&b);
	make_cert(&b, &(struct making){.uid = "Who <who@nowhere.test>"}, "", 0);
	ck_assert_uint_eq(
	    world_change(&gwctl, M_cert_put, &(struct cert_put){.cert = {&b.c, 1}}, text),
	    ADMIN_NOTFOUND);
	ck_assert_ptr_nonnull(strstr(text, "--consumer"));
	made_free(&a);
	made_free(&b);
	world_end();
}
END_TEST

/* The same keys for many owners, and many certificates of one owner. */
static void
fill(struct made *m, unsigned owners)
{
	struct cert_put q = {.cert = {&m->c, 1}};
	char id[32], addr[64];
	unsigned i;

	for (i = 0; i < owners; i++) {
		(void)snprintf(id, sizeof id, "p%03u", i);
		(void)snprintf(addr, sizeof addr, "p%03u@out.test", i);
		ck_assert_uint_eq(
		    put(id, "default", CONSUMER_EXTERNAL, addr, NULL, 1, NULL), ADMIN_OK);
		m->c.consumer = id;
		ck_assert_uint_eq(world_change(&gwctl, M_cert_put, &q, NULL), ADMIN_OK);
	}
}

static unsigned
list_certs(const char *consumer, unsigned *pages)
{
	struct cert_list q = {.consumer = consumer};
	const struct cert_page *p;
	struct ipc_msg m;
	uint8_t after[32];
	unsigned all = 0;
	size_t n;

	*pages = 0;
	do {
		world_ask(&gwctl, M_cert_list, &q, M_cert_page, &m);
		p = m.body;
		if ((n = p->certs.n) > 0) {
			struct bytes f = p->certs.v[n - 1].cert.v->keys.v[0].fpr;

			memcpy(after, f.p, f.n);
			q.after = (struct bytes){after, f.n};
		}
		all += (unsigned)n;
		(*pages)++;
		ipc_done(&gwctl, &m);
	} while (n > 0 && *pages < 100);
	return all;
}

START_TEST(pages_leave_nobody_out)
{
	struct consumer_list q = {.after = ""};
	const struct consumer_page *p;
	struct made m[8];
	struct ipc_msg x;
	char after[65] = "";
	unsigned pages, i, all = 0;
	size_t n;

	world_begin();
	world_people();
	/* a certificate of 40 owners, whichever of the others come before it */
	for (i = 0; i < 8; i++)
		make_cert(&m[i], &(struct making){.uid = "X <x@out.test>"}, "bob", 0);
	fill(&m[0], 40);
	for (i = 1; i < 8; i++) {
		struct cert_put c = {.cert = {&m[i].c, 1}};
		char id[32];
		unsigned k;

		for (k = 0; k < 12; k++) {
			(void)snprintf(id, sizeof id, "p%03u", k);
			m[i].c.consumer = id;
			ck_assert_uint_eq(world_change(&gwctl, M_cert_put, &c, NULL), ADMIN_OK);
		}
	}
	ck_assert_uint_eq(list_certs("", &pages), 40 + 7 * 12);
	ck_assert_uint_ge(pages, 3);
	ck_assert_uint_eq(list_certs("p003", &pages), 8);
	ck_assert_uint_eq(list_certs("p030", &pages), 1);
	ck_assert_uint_eq(list_certs("bob", &pages), 0);
	do {
		q.after = after;
		world_ask(&gwctl, M_consumer_list, &q, M_consumer_page, &x);
		p = x.body;
		n = p->consumers.n;
		all += (unsigned)n;
		if (n > 0)
			(void)strlcpy(after, p->consumers.v[n - 1].id, sizeof after);
		ipc_done(&gwctl, &x);
	} while (n > 0);
	ck_assert_uint_eq(all, 45);
	/* a subkey names no certificate to be removed */
	ck_assert_uint_eq(
	    world_change(&gwctl, M_cert_del, &(struct cert_del){.fpr = {m[0].sign, 20}}, NULL),
	    ADMIN_NOTFOUND);
	/* all copies of it go at once */
	ck_assert_uint_eq(
	    world_change(&gwctl, M_cert_del, &(struct cert_del){.fpr = {m[0].primary, 20}}, NULL),
	    ADMIN_OK);
	ck_assert_uint_eq(list_certs("", &pages), 7 * 12);
	ck_assert_uint_eq(count_certs(m[0].primary, 20, NULL, NULL), 0);
	for (i = 0; i < 8; i++)
		made_free(&m[i]);
	world_end();
}
END_TEST

START_TEST(a_full_consumer_can_still_renew_its_certificates)
{
	struct made first, m;
	struct cert_put q = {.cert = {&m.c, 1}};
	char text[501];
	unsigned i, pages;

	world_begin();
	world_people();
	world_cert(&first, &(struct making){.uid = "B <bob@out.test>"}, "bob", 0);
	for (i = 1; i < 64; i++) {
		world_cert(&m, &(struct making){.uid = "B <bob@out.test>"}, "bob", 0);
		made_free(&m);
	}
	make_cert(&m, &(struct making){.uid = "B <bob@out.test>"}, "bob", 0);
	ck_assert_uint_eq(world_change(&gwctl, M_cert_put, &q, text), ADMIN_INVALID);
	ck_assert_ptr_nonnull(strstr(text, "delete some"));
	made_free(&m);
	ck_assert_uint_eq(
	    world_change(&gwctl, M_cert_put, &(struct cert_put){.cert = {&first.c, 1}}, text),
	    ADMIN_OK);
	ck_assert_uint_eq(list_certs("bob", &pages), 64);
	made_free(&first);
	world_end();
}
END_TEST

START_TEST(large_records_come_in_several_pages)
{
	static uint8_t big[CERT_RAW_MAX];
	struct made m[5];
	unsigned i, pages;

	world_begin();
	world_people();
	memset(big, 7, sizeof big);
	for (i = 0; i < 5; i++) {
		struct cert_put q = {.cert = {&m[i].c, 1}};

		make_cert(&m[i], &(struct making){.uid = "B <bob@out.test>"}, "bob", 0);
		m[i].c.raw = (struct bytes){big, sizeof big};
		ck_assert_uint_eq(world_change(&gwctl, M_cert_put, &q, NULL), ADMIN_OK);
		made_free(&m[i]);
	}
	ck_assert_uint_eq(list_certs("", &pages), 5);
	ck_assert_uint_ge(pages, 4);
	ck_assert_uint_eq(list_certs("bob", &pages), 5);
	world_end();
}
END_TEST

START_TEST(a_damaged_database_is_refused_by_name)
{
	static const struct {
		off_t at; /* octet that is flipped; -1: the file is cut in half */
	} cases[] = {{-1}, {20}, {4096 * 3 + 100}};
	struct err e;
	uint8_t b;
	off_t size, at;
	size_t i;
	unsigned damaged = 0;
	int fd;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		world_begin();
		world_people();
		db_close();
		ck_assert_int_ge(fd = open("data.mdb", O_RDWR), 0);
		size = lseek(fd, 0, SEEK_END);
		at = cases[i].at;
		if (at == -1)
			ck_assert_int_eq(ftruncate(fd, size / 2), 0);
		else {
			ck_assert_int_eq(pread(fd, &b, 1, at), 1);
			b ^= 0x10;
			ck_assert_int_eq(pwrite(fd, &b, 1, at), 1);
		}
		close(fd);
		memset(&e, 0, sizeof e);
		if (db_open(".", "/var/lib/postern/policy", &e) == -1) {
			damaged++;
			ck_assert_msg(
			    strstr(e.text, "/var/lib/postern/policy") != NULL, "%s", e.text);
		} else { /* an octet that nothing uses: all must be there still */
			ck_assert_str_eq(owner("alice@acme.test"), "alice");
			ck_assert_int_eq(db_count_consumers(), 5);
		}
		world_end();
	}
	ck_assert_uint_ge(damaged, 1);
}
END_TEST

Suite *
database_suite(void)
{
	const TTest *const tests[] = {refuses_what_would_confuse_identities,
	    a_domain_does_not_change_hands_by_adding_it, indexes_follow_their_consumer,
	    a_certificate_never_loses_what_was_known_of_it, pages_leave_nobody_out,
	    a_full_consumer_can_still_renew_its_certificates, large_records_come_in_several_pages,
	    a_damaged_database_is_refused_by_name, NULL};

	return unit_suite("database", tests);
}
