/* Verbs, what they ask, and what they print. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/enc.h"
#include "model/factor.h"
#include "t/unit/gwctl/tool.h"

Suite *verbs_suite(void);

static void
write_conf(void)
{
	char text[600];

	(void)snprintf(text, sizeof text,
	    "node { hostname = gw.test\n run_dir = \"%s/run\" }\n"
	    "peer office { service = smtp\n host = 127.0.0.1\n port = 2525\n tls = none }\n"
	    "peer strict { service = smtp\n host = 127.0.0.1\n port = 2526\n tls = none\n"
	    " login_case = keep }\n"
	    "connector s { service = smtp\n listen = {\"127.0.0.1:1587\"}\n peer = office\n"
	    " tls = disabled }\n",
	    tool_dir);
	tool_write("c", text);
}

START_TEST(usage_is_told_with_64_and_help_with_0)
{
	static const char *const verbs[][2] = {{"setup", NULL}, {"config", "check"},
	    {"config", "dump"}, {"status", NULL}, {"reload", NULL}, {"reopen", NULL},
	    {"stop", NULL}, {"domain", "add"}, {"domain", "del"}, {"domain", "list"},
	    {"consumer", "add"}, {"consumer", "set"}, {"consumer", "del"}, {"consumer", "show"},
	    {"consumer", "list"}, {"key", "import"}, {"key", "list"}, {"key", "show"},
	    {"key", "delete"}, {"key", "export"}};
	size_t i;

	tool_begin();
	write_conf();
	for (i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
		const char *two = verbs[i][1] != NULL ? verbs[i][1] : "--help";

		ck_assert_int_eq(tool(verbs[i][0], two, "--help", NULL), 0);
		ck_assert_ptr_nonnull(strstr(tool_out, "usage: gwctl"));
		ck_assert_int_eq(tool("help", verbs[i][0], two, NULL), 0);
		two = verbs[i][1] != NULL ? verbs[i][1] : "--bogus";
		ck_assert_msg(tool("-c", "c", verbs[i][0], two, "--bogus", "--bogus", NULL) == 64,
		    "%s %s", verbs[i][0], two);
		ck_assert_ptr_nonnull(strstr(tool_err, "usage: gwctl"));
	}
	ck_assert_int_eq(tool("help", NULL), 0);
	ck_assert_int_eq(tool("-h", NULL), 0);
	ck_assert_int_eq(tool("-V", NULL), 0);
	ck_assert_int_eq(tool("-X", NULL), EX_USAGE);
	ck_assert_int_eq(tool("nonsense", NULL), EX_USAGE);
	ck_assert_int_eq(tool("key", NULL), EX_USAGE);
	ck_assert_int_eq(tool("key", "\x1b[2J", NULL), EX_USAGE);
	ck_assert_ptr_null(strchr(tool_err, '\x1b'));
	tool_end();
}
END_TEST

START_TEST(says_when_nothing_runs)
{
	static const char *const verbs[][2] = {{"status", NULL}, {"reload", NULL}, {"stop", NULL},
	    {"domain", "list"}, {"consumer", "list"}, {"key", "list"}};
	size_t i;

	tool_begin();
	write_conf();
	for (i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
		ck_assert_int_eq(tool("-c", "c", verbs[i][0], verbs[i][1], NULL), EX_UNAVAILABLE);
		ck_assert_ptr_nonnull(strstr(tool_err, "not running"));
	}
	ck_assert_int_eq(tool("-c", "nothing", "-r", "run", "stop", NULL), EX_UNAVAILABLE);
	tool_end();
}
END_TEST

/* Answers listings with one hostile record and then nothing, changes with what the id says. */
static void
hostile(struct ipc *c, const struct ipc_msg *m)
{
	static struct address addr = {"a@x.test"};
	static struct login login = {"*", "log\nin"};
	struct consumer who = {.id = "eve\x1b[31m",
	    .tenant = "default",
	    .kind = CONSUMER_EXTERNAL,
	    .name = "E\xe2\x80\xaeve \"quoted\" \xff\r\n",
	    .addresses = {&addr, 1},
	    .logins = {&login, 1}};
	struct domain d = {.name = "a.test\x1b", .tenant = "default"};
	struct consumer_page people = {.consumers = {&who, 1}};
	struct domain_page domains = {.domains = {&d, 1}};
	struct admin_rep r = {.status = ADMIN_OK, .text = ""};

	switch (m->def->type) {
	case M_consumer_list:
		people.consumers.n = ((const struct consumer_list *)m->body)->after[0] == '\0';
		(void)ipc_send(c, M_consumer_page, m->id, &people, -1, 1000);
		break;
	case M_consumer_get:
		(void)ipc_send(c, M_consumer_page, m->id, &people, -1, 1000);
		break;
	case M_domain_list:
		domains.domains.n = ((const struct domain_list *)m->body)->after[0] == '\0';
		(void)ipc_send(c, M_domain_page, m->id, &domains, -1, 1000);
		break;
	case M_domain_put:
		r.status = ADMIN_EXISTS;
		r.text = "it is there";
		(void)ipc_send(c, M_admin_rep, m->id, &r, -1, 1000);
		break;
	default:
		(void)ipc_send(c, M_admin_rep, m->id, &r, -1, 1000);
	}
}

START_TEST(prints_nothing_that_a_terminal_obeys)
{
	static const char *const verbs[][3] = {{"consumer", "list", NULL},
	    {"consumer", "show", "eve"}, {"domain", "list", NULL}, {"consumer", "list", "--json"},
	    {"domain", "list", "--json"}};
	const unsigned char *p;
	size_t i;

	tool_begin();
	write_conf();
	gateway_begin(hostile, 5);
	for (i = 0; i < 5; i++) {
		ck_assert_msg(tool("-c", "c", verbs[i][0], verbs[i][1], verbs[i][2], NULL) == 0,
		    "%s", tool_err);
		ck_assert_ptr_nonnull(strstr(tool_out, i == 2 || i == 4 ? "a.test" : "eve"));
		for (p = (unsigned char *)tool_out; *p != '\0'; p++)
			ck_assert_msg((*p >= 0x20 && *p != 0x7f) || *p == '\n', "%s: octet %02x",
			    tool_out, *p);
	}
	gateway_end();
	tool_end();
}
END_TEST

START_TEST(gives_the_exit_code_of_the_answer)
{
	tool_begin();
	write_conf();
	gateway_begin(hostile, 2);
	ck_assert_int_eq(tool("-c", "c", "domain", "add", "a.test", NULL), EX_CANTCREAT);
	ck_assert_ptr_nonnull(strstr(tool_err, "it is there"));
	ck_assert_int_eq(tool("-c", "c", "domain", "del", "a.test", NULL), 0);
	gateway_end();
	tool_end();
}
END_TEST

/* Writes down what is asked to be stored. */
static void
record(struct ipc *c, const struct ipc_msg *m)
{
	const struct consumer_put *q = m->body;
	struct admin_rep r = {.status = ADMIN_OK, .text = ""};
	const struct consumer *x = q->consumer.v;
	char text[2000];
	size_t i;
	int n;

	if (m->def->type == M_consumer_put) {
		n = snprintf(text, sizeof text, "%u %s %s %u '%s'", q->create, x->id, x->tenant,
		    x->kind, x->name);
		for (i = 0; i < x->addresses.n; i++)
			n += snprintf(
			    text + n, sizeof text - (size_t)n, " %s", x->addresses.v[i].addr);
		for (i = 0; i < x->logins.n; i++)
			n += snprintf(text + n, sizeof text - (size_t)n, " %s:%s",
			    x->logins.v[i].peer, x->logins.v[i].name);
		tool_write("asked", text);
	}
	(void)ipc_send(c, M_admin_rep, m->id, &r, -1, 1000);
}

START_TEST(enters_a_consumer_in_the_spelling_that_is_looked_up)
{
	tool_begin();
	write_conf();
	gateway_begin(record, 1);
	ck_assert_msg(tool("-c", "c", "consumer", "add", "alice", "--internal", "--name", "Alice L",
			  "--address", "Alice@ACME.Test", "--address", "Alice@acme.test", "--login",
			  "office:Alice", "--login", "strict:Alice", "--login", "Al", "--tenant",
			  "t1", NULL) == 0,
	    "%s", tool_err);
	gateway_end();
	/* "Al" is for both peers, and one of them tells case apart. */
	ck_assert_str_eq(tool_read("asked"),
	    "1 alice t1 0 'Alice L' Alice@acme.test office:alice strict:Alice *:Al");
	ck_assert_int_eq(tool("-c", "c", "consumer", "add", "x", NULL), EX_USAGE);
	ck_assert_int_eq(
	    tool("-c", "c", "consumer", "add", "x", "--internal", "--external", NULL), EX_USAGE);
	ck_assert_int_eq(tool("-c", "c", "consumer", "add", "x", "--external", NULL), EX_USAGE);
	ck_assert_int_eq(
	    tool("-c", "c", "consumer", "add", "x", "--external", "--address", "no address", NULL),
	    EX_DATAERR);
	ck_assert_int_eq(
	    tool("-c", "c", "consumer", "add", "x", "--internal", "--login", "nope:x", NULL),
	    EX_DATAERR);
	ck_assert_ptr_nonnull(strstr(tool_err, "no peer"));
	tool_end();
}
END_TEST

/* Writes down the stored form of a password. */
static void
record_factor(struct ipc *c, const struct ipc_msg *m)
{
	const struct consumer_factor *q = m->body;
	struct admin_rep r = {.status = ADMIN_OK, .text = ""};
	char text[2 * FACTOR_HASH_LEN + 1];

	if (m->def->type == M_consumer_factor)
		tool_write("asked", hex_encode(text, q->factor.p, q->factor.n));
	(void)ipc_send(c, M_admin_rep, m->id, &r, -1, 1000);
}

START_TEST(makes_a_gateway_password_and_stores_its_hash_only)
{
	char password[128] = "";
	uint8_t stored[FACTOR_HASH_LEN];
	const char *hex;

	tool_begin();
	write_conf();
	gateway_begin(record_factor, 3);
	ck_assert_msg(tool("-c", "c", "consumer", "password", "alice", NULL) == 0, "%s", tool_err);
	ck_assert_int_eq(sscanf(tool_out, "alice\t%127s\n", password), 1);
	ck_assert_uint_eq(strlen(password), FACTOR_TEXT_LEN);
	hex = tool_read("asked");
	ck_assert_int_eq(hex_decode(stored, sizeof stored, hex, strlen(hex)), FACTOR_HASH_LEN);
	ck_assert(factor_match((struct bytes){stored, sizeof stored}, password));
	ck_assert_msg(
	    tool("-c", "c", "consumer", "password", "--json", "alice", NULL) == 0, "%s", tool_err);
	ck_assert_ptr_nonnull(strstr(tool_out, "\"password\": \""));
	ck_assert_ptr_null(strstr(tool_out, password));
	ck_assert_msg(tool("-c", "c", "consumer", "password", "--remove", "alice", NULL) == 0, "%s",
	    tool_err);
	ck_assert_str_eq(tool_read("asked"), "");
	gateway_end();
	ck_assert_int_eq(tool("-c", "c", "consumer", "password", NULL), EX_USAGE);
	ck_assert_int_eq(tool("-c", "c", "consumer", "password", "", NULL), EX_DATAERR);
	tool_end();
}
END_TEST

START_TEST(reads_key_ids_as_people_write_them)
{
	static const struct {
		const char *text;
		size_t n;
	} cases[] = {
	    {"0123456789ABCDEF", 8},
	    {"0x0123456789abcdef", 8},
	    {"0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567", 20},
	    {"01:23:45:67:89:AB:CD:EF", 8},
	    {"0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF", 32},
	    {"", 0},
	    {"89ABCDEF", 0}, /* short ids are easily forged */
	    {"0123456789ABCDEG", 0},
	    {"0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0", 0},
	    {"alice@acme.test", 0},
	};
	uint8_t id[32];
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ck_assert_uint_eq(parse_key_id(cases[i].text, id), cases[i].n);
}
END_TEST

Suite *
verbs_suite(void)
{
	const TTest *const tests[] = {usage_is_told_with_64_and_help_with_0, says_when_nothing_runs,
	    prints_nothing_that_a_terminal_obeys, gives_the_exit_code_of_the_answer,
	    enters_a_consumer_in_the_spelling_that_is_looked_up, reads_key_ids_as_people_write_them,
	    makes_a_gateway_password_and_stores_its_hash_only, NULL};

	return unit_suite("verbs", tests);
}
