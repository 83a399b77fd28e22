#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>

#include "net/conn_int.h"
#include "net/tls.h"
#include "t/unit/keyprov/pair.h"
#include "t/unit/unit.h"

Suite *trouble_suite(void);

static struct cert *cert;
static SSL_CTX *server, *client;

static void
start(enum kind kind)
{
	holder_start();
	cert = cert_make(kind);
	server = pair_server(cert);
	client = pair_client(cert, 0, NULL);
}

static void
stop(void)
{
	tls_ctx_free(server);
	tls_ctx_free(client);
	cert_free(cert);
	holder_stop();
}

/* Another handshake of the same process works: nothing is left behind. */
static void
works(void)
{
	struct pair p;

	holder.answer = ANSWER_NOW;
	pair_open(&p, 0);
	pair_tls(&p, server, client);
	ck_assert_msg(pair_shaken(&p), "%s / %s", p.ours.text, p.theirs.text);
	pair_close(&p);
	ck_assert_uint_eq(ERR_peek_error(), 0);
}

START_TEST(a_connection_freed_while_its_signature_is_under_way_cancels_it)
{
	struct pair p[20];
	unsigned i;

	start(RSA_2048);
	holder.answer = ANSWER_HOLD;
	for (i = 0; i < 20; i++) {
		pair_open(&p[i], 0);
		pair_tls(&p[i], server, client);
	}
	pair_until(&holder.pending, 20);
	for (i = 0; i < 20; i += 2)
		pair_close(&p[i]);
	ck_assert_uint_eq(holder.cancelled, 10);
	ck_assert_uint_eq(holder.pending, 10);
	works();
	while (!TAILQ_EMPTY(&holder.held))
		holder_release(TAILQ_FIRST(&holder.held), true);
	for (i = 1; i < 20; i += 2) {
		ck_assert(pair_shaken(&p[i]));
		pair_close(&p[i]);
	}
	ck_assert_uint_eq(conn_count(), 0);
	stop();
}
END_TEST

START_TEST(a_connection_freed_between_answer_and_next_step_leaves_nothing)
{
	struct pair p;

	start(EC_P256);
	holder.answer = ANSWER_HOLD;
	pair_open(&p, 0);
	pair_tls(&p, server, client);
	pair_until(&holder.pending, 1);
	holder_release(TAILQ_FIRST(&holder.held), true);
	pair_close(&p);
	ck_assert_uint_eq(holder.cancelled, 0);
	works();
	stop();
}
END_TEST

START_TEST(one_that_waits_for_a_job_may_be_freed)
{
	enum { N = 270 };
	static struct pair p[N];
	unsigned i;

	start(EC_P256);
	holder.answer = ANSWER_HOLD;
	for (i = 0; i < N; i++) {
		pair_open(&p[i], 0);
		pair_tls(&p[i], server, client);
	}
	pair_until(&holder.pending, 256);
	/* Those that wait and those that hold a job, mixed; whoever is left gets on. */
	for (i = 0; i < N; i++)
		if (i % 3 != 0)
			pair_close(&p[i]);
	for (i = 0; i < N; i += 3)
		while (p[i].ours.secured == 0) {
			while (!TAILQ_EMPTY(&holder.held))
				holder_release(TAILQ_FIRST(&holder.held), true);
			(void)event_base_loop(holder.base, EVLOOP_NONBLOCK);
			ck_assert_uint_eq(p[i].ours.closed, 0);
		}
	for (i = 0; i < N; i += 3)
		pair_close(&p[i]);
	ck_assert_uint_eq(conn_count(), 0);
	stop();
}
END_TEST

START_TEST(the_deadline_of_a_connection_ends_it_though_the_signature_is_missing)
{
	struct pair p;

	start(EC_P256);
	holder.answer = ANSWER_HOLD;
	pair_open(&p, 300);
	pair_tls(&p, server, client);
	pair_until(&p.ours.closed, 1);
	ck_assert_int_eq(p.ours.why, CONN_EXPIRED);
	ck_assert_uint_eq(holder.pending, 0);
	pair_close(&p);
	works();
	stop();
}
END_TEST

START_TEST(a_client_that_leaves_meanwhile_does_no_harm)
{
	struct pair p;

	start(EC_P256);
	holder.answer = ANSWER_HOLD;
	pair_open(&p, 0);
	pair_tls(&p, server, client);
	pair_until(&holder.pending, 1);
	conn_free(p.theirs.c);
	p.theirs.c = NULL;
	holder_release(TAILQ_FIRST(&holder.held), true);
	pair_until(&p.ours.closed, 1);
	ck_assert_int_ne(p.ours.why, CONN_EXPIRED);
	ck_assert_uint_eq(p.ours.secured, 0);
	pair_close(&p);
	works();
	stop();
}
END_TEST

START_TEST(what_a_client_sends_meanwhile_waits_with_it)
{
	struct pair p;
	int i;

	start(EC_P256);
	holder.answer = ANSWER_HOLD;
	pair_open(&p, 0);
	pair_tls(&p, server, client);
	pair_until(&holder.pending, 1);
	ck_assert_int_eq(send(conn_fd(p.theirs.c), "rubbish", 7, MSG_NOSIGNAL), 7);
	for (i = 0; i < 10; i++)
		(void)event_base_loop(holder.base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(holder.pending, 1);
	ck_assert_uint_eq(holder.cancelled, 0);
	ck_assert(!p.ours.c->rd_on); /* or the loop would turn in vain until the answer */
	holder_release(TAILQ_FIRST(&holder.held), true);
	pair_until(&p.ours.closed, 1);
	ck_assert_int_eq(p.ours.why, CONN_TLS_FAILED);
	pair_close(&p);
	works();
	stop();
}
END_TEST

static void
must_fail(enum answer answer, size_t garbage)
{
	struct pair p;

	holder.answer = answer;
	holder.garbage = garbage;
	pair_open(&p, 0);
	pair_tls(&p, server, client);
	pair_until(&p.ours.closed, 1);
	ck_assert_int_eq(p.ours.why, CONN_TLS_FAILED);
	ck_assert_uint_eq(p.ours.secured, 0);
	ck_assert_ptr_nonnull(strstr(p.ours.text, "TLS handshake with the client"));
	pair_until(&p.theirs.closed, 1);
	ck_assert_uint_eq(p.theirs.secured, 0);
	pair_close(&p);
}

START_TEST(a_failed_signature_ends_its_handshake_only)
{
	struct pair p;

	start(RSA_2048);
	must_fail(ANSWER_FAILURE, 0);
	must_fail(ANSWER_REFUSE, 0);
	works();
	holder.answer = ANSWER_HOLD;
	pair_open(&p, 0);
	pair_tls(&p, server, client);
	pair_until(&holder.pending, 1);
	holder_release(TAILQ_FIRST(&holder.held), false);
	pair_until(&p.ours.closed, 1);
	ck_assert_int_eq(p.ours.why, CONN_TLS_FAILED);
	pair_close(&p);
	works();
	stop();
}
END_TEST

/* 0x5a octets; of the right length for RSA and Ed25519 only the client can tell. */
START_TEST(an_answer_that_is_no_signature_ends_its_handshake_only)
{
	static const struct {
		enum kind kind;
		size_t right;
	} kinds[] = {{RSA_2048, 256}, {EC_P256, 0}, {ED_25519, 64}};
	static const size_t wrong[] = {0, 1, 63, 65, 72, 255, 257, KEYPROV_VALUE_MAX};
	size_t i, k;

	for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		start(kinds[i].kind);
		for (k = 0; k < sizeof wrong / sizeof wrong[0]; k++)
			must_fail(ANSWER_GARBAGE, wrong[k]);
		if (kinds[i].right != 0)
			must_fail(ANSWER_GARBAGE, kinds[i].right);
		works();
		stop();
	}
}
END_TEST

Suite *
trouble_suite(void)
{
	const TTest *const tests[] = {
	    a_connection_freed_while_its_signature_is_under_way_cancels_it,
	    a_connection_freed_between_answer_and_next_step_leaves_nothing,
	    one_that_waits_for_a_job_may_be_freed,
	    the_deadline_of_a_connection_ends_it_though_the_signature_is_missing,
	    a_client_that_leaves_meanwhile_does_no_harm,
	    what_a_client_sends_meanwhile_waits_with_it, a_failed_signature_ends_its_handshake_only,
	    an_answer_that_is_no_signature_ends_its_handshake_only, NULL};

	return unit_suite("trouble", tests);
}
