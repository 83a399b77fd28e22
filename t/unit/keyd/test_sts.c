/* MTA-STS: keyd itself, deliverd and dnsd at the other ends of its channels, and HTTPS on loopback.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "base/clock.h"
#include "base/log.h"
#include "keyd/sts.h"
#include "proc/internal.h"
#include "store/store.h"
#include "t/unit/keyd/pki.h"
#include "t/unit/unit.h"

Suite *sts_suite(void);

#define PATIENCE_MS 30000
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static struct conf conf;
static struct conf_connector mx = {.service = CONF_MX};
static struct net loopback;
static struct ipc deliverd, dnsd;
static struct holder ca, other_ca, good, wrong_name, foreign;
static int listener;
static char folder[40], ca_path[] = "/ca.pem";

static struct proc_env *
env(void)
{
	return (struct proc_env *)proc_env();
}

static void
plumb(enum proc_id peer, struct ipc *other)
{
	static uint32_t serial;
	struct plumb p = {.peer = (uint8_t)peer, .serial = ++serial};
	int fds[2];

	ck_assert_int_eq(ipc_pair(fds), 0);
	ck_assert_int_eq(neighbours_plumb(&p, fds[0]), 0);
	ipc_init(other, fds[1], peer, P_KEYD);
}

/* The authorities of the next start or reload. */
static void
stage(const char *text, size_t n)
{
	const struct config_file m = {.path = ca_path};
	int fd = memfd_create("t", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_eq(write(fd, text, n), (ssize_t)n);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
	ck_assert_int_eq(files_stage(&m, fd, NULL), 0);
	close(fd);
}

static void
stage_ca(void)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *text;
	long n;

	ck_assert_int_eq(PEM_write_bio_X509(b, ca.cert), 1);
	n = BIO_get_mem_data(b, &text);
	stage(text, (size_t)n);
	BIO_free(b);
}

/* fn: keyd.start or keyd.reload, with what was staged. */
static int
load(int (*fn)(const struct proc_env *, struct err *))
{
	struct err e = {0};
	int rc;

	ck_assert_int_eq(files_switch(&e), 0);
	rc = fn(env(), &e);
	files_settle(rc == 0);
	return rc;
}

static void
no_log(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

static void
set_up(void)
{
	static char state[] = "/state";
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof sin;

	(void)strcpy(folder, "/tmp/keyd-sts.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(chdir(folder), 0);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&sin, sizeof sin), 0);
	ck_assert_int_eq(listen(listener, 100), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&sin, &len), 0);
	ck_assert_int_eq(net_parse("127.0.0.0/8", &loopback), 0);
	conf.keyd.allow = (struct conf_nets){&loopback, 1};
	conf.keyd.sts_ca_file = ca_path;
	conf.keyd.sts_port = ntohs(sin.sin_port);
	conf.node.state_dir = state;
	conf.connectors = &mx;
	conf.nconnectors = 1;
	log_set_sink(no_log, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	env()->base = event_base_new();
	env()->conf = &conf;
	env()->self = P_KEYD;
	neighbours_init(env(), &keyd, keyd.handlers);
	plumb(P_DELIVERD, &deliverd);
	plumb(P_DNSD, &dnsd);
	holder_make(&ca, &(struct holder_spec){.name = "Authority", .serial = 1, .ca = 1});
	holder_make(&other_ca, &(struct holder_spec){.name = "Other", .serial = 1, .ca = 1});
	holder_make(
	    &good, &(struct holder_spec){
		       .name = "x", .issuer = &ca, .serial = 2, .san = "DNS:mta-sts.example.test"});
	holder_make(
	    &wrong_name, &(struct holder_spec){
			     .name = "x", .issuer = &ca, .serial = 3, .san = "DNS:example.test"});
	holder_make(&foreign,
	    &(struct holder_spec){
		.name = "x", .issuer = &other_ca, .serial = 4, .san = "DNS:mta-sts.example.test"});
	stage_ca();
	ck_assert_int_eq(load(keyd.start), 0);
}

static void
tear_down(void)
{
	char cmd[100];

	sts_stop();
	neighbours_free();
	ipc_close(&deliverd);
	ipc_close(&dnsd);
	close(listener);
	files_free();
	event_base_free(env()->base);
	holder_free(&ca);
	holder_free(&other_ca);
	holder_free(&good);
	holder_free(&wrong_name);
	holder_free(&foreign);
	ck_assert_int_eq(chdir("/"), 0);
	(void)snprintf(cmd, sizeof cmd, "rm -r %s", folder);
	ck_assert_int_eq(system(cmd), 0);
	ck_assert_uint_eq(ERR_peek_error(), 0);
}

/* Let keyd run until fd can be read. */
static int
run_until(int fd, unsigned ms)
{
	uint64_t end = clock_ms() + ms;
	struct pollfd p = {.fd = fd, .events = POLLIN};

	do {
		(void)event_base_loop(env()->base, EVLOOP_NONBLOCK);
		if (poll(&p, 1, 2) > 0)
			return 1;
	} while (clock_ms() < end);
	return 0;
}

static void
receive(struct ipc *who, struct ipc_msg *m)
{
	int got;

	while ((got = ipc_next(who, m)) == 0) {
		ck_assert_msg(run_until(who->fd, PATIENCE_MS), "no message");
		ck_assert_int_eq(ipc_fill(who), 1);
	}
	ck_assert_int_eq(got, 1);
}

static void
ask(uint64_t id, const char *domain)
{
	const struct sts_req q = {.domain = domain};

	ck_assert_int_eq(ipc_send(&deliverd, M_sts_req, id, &q, -1, 1000), 0);
}

/* keyd's answer to id: "mode, number of mx, failure: text". */
static const char *
answer(uint64_t id)
{
	static const char *const modes[] = {"none", "testing", "enforce", "unknown"};
	static char text[400];
	const struct sts_rep *r;
	struct ipc_msg m;

	receive(&deliverd, &m);
	ck_assert_int_eq(m.def->type, M_sts_rep);
	ck_assert_uint_eq(m.id, id);
	r = m.body;
	(void)snprintf(
	    text, sizeof text, "%s %zu %s: %s", modes[r->mode], r->mxs.n, r->failure, r->text);
	ck_assert(r->mxs.n == 0 || r->policy[0] != '\0');
	ipc_done(&deliverd, &m);
	return text;
}

#define IS(got, part)                                                                              \
	do {                                                                                       \
		const char *got_ = (got);                                                          \
		ck_assert_msg(strncmp(got_, (part), strlen(part)) == 0, "%s", got_);               \
	} while (0)

/* dnsd is asked for the record and answers; NULL: none. */
static void
give_record(enum dns_status status, const char *text)
{
	struct dns_txt one = {{(const uint8_t *)text, text != NULL ? strlen(text) : 0}};
	struct dns_txt_rep r = {
	    .status = (uint8_t)status, .text = "because", .records = {&one, text != NULL}};
	struct ipc_msg m;

	receive(&dnsd, &m);
	ck_assert_int_eq(m.def->type, M_dns_txt_req);
	ck_assert_str_eq(((const struct dns_txt_req *)m.body)->name, "_mta-sts.example.test");
	ck_assert_int_eq(ipc_send(&dnsd, M_dns_txt_rep, m.id, &r, -1, 1000), 0);
	ipc_done(&dnsd, &m);
}

static void
give_address(void)
{
	static const uint8_t home[4] = {127, 0, 0, 1};
	struct dns_addr one = {{home, 4}};
	struct dns_addr_rep r = {.status = DNS_OK, .text = "", .addrs = {&one, 1}};
	struct ipc_msg m;

	receive(&dnsd, &m);
	ck_assert_int_eq(m.def->type, M_dns_addr_req);
	ck_assert_str_eq(((const struct dns_addr_req *)m.body)->name, "mta-sts.example.test");
	ck_assert_int_eq(ipc_send(&dnsd, M_dns_addr_rep, m.id, &r, -1, 1000), 0);
	ipc_done(&dnsd, &m);
}

/* ---- a web server, which takes one connection ---- */

static struct server {
	pthread_t thread;
	const struct holder *who;
	const char *reply;
	char request[2000], sni[300];
	int secured; /* the client has finished the handshake */
} server;

static int
on_sni(SSL *ssl, int *alert, void *arg)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	(void)arg;
	(void)strlcpy(server.sni, name != NULL ? name : "", sizeof server.sni);
	return SSL_TLSEXT_ERR_OK;
}

static void
talk(SSL *ssl)
{
	size_t have = 0;
	int n;

	if (SSL_accept(ssl) != 1)
		return;
	server.secured = 1;
	while (strstr(server.request, "\r\n\r\n") == NULL) {
		n = SSL_read(ssl, server.request + have, (int)(sizeof server.request - 1 - have));
		if (n <= 0)
			return;
		have += (size_t)n;
		server.request[have] = '\0';
	}
	(void)SSL_write(ssl, server.reply, (int)strlen(server.reply));
	(void)SSL_shutdown(ssl);
}

static void *
serve(void *arg)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	struct pollfd p = {.fd = listener, .events = POLLIN};
	SSL *ssl;
	int fd = -1;

	(void)arg;
	SSL_CTX_use_certificate(ctx, server.who->cert);
	SSL_CTX_use_PrivateKey(ctx, server.who->key);
	SSL_CTX_set_tlsext_servername_callback(ctx, on_sni);
	if (poll(&p, 1, PATIENCE_MS) == 1)
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd != -1 && (ssl = SSL_new(ctx)) != NULL) {
		SSL_set_fd(ssl, fd);
		talk(ssl);
		SSL_free(ssl);
		close(fd);
	}
	SSL_CTX_free(ctx);
	ERR_clear_error();
	return NULL;
}

static void
begin_server(const struct holder *who, const char *reply)
{
	memset(&server, 0, sizeof server);
	server.who = who;
	server.reply = reply;
	ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void
end_server(void)
{
	ck_assert_int_eq(pthread_join(server.thread, NULL), 0);
}

#define TEXT "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
#define POLICY(mode, host, age)                                                                    \
	TEXT "version: STSv1\r\nmode: " mode "\r\nmx: " host "\r\nmax_age: " age "\r\n"

/* Ask, and let the record with this id and a server with this certificate and reply do the rest. */
static const char *
look(uint64_t id, const char *record, const struct holder *who, const char *reply)
{
	const char *got;

	begin_server(who, reply);
	ask(id, "example.test");
	give_record(DNS_OK, record);
	give_address();
	got = answer(id);
	end_server();
	return got;
}

/* Nobody is asked. */
static int
is_quiet(void)
{
	return !run_until(dnsd.fd, 30);
}

/* As if that had been a while ago. */
static void
later(uint64_t ms)
{
	struct kept *k = kept_find("example.test", 0);

	ck_assert_ptr_nonnull(k);
	k->checked = k->checked > ms ? k->checked - ms : 0;
	k->failed = k->failed > ms ? k->failed - ms : 0;
}

/* ---- the tests ---- */

START_TEST(a_policy_is_fetched_and_kept)
{
	IS(look(1, "v=STSv1; id=1;", &good, POLICY("enforce", "*.example.test", "86400")),
	    "enforce 1 : ");
	ck_assert_str_eq(server.sni, "mta-sts.example.test");
	ck_assert_int_eq(
	    strncmp(server.request, "GET /.well-known/mta-sts.txt HTTP/1.1\r\n", 39), 0);
	ck_assert_ptr_nonnull(strstr(server.request, "\r\nHost: mta-sts.example.test:"));
	/* Within a minute nobody is asked. */
	ask(2, "Example.Test.");
	IS(answer(2), "enforce 1 : ");
	ck_assert(is_quiet());
	/* Then the record is, and its id says that nothing has changed. */
	later(STS_CHECK_MS);
	ask(3, "example.test");
	give_record(DNS_OK, "v=STSv1; id=1;");
	IS(answer(3), "enforce 1 : ");
	ck_assert(is_quiet());
}
END_TEST

START_TEST(another_id_has_another_policy)
{
	IS(look(1, "v=STSv1; id=1;", &good, POLICY("enforce", "a.example.test", "86400")),
	    "enforce 1 : ");
	later(STS_CHECK_MS);
	IS(look(2, "v=STSv1; id=2;", &good, POLICY("testing", "b.example.test", "86400")),
	    "testing 1 : ");
	later(STS_CHECK_MS);
	IS(look(3, "v=STSv1; id=3;", &good, POLICY("none", "b.example.test", "86400")),
	    "none 1 : ");
}
END_TEST

START_TEST(domains_without_a_record_have_no_policy)
{
	ask(1, "example.test");
	give_record(DNS_NOTFOUND, NULL);
	IS(answer(1), "none 0 : ");
	ask(2, "example.test");
	IS(answer(2), "none 0 : ");
	later(STS_CHECK_MS);
	ask(3, "example.test");
	give_record(DNS_OK, "v=spf1 -all");
	IS(answer(3), "none 0 : ");
	ask(4, "192.0.2.1");
	IS(answer(4), "none 0 : this is no domain that can have a policy");
	ask(5, "a b");
	IS(answer(5), "none 0 : this is no domain that can have a policy");
	ck_assert(is_quiet());
}
END_TEST

START_TEST(what_nobody_knows_is_unknown)
{
	ask(1, "example.test");
	give_record(DNS_TEMPFAIL, NULL);
	IS(answer(1), "unknown 0 : its record cannot be looked up: because");
	/* The next one asks again. */
	ask(2, "example.test");
	give_record(DNS_BOGUS, NULL);
	IS(answer(2), "unknown 0 : its record cannot be looked up: because");
}
END_TEST

START_TEST(bad_certificates_are_told_apart)
{
	IS(look(1, "v=STSv1; id=1", &wrong_name, POLICY("enforce", "a.test", "86400")),
	    "unknown 0 sts-webpki-invalid: certificate of mta-sts.example.test: name");
	ck_assert_str_eq(server.request, "");
	later(STS_CHECK_MS);
	IS(look(2, "v=STSv1; id=2", &foreign, POLICY("enforce", "a.test", "86400")),
	    "unknown 0 sts-webpki-invalid: certificate of mta-sts.example.test: its issuer");
	ck_assert_str_eq(server.request, "");
}
END_TEST

START_TEST(what_is_no_policy_is_not_taken)
{
	static const struct {
		const char *reply, *why;
	} cases[] = {
	    {TEXT "version: STSv2\r\n", "sts-policy-invalid: its version"},
	    {TEXT, "sts-policy-invalid: it has no version"},
	    {"HTTP/1.1 404 Not Found\r\n\r\n", "sts-policy-fetch-error: HTTP status 404"},
	    {"HTTP/1.1 301 Moved\r\nLocation: https://127.0.0.1/\r\n\r\n",
		"sts-policy-fetch-error: HTTP status 301, a redirection"},
	    {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nversion: STSv1\r\n",
		"sts-policy-fetch-error: the answer is not text/plain"},
	    {"", "sts-policy-fetch-error: "},
	};
	char record[40], want[100];
	unsigned i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		if (i > 0)
			later(STS_CHECK_MS);
		(void)snprintf(record, sizeof record, "v=STSv1; id=%u", i);
		(void)snprintf(want, sizeof want, "unknown 0 %s", cases[i].why);
		IS(look(i, record, &good, cases[i].reply), want);
	}
}
END_TEST

START_TEST(a_failure_is_not_tried_again_for_a_while)
{
	IS(look(1, "v=STSv1; id=1", &good, "HTTP/1.1 500 x\r\n\r\n"),
	    "unknown 0 sts-policy-fetch-error: ");
	later(STS_CHECK_MS);
	ask(2, "example.test");
	give_record(DNS_OK, "v=STSv1; id=1");
	IS(answer(2), "unknown 0 sts-policy-fetch-error: HTTP status 500");
	ck_assert(is_quiet());
	later(STS_FAILED_MS);
	IS(look(3, "v=STSv1; id=1", &good, POLICY("enforce", "a.example.test", "86400")),
	    "enforce 1 : ");
	later(STS_CHECK_MS);
	/* A reload forgets failures. */
	IS(look(4, "v=STSv1; id=2", &foreign, ""), "enforce 1 : ");
	stage_ca();
	ck_assert_int_eq(load(keyd.reload), 0);
	IS(look(5, "v=STSv1; id=2", &good, POLICY("testing", "a.example.test", "86400")),
	    "testing 1 : ");
}
END_TEST

/* RFC 8461, 3.3: the point of it all. */
START_TEST(a_policy_that_is_known_outlives_every_attack_on_the_next_one)
{
	IS(look(1, "v=STSv1; id=1", &good, POLICY("enforce", "a.example.test", "86400")),
	    "enforce 1 : ");
	later(STS_CHECK_MS);
	ask(2, "example.test");
	give_record(DNS_NOTFOUND, NULL);
	IS(answer(2), "enforce 1 : ");
	later(STS_CHECK_MS);
	ask(3, "example.test");
	give_record(DNS_TEMPFAIL, NULL);
	IS(answer(3), "enforce 1 : ");
	IS(look(4, "v=STSv1; id=2", &foreign, ""), "enforce 1 : ");
	later(STS_CHECK_MS);
	IS(look(5, "v=STSv1; id=3", &good, TEXT "mode: none"), "enforce 1 : ");
}
END_TEST

START_TEST(a_policy_ends_with_its_max_age)
{
	IS(look(1, "v=STSv1; id=1", &good, POLICY("enforce", "a.example.test", "1")),
	    "enforce 1 : ");
	later(STS_CHECK_MS);
	kept_find("example.test", 0)->policy->expires = clock_unix();
	ask(2, "example.test");
	give_record(DNS_NOTFOUND, NULL);
	IS(answer(2), "none 0 : ");
}
END_TEST

START_TEST(many_who_ask_make_one_question)
{
	begin_server(&good, POLICY("enforce", "a.example.test", "86400"));
	ask(1, "example.test");
	ask(2, "example.test");
	give_record(DNS_OK, "v=STSv1; id=1");
	ask(3, "example.test");
	give_address();
	IS(answer(1), "enforce 1 : ");
	IS(answer(2), "enforce 1 : ");
	IS(answer(3), "enforce 1 : ");
	end_server();
	ck_assert(is_quiet());
	ck_assert_uint_eq(sts_count()->open, 0);
}
END_TEST

START_TEST(an_asker_may_go_away)
{
	begin_server(&good, POLICY("enforce", "a.example.test", "86400"));
	ask(1, "example.test");
	give_record(DNS_OK, "v=STSv1; id=1");
	ipc_close(&deliverd);
	give_address();
	while (sts_count()->open > 0)
		(void)event_base_loop(env()->base, EVLOOP_ONCE);
	end_server();
	plumb(P_DELIVERD, &deliverd);
	ask(2, "example.test");
	IS(answer(2), "enforce 1 : ");
}
END_TEST

START_TEST(never_connects_where_it_may_not)
{
	conf.keyd.allow.n = 0;
	ask(1, "example.test");
	give_record(DNS_OK, "v=STSv1; id=1");
	give_address();
	IS(answer(1), "unknown 0 sts-policy-fetch-error: 127.0.0.1:");
}
END_TEST

START_TEST(without_authorities_there_are_no_policies)
{
	struct err e = {0};

	ck_assert_int_eq(load(keyd.reload), 0);
	ask(1, "example.test");
	give_record(DNS_OK, "v=STSv1; id=1");
	IS(answer(1), "unknown 0 : keyd.sts_ca_file has no authorities");
	stage("nonsense", 8);
	ck_assert_int_eq(files_switch(&e), 0);
	ck_assert_int_eq(keyd.reload(env(), &e), -1);
	files_settle(0);
	ck_assert_ptr_nonnull(strstr(e.text, ca_path));
}
END_TEST

/* Everything but the folder ends and begins again. */
static void
restart(void)
{
	sts_stop();
	neighbours_free();
	ipc_close(&deliverd);
	ipc_close(&dnsd);
	neighbours_init(env(), &keyd, keyd.handlers);
	plumb(P_DELIVERD, &deliverd);
	plumb(P_DNSD, &dnsd);
	stage_ca();
	ck_assert_int_eq(load(keyd.start), 0);
}

START_TEST(policies_are_kept_over_restarts)
{
	IS(look(1, "v=STSv1; id=1", &good, POLICY("enforce", "a.example.test", "86400")),
	    "enforce 1 : ");
	restart();
	ask(2, "example.test");
	give_record(DNS_TEMPFAIL, NULL);
	IS(answer(2), "enforce 1 : ");
	/* With their ids. */
	ask(3, "example.test");
	give_record(DNS_OK, "v=STSv1; id=1");
	IS(answer(3), "enforce 1 : ");
	ck_assert_uint_eq(kept_policies(), 1);
	/* What has run out is not there any more, neither here nor on the disk. */
	kept_find("example.test", 0)->policy->expires = clock_unix();
	kept_find("example.test", 0)->dirty = 1;
	restart();
	ck_assert_uint_eq(kept_policies(), 0);
	kept_save();
	restart();
	ck_assert_ptr_null(kept_find("example.test", 0));
}
END_TEST

START_TEST(a_damaged_store_is_begun_anew)
{
	IS(look(1, "v=STSv1; id=1", &good, POLICY("enforce", "a.example.test", "86400")),
	    "enforce 1 : ");
	sts_stop();
	ck_assert_int_eq(system("dd if=/dev/zero of=data.mdb bs=1 count=64 seek=8 conv=notrunc "
				"2>/dev/null"),
	    0);
	stage_ca();
	ck_assert_int_eq(load(keyd.start), 0);
	ck_assert_uint_eq(kept_policies(), 0);
	IS(look(2, "v=STSv1; id=1", &good, POLICY("enforce", "a.example.test", "86400")),
	    "enforce 1 : ");
	restart();
	ck_assert_uint_eq(kept_policies(), 1);
}
END_TEST

START_TEST(domains_are_bounded)
{
	static struct sts_policy p = {.mode = STS_ENFORCE, .max_age = 86400, .nmx = 1};
	char name[40];
	unsigned i;

	(void)strcpy(p.mx[0], "a.test");
	(void)strcpy(p.text, "version: STSv1");
	ck_assert_int_eq(kept_put(kept_find("keep.test", 1), &p, "1", clock_unix()), 0);
	/* Those without a policy never push out one that has. */
	for (i = 0; i < KEPT_MAX + 100; i++) {
		(void)snprintf(name, sizeof name, "d%u.test", i);
		ck_assert_ptr_nonnull(kept_find(name, 1));
	}
	ck_assert_ptr_null(kept_find("d50.test", 0));
	ck_assert_ptr_nonnull(kept_find("d500.test", 0));
	ck_assert_ptr_nonnull(kept_find("keep.test", 0));
	for (i = 0; i < KEPT_MAX; i++) {
		(void)snprintf(name, sizeof name, "p%u.test", i);
		ck_assert_int_eq(kept_put(kept_find(name, 1), &p, "1", clock_unix()), 0);
	}
	ck_assert_uint_eq(kept_policies(), KEPT_MAX);
	ck_assert_ptr_null(kept_find("keep.test", 0));
	restart();
	ck_assert_uint_eq(kept_policies(), KEPT_MAX);
}
END_TEST

Suite *
sts_suite(void)
{
	return unit_suite_around("sts", set_up, tear_down,
	    (const TTest *const[]){a_policy_is_fetched_and_kept, another_id_has_another_policy,
		domains_without_a_record_have_no_policy, what_nobody_knows_is_unknown,
		bad_certificates_are_told_apart, what_is_no_policy_is_not_taken,
		a_failure_is_not_tried_again_for_a_while,
		a_policy_that_is_known_outlives_every_attack_on_the_next_one,
		a_policy_ends_with_its_max_age, many_who_ask_make_one_question,
		an_asker_may_go_away, never_connects_where_it_may_not,
		without_authorities_there_are_no_policies, policies_are_kept_over_restarts,
		a_damaged_store_is_begun_anew, domains_are_bounded, NULL});
}
