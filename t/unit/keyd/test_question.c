#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/clock.h"
#include "proc/internal.h"
#include "t/unit/keyd/pki.h"
#include "t/unit/unit.h"

Suite *question_suite(void);

#define PATIENCE_MS 30000

/* keyd itself, an asker and dnsd at the other ends of its channels, and a responder on loopback. */
static struct conf conf;
static struct net loopback;
static struct ipc pop3d, dnsd;
static struct holder ca, leaf, no_aia;
static int listener;
static uint16_t port;
static char request[20000]; /* the last one that the responder got */
static uint8_t der[OCSP_DER_MAX];
static size_t n;

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

static void
make_leaf(struct holder *h, const char *host, long serial)
{
	char aia[200];

	(void)snprintf(aia, sizeof aia, "OCSP;URI:http://%s:%u/ocsp?x=1", host, port);
	holder_make(h,
	    &(struct holder_spec){.name = "server", .issuer = &ca, .serial = serial, .aia = aia});
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
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof sin;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&sin, sizeof sin), 0);
	ck_assert_int_eq(listen(listener, 1000), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&sin, &len), 0);
	port = ntohs(sin.sin_port);
	ck_assert_int_eq(net_parse("127.0.0.0/8", &loopback), 0);
	conf.keyd.allow = (struct conf_nets){&loopback, 1};
	log_set_sink(no_log, NULL);
	env()->base = event_base_new();
	env()->conf = &conf;
	env()->self = P_KEYD;
	neighbours_init(env(), &keyd, keyd.handlers);
	plumb(P_POP3D, &pop3d);
	plumb(P_DNSD, &dnsd);
	holder_make(&ca, &(struct holder_spec){.name = "Authority", .serial = 1, .ca = 1});
	make_leaf(&leaf, "127.0.0.1", 10);
	holder_make(&no_aia, &(struct holder_spec){.name = "x", .issuer = &ca, .serial = 11});
	n = response_make(
	    &(struct response_spec){.about = &leaf, .issuer = &ca, .signer = &ca, .until = 3600},
	    der, sizeof der);
}

static void
tear_down(void)
{
	question_abort();
	cache_clear();
	neighbours_free();
	ipc_close(&pop3d);
	ipc_close(&dnsd);
	close(listener);
	event_base_free(env()->base);
	holder_free(&ca);
	holder_free(&leaf);
	holder_free(&no_aia);
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
ask_with(const struct holder *h, uint64_t id, const uint8_t *stapled, size_t len)
{
	struct ocsp_req q = {
	    .cert = {h->der, h->n}, .issuer = {ca.der, ca.n}, .stapled = {stapled, len}};

	ck_assert_int_eq(ipc_send(&pop3d, M_ocsp_req, id, &q, -1, 1000), 0);
}

static void
ask(const struct holder *h, uint64_t id)
{
	ask_with(h, id, NULL, 0);
}

/* keyd's answer to id; "status text", and whether it has the response that was made. */
static const char *
answer(uint64_t id)
{
	static const char *const names[] = {"good", "revoked", "unknown", "none", "unreachable"};
	static char text[300];
	const struct ocsp_rep *r;
	struct ipc_msg m;
	int got;

	while ((got = ipc_next(&pop3d, &m)) == 0) {
		ck_assert_msg(run_until(pop3d.fd, PATIENCE_MS), "no answer");
		ck_assert_int_eq(ipc_fill(&pop3d), 1);
	}
	ck_assert_int_eq(got, 1);
	ck_assert_int_eq(m.def->type, M_ocsp_rep);
	ck_assert_uint_eq(m.id, id);
	r = m.body;
	ck_assert_uint_lt(r->status, OCSP_STATUS_MAX);
	(void)snprintf(text, sizeof text, "%s %s", names[r->status], r->text);
	if (r->status == OCSP_GOOD || r->status == OCSP_REVOKED) {
		ck_assert_uint_eq(r->response.n, n);
		ck_assert_int_eq(memcmp(r->response.p, der, n), 0);
	} else
		ck_assert_uint_eq(r->response.n, 0);
	ipc_done(&pop3d, &m);
	return text;
}

/* A connection of keyd's, with its whole request taken in. */
static int
take(void)
{
	size_t have = 0, length = 0;
	char *body = NULL, *field;
	ssize_t got;
	int fd;

	ck_assert_msg(run_until(listener, PATIENCE_MS), "keyd does not connect");
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ne(fd, -1);
	while (body == NULL || have - (size_t)(body - request) < length) {
		ck_assert(run_until(fd, PATIENCE_MS));
		got = read(fd, request + have, sizeof request - 1 - have);
		ck_assert_int_gt(got, 0);
		have += (size_t)got;
		request[have] = '\0';
		if (body == NULL && (body = strstr(request, "\r\n\r\n")) != NULL) {
			field = strstr(request, "Content-Length: ");
			ck_assert_ptr_nonnull(field);
			length = strtoul(field + 16, NULL, 10);
			body += 4;
		}
	}
	return fd;
}

static void
give(int fd, const char *head, const void *body, size_t len)
{
	ck_assert_int_eq(write(fd, head, strlen(head)), (ssize_t)strlen(head));
	if (len > 0)
		ck_assert_int_eq(write(fd, body, len), (ssize_t)len);
	close(fd);
}

#define OK "HTTP/1.0 200 OK\r\nContent-Type: application/ocsp-response\r\n\r\n"

#define IS(got, part)                                                                              \
	do {                                                                                       \
		const char *got_ = (got);                                                          \
		ck_assert_msg(strncmp(got_, (part), strlen(part)) == 0, "%s", got_);               \
	} while (0)

START_TEST(asks_the_responder_once_and_remembers)
{
	char host[40];
	struct question_counts before = *question_count();

	ask(&leaf, 1);
	give(take(), OK, der, n);
	IS(answer(1), "good");
	(void)snprintf(host, sizeof host, "\r\nHost: 127.0.0.1:%u\r\n", port);
	ck_assert_int_eq(strncmp(request, "POST /ocsp?x=1 HTTP/1.0\r\n", 25), 0);
	ck_assert_ptr_nonnull(strstr(request, host));
	ck_assert_ptr_nonnull(strstr(request, "\r\nContent-Type: application/ocsp-request\r\n"));
	ask(&leaf, 2);
	IS(answer(2), "good");
	ck_assert(!run_until(listener, 50));
	ck_assert_uint_eq(question_count()->asked - before.asked, 2);
	ck_assert_uint_eq(question_count()->fetched - before.fetched, 1);
	ck_assert_uint_eq(question_count()->cached - before.cached, 1);
}
END_TEST

START_TEST(says_what_the_responder_says)
{
	n = response_make(&(struct response_spec){.about = &leaf,
			      .issuer = &ca,
			      .signer = &ca,
			      .status = V_OCSP_CERTSTATUS_REVOKED,
			      .until = 3600},
	    der, sizeof der);
	ask(&leaf, 1);
	give(take(), OK, der, n);
	IS(answer(1), "revoked revoked at 2026-01-01 00:00 UTC: keyCompromise");
	cache_clear();
	n = response_make(&(struct response_spec){.about = &leaf,
			      .issuer = &ca,
			      .signer = &ca,
			      .status = V_OCSP_CERTSTATUS_UNKNOWN,
			      .until = 3600},
	    der, sizeof der);
	ask(&leaf, 2);
	give(take(), OK, der, n);
	IS(answer(2), "unknown its responder does not know it");
}
END_TEST

START_TEST(many_who_ask_the_same_make_one_question)
{
	int fd;

	ask(&leaf, 1);
	ask(&leaf, 2);
	fd = take();
	ask(&leaf, 3);
	ck_assert(!run_until(listener, 50));
	ck_assert_uint_eq(question_count()->open, 1);
	give(fd, OK, der, n);
	IS(answer(1), "good");
	IS(answer(2), "good");
	IS(answer(3), "good");
	ck_assert_uint_eq(question_count()->open, 0);
}
END_TEST

START_TEST(what_is_stapled_saves_the_question_if_it_is_valid)
{
	uint8_t old[OCSP_DER_MAX];
	size_t len;

	ask_with(&leaf, 1, der, n);
	IS(answer(1), "good");
	/* And is remembered. */
	ask(&leaf, 2);
	IS(answer(2), "good");
	ck_assert(!run_until(listener, 50));
	cache_clear();
	len = response_make(
	    &(struct response_spec){
		.about = &leaf, .issuer = &ca, .signer = &ca, .from = -7200, .until = -3600},
	    old, sizeof old);
	ask_with(&leaf, 3, old, len);
	give(take(), OK, der, n);
	IS(answer(3), "good");
	/* Of one without a responder it is all there is. */
	ask_with(&no_aia, 4, old, len);
	IS(answer(4), "unreachable what is stapled is not valid, and there is no responder: ");
}
END_TEST

START_TEST(an_answer_of_the_responder_goes_before_what_is_stapled)
{
	uint8_t good[OCSP_DER_MAX];
	size_t len = n;

	memcpy(good, der, n);
	n = response_make(&(struct response_spec){.about = &leaf,
			      .issuer = &ca,
			      .signer = &ca,
			      .status = V_OCSP_CERTSTATUS_REVOKED,
			      .until = 3600},
	    der, sizeof der);
	ask(&leaf, 1);
	give(take(), OK, der, n);
	IS(answer(1), "revoked");
	ask_with(&leaf, 2, good, len);
	IS(answer(2), "revoked");
}
END_TEST

START_TEST(says_when_there_is_nobody_to_ask)
{
	struct holder h = leaf;
	struct ocsp_req q = {.cert = {leaf.der, leaf.n}, .issuer = {no_aia.der, no_aia.n}};

	ask(&no_aia, 1);
	IS(answer(1), "none the certificate names no responder");
	h.n = 20;
	ask(&h, 2);
	IS(answer(2), "unreachable the certificate cannot be parsed");
	ck_assert_int_eq(ipc_send(&pop3d, M_ocsp_req, 3, &q, -1, 1000), 0);
	IS(answer(3), "unreachable the certificate was not issued by the one behind it");
	holder_make(&h,
	    &(struct holder_spec){
		.name = "x", .issuer = &ca, .serial = 12, .aia = "OCSP;URI:https://x.example/"});
	ask(&h, 4);
	IS(answer(4), "unreachable the certificate names a responder that cannot be asked: "
		      "its URL is none of http");
	holder_free(&h);
}
END_TEST

START_TEST(failures_are_remembered_until_a_reload)
{
	struct err e;

	close(listener);
	ask(&leaf, 1);
	ck_assert_ptr_nonnull(strstr(answer(1), "Connection refused"));
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), 0);
	ck_assert_int_eq(bind(listener,
			     (struct sockaddr *)&(struct sockaddr_in){.sin_family = AF_INET,
				 .sin_addr = {htonl(INADDR_LOOPBACK)},
				 .sin_port = htons(port)},
			     sizeof(struct sockaddr_in)),
	    0);
	ck_assert_int_eq(listen(listener, 10), 0);
	ask(&leaf, 2);
	ck_assert_ptr_nonnull(strstr(answer(2), "Connection refused"));
	ck_assert_int_eq(keyd.reload(env(), &e), 0);
	ask(&leaf, 3);
	give(take(), OK, der, n);
	IS(answer(3), "good");
}
END_TEST

START_TEST(bad_answers_are_none)
{
	static const struct {
		const char *head;
		int with_body;
		const char *why;
	} cases[] = {
	    {"", 0, "unreachable the answer ended too early"},
	    {OK, 0, "unreachable the response is none of OCSP"},
	    {OK "garbage", 0, "unreachable the response is none of OCSP"},
	    {OK "x", 1, "unreachable the response is none of OCSP"},
	    {"HTTP/1.0 200 OK\r\nContent-Length: 9999\r\n\r\n", 1,
		"unreachable the answer ended too early"},
	    {"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n", 1,
		"unreachable the response is none of OCSP"},
	    {"HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", 1,
		"unreachable HTTP status 302"},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		cache_clear();
		ask(&leaf, i);
		give(take(), cases[i].head, der, cases[i].with_body ? n : 0);
		IS(answer(i), cases[i].why);
		ck_assert(!run_until(listener, 5));
	}
}
END_TEST

START_TEST(an_endless_answer_is_given_up)
{
	char more[4096];
	size_t sum = 0;
	int fd;

	memset(more, 'x', sizeof more);
	ask(&leaf, 1);
	fd = take();
	ck_assert_int_gt(write(fd, OK, strlen(OK)), 0);
	while (send(fd, more, sizeof more, MSG_NOSIGNAL | MSG_DONTWAIT) > 0 && sum < 64000000) {
		sum += sizeof more;
		(void)event_base_loop(env()->base, EVLOOP_NONBLOCK);
	}
	IS(answer(1), "unreachable the answer has more than 16384 octets");
	ck_assert_uint_lt(sum, 64000000);
	close(fd);
}
END_TEST

START_TEST(a_slow_answer_is_given_up)
{
	uint64_t end = clock_ms() + PATIENCE_MS;
	int fd;

	ask(&leaf, 1);
	fd = take();
	ck_assert_int_gt(write(fd, OK, strlen(OK)), 0);
	/* Something moves all the time. */
	while (!run_until(pop3d.fd, 300) && clock_ms() < end)
		(void)send(fd, "x", 1, MSG_NOSIGNAL);
	IS(answer(1), "unreachable no answer in time (responder 127.0.0.1:");
	ck_assert_uint_eq(question_count()->open, 0);
	close(fd);
}
END_TEST

START_TEST(never_connects_where_it_may_not)
{
	conf.keyd.allow.n = 0;
	ask(&leaf, 1);
	IS(answer(1), "unreachable 127.0.0.1:");
	ck_assert(!run_until(listener, 50));
	cache_clear();
	conf.keyd.allow.n = 1;
	ask(&leaf, 2);
	give(take(), OK, der, n);
	IS(answer(2), "good");
}
END_TEST

/* dnsd is asked and answers. */
static void
resolve(enum dns_status status, const char *text, struct dns_addr *addrs, size_t naddrs)
{
	struct dns_addr_rep r = {.status = (uint8_t)status, .text = text, .addrs = {addrs, naddrs}};
	struct ipc_msg m;

	ck_assert(run_until(dnsd.fd, PATIENCE_MS));
	ck_assert_int_eq(ipc_recv(&dnsd, &m, 1000), 0);
	ck_assert_int_eq(m.def->type, M_dns_addr_req);
	ck_assert_str_eq(((const struct dns_addr_req *)m.body)->name, "ocsp.example.org");
	ck_assert_int_eq(ipc_send(&dnsd, M_dns_addr_rep, m.id, &r, -1, 1000), 0);
	ipc_done(&dnsd, &m);
}

START_TEST(names_are_resolved_by_dnsd)
{
	static const uint8_t home[4] = {127, 0, 0, 1}, inside[4] = {10, 0, 0, 1},
			     inside6[16] = {0xfd};
	struct dns_addr addrs[3] = {{{inside6, 16}}, {{inside, 4}}, {{home, 4}}};
	struct holder h;

	make_leaf(&h, "OCSP.example.org", 20);
	ask(&h, 1);
	resolve(DNS_NOTFOUND, "there is no such name", NULL, 0);
	IS(answer(1), "unreachable there is no such name (responder ocsp.example.org:");
	cache_clear();
	/* A name that leads inside: of three addresses one may be asked. */
	ask(&h, 2);
	resolve(DNS_OK, "", addrs, 2);
	IS(answer(2), "unreachable [fd00::]:");
	cache_clear();
	n = response_make(
	    &(struct response_spec){.about = &h, .issuer = &ca, .signer = &ca, .until = 3600}, der,
	    sizeof der);
	ask(&h, 3);
	resolve(DNS_OK, "", addrs, 3);
	give(take(), OK, der, n);
	IS(answer(3), "good");
	ck_assert_ptr_nonnull(strstr(request, "\r\nHost: ocsp.example.org:"));
	holder_free(&h);
}
END_TEST

START_TEST(an_asker_may_go_away)
{
	int fd;

	ask(&leaf, 1);
	fd = take();
	ipc_close(&pop3d);
	(void)run_until(listener, 20);
	give(fd, OK, der, n);
	(void)run_until(listener, 50);
	ck_assert_uint_eq(question_count()->open, 0);
	plumb(P_POP3D, &pop3d);
	ask(&leaf, 2);
	IS(answer(2), "good");
	ck_assert(!run_until(listener, 20));
}
END_TEST

START_TEST(questions_under_way_are_bounded)
{
	struct question_counts before = *question_count();
	struct holder h;
	unsigned i;

	for (i = 0; i <= QUESTIONS_MAX; i++) {
		make_leaf(&h, "127.0.0.1", 100 + i);
		ask(&h, i);
		holder_free(&h);
		(void)event_base_loop(env()->base, EVLOOP_NONBLOCK);
	}
	IS(answer(QUESTIONS_MAX), "unreachable too many questions are under way");
	ck_assert_uint_eq(question_count()->open, QUESTIONS_MAX);
	ck_assert_uint_eq(question_count()->fetched - before.fetched, QUESTIONS_MAX);
	question_abort();
	ck_assert_uint_eq(question_count()->open, 0);
}
END_TEST

Suite *
question_suite(void)
{
	return unit_suite_around("question", set_up, tear_down,
	    (const TTest *const[]){asks_the_responder_once_and_remembers,
		says_what_the_responder_says, many_who_ask_the_same_make_one_question,
		what_is_stapled_saves_the_question_if_it_is_valid,
		an_answer_of_the_responder_goes_before_what_is_stapled,
		says_when_there_is_nobody_to_ask, failures_are_remembered_until_a_reload,
		bad_answers_are_none, an_endless_answer_is_given_up, a_slow_answer_is_given_up,
		never_connects_where_it_may_not, names_are_resolved_by_dnsd, an_asker_may_go_away,
		questions_under_way_are_bounded, NULL});
}
