#include <string.h>

#include "net/tls.h"
#include "t/unit/keyprov/pair.h"
#include "t/unit/unit.h"

Suite *handshake_suite(void);

/* --- every algorithm --- */

static const struct {
	enum kind kind;
	int version;
	const char *sigalgs; /* that the client offers */
	uint16_t scheme; /* that is asked for */
} table[] = {
    {RSA_2048, TLS1_3_VERSION, NULL, 0x0804},
    {RSA_2048, TLS1_3_VERSION, "rsa_pss_rsae_sha384", 0x0805},
    {RSA_2048, TLS1_3_VERSION, "rsa_pss_rsae_sha512", 0x0806},
    {RSA_2048, TLS1_2_VERSION, NULL, 0x0804},
    {RSA_2048, TLS1_2_VERSION, "RSA+SHA256", 0x0401},
    {RSA_2048, TLS1_2_VERSION, "RSA+SHA384", 0x0501},
    {RSA_2048, TLS1_2_VERSION, "RSA+SHA512", 0x0601},
    {RSA_3072, TLS1_3_VERSION, NULL, 0x0804},
    {RSA_3072, TLS1_2_VERSION, "RSA+SHA256", 0x0401},
    {RSA_3072, TLS1_2_VERSION, "rsa_pss_rsae_sha256", 0x0804},
    {EC_P256, TLS1_3_VERSION, NULL, 0x0403},
    {EC_P256, TLS1_2_VERSION, NULL, 0x0403},
    /* In TLS 1.2 a curve may go with any hash: the client's wish is not followed. */
    {EC_P256, TLS1_2_VERSION, "ECDSA+SHA512:ECDSA+SHA384:ECDSA+SHA256", 0x0403},
    {EC_P384, TLS1_3_VERSION, NULL, 0x0503},
    {EC_P384, TLS1_2_VERSION, NULL, 0x0503},
    {EC_P521, TLS1_3_VERSION, NULL, 0x0603},
    {EC_P521, TLS1_2_VERSION, NULL, 0x0603},
    {ED_25519, TLS1_3_VERSION, NULL, 0x0807},
    {ED_25519, TLS1_2_VERSION, NULL, 0x0807},
};

static void
shake_all(enum answer answer)
{
	struct cert *certs[KINDS];
	SSL_CTX *server, *client;
	struct pair p;
	size_t i;

	holder_start();
	for (i = 0; i < KINDS; i++)
		certs[i] = cert_make(i);
	for (i = 0; i < sizeof table / sizeof table[0]; i++) {
		holder.answer = answer;
		holder.delay_ms = 2;
		holder.asked = 0;
		server = pair_server(certs[table[i].kind]);
		client = pair_client(certs[table[i].kind], table[i].version, table[i].sigalgs);
		pair_open(&p, 0);
		pair_tls(&p, server, client);
		ck_assert_msg(pair_shaken(&p), "row %zu: %s / %s", i, p.ours.text, p.theirs.text);
		ck_assert_uint_eq(holder.asked, 1);
		ck_assert_int_eq(holder.may_wait, 1);
		ck_assert_uint_eq(holder.scheme, table[i].scheme);
		ck_assert(strncmp(conn_tls_text(p.ours.c),
			      table[i].version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2", 7) == 0);
		ck_assert_ptr_null(conn_handshaking());
		pair_close(&p);
		tls_ctx_free(server);
		tls_ctx_free(client);
	}
	for (i = 0; i < KINDS; i++)
		cert_free(certs[i]);
	holder_stop();
}

START_TEST(shakes_hands_with_every_kind_of_key_answered_at_once)
{
	shake_all(ANSWER_NOW);
}
END_TEST

START_TEST(shakes_hands_with_every_kind_of_key_answered_later)
{
	shake_all(ANSWER_AFTER);
}
END_TEST

START_TEST(an_issuer_with_another_algorithm_does_not_matter)
{
	static const enum kind kinds[][2] = {
	    {RSA_2048, EC_P256}, {EC_P384, RSA_2048}, {EC_P256, ED_25519}, {ED_25519, EC_P521}};
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct cert *ca, *own;
	SSL_CTX *server, *client;
	struct pair p;
	size_t i, v;

	holder_start();
	for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		ca = cert_make(kinds[i][0]);
		own = cert_make(kinds[i][1]);
		X509_NAME_add_entry_by_txt(X509_get_subject_name(own->x), "OU", MBSTRING_UTF8,
		    (const unsigned char *)"below", -1, -1, 0);
		ck_assert_int_gt(
		    X509_sign(own->x, ca->key, kinds[i][0] == ED_25519 ? NULL : EVP_sha256()), 0);
		server = pair_server(own);
		for (v = 0; v < 2; v++) {
			client = pair_client(ca, versions[v], NULL);
			pair_open(&p, 0);
			pair_tls(&p, server, client);
			ck_assert_msg(pair_shaken(&p), "%zu: %s", i, p.theirs.text);
			pair_close(&p);
			tls_ctx_free(client);
		}
		tls_ctx_free(server);
		cert_free(ca);
		cert_free(own);
	}
	holder_stop();
}
END_TEST

/* --- and meanwhile --- */

START_TEST(others_go_on_while_a_signature_is_under_way)
{
	struct pair slow, quick, plain;
	SSL_CTX *server, *client;
	struct cert *c;

	holder_start();
	c = cert_make(EC_P256);
	server = pair_server(c);
	client = pair_client(c, 0, NULL);
	holder.answer = ANSWER_HOLD;
	pair_open(&slow, 0);
	pair_tls(&slow, server, client);
	pair_until(&holder.pending, 1);

	holder.answer = ANSWER_NOW;
	pair_open(&plain, 0);
	pair_echo(&plain);
	pair_until(&plain.rounds, 200);
	pair_open(&quick, 0);
	pair_tls(&quick, server, client);
	ck_assert(pair_shaken(&quick));

	ck_assert_uint_eq(holder.pending, 1);
	ck_assert_uint_eq(slow.ours.secured + slow.ours.closed, 0);
	holder_release(TAILQ_FIRST(&holder.held), true);
	ck_assert(pair_shaken(&slow));
	pair_close(&slow);
	pair_close(&quick);
	pair_close(&plain);
	tls_ctx_free(server);
	tls_ctx_free(client);
	cert_free(c);
	holder_stop();
}
END_TEST

/* Every signature takes 50 ms: they overlap, and a session in clear goes on in each of them. */
START_TEST(handshakes_overlap_when_each_signature_takes_long)
{
	enum { N = 12 };
	struct pair p[N], plain;
	unsigned most = 0, before, i;
	SSL_CTX *server, *client;
	struct cert *c;

	holder_start();
	c = cert_make(RSA_2048);
	server = pair_server(c);
	client = pair_client(c, 0, NULL);
	holder.answer = ANSWER_AFTER;
	holder.delay_ms = 50;
	pair_open(&plain, 0);
	pair_echo(&plain);
	for (i = 0; i < N; i++) {
		pair_open(&p[i], 0);
		pair_tls(&p[i], server, client);
		before = plain.rounds;
		pair_until(&holder.asked, i + 1);
		pair_until(&plain.rounds, before + 1);
		if (holder.pending > most)
			most = holder.pending;
	}
	for (i = 0; i < N; i++)
		ck_assert(pair_shaken(&p[i]));
	ck_assert_uint_gt(most, 1);
	for (i = 0; i < N; i++)
		pair_close(&p[i]);
	pair_close(&plain);
	tls_ctx_free(server);
	tls_ctx_free(client);
	cert_free(c);
	holder_stop();
}
END_TEST

/* More at once than there are jobs (256): some wait for one, none is lost. */
START_TEST(a_thousand_handshakes_are_answered_in_any_order)
{
	enum { N = 1000, ALIVE = 320 };
	static struct pair p[N];
	unsigned begun = 0, done = 0, most = 0, i, k, any;
	SSL_CTX *server, *client;
	struct cert *c;
	struct held *h;

	holder_start();
	c = cert_make(EC_P256);
	server = pair_server(c);
	client = pair_client(c, TLS1_3_VERSION, NULL);
	holder.answer = ANSWER_HOLD;
	while (done < N) {
		for (; begun < N && begun - done < ALIVE; begun++) {
			pair_open(&p[begun], 0);
			pair_tls(&p[begun], server, client);
		}
		for (i = 0; i < 8; i++)
			(void)event_base_loop(holder.base, EVLOOP_NONBLOCK);
		if (holder.pending > most)
			most = holder.pending;
		for (k = 0; k < 50 && holder.pending > 0; k++) {
			any = (unsigned)rand() % (holder.pending < 40 ? holder.pending : 40);
			h = TAILQ_FIRST(&holder.held);
			while (any-- > 0)
				h = TAILQ_NEXT(h, next);
			holder_release(h, true);
		}
		for (i = 0; i < begun; i++) {
			ck_assert_msg(p[i].ours.closed + p[i].theirs.closed == 0, "%u: %s / %s", i,
			    p[i].ours.text, p[i].theirs.text);
			if (p[i].ours.c != NULL && p[i].ours.secured && p[i].theirs.secured) {
				pair_close(&p[i]);
				done++;
			}
		}
	}
	ck_assert_uint_gt(most, 100);
	ck_assert_uint_le(most, 256);
	ck_assert_uint_eq(holder.asked, N);
	tls_ctx_free(server);
	tls_ctx_free(client);
	cert_free(c);
	holder_stop();
}
END_TEST

Suite *
handshake_suite(void)
{
	const TTest *const tests[] = {shakes_hands_with_every_kind_of_key_answered_at_once,
	    shakes_hands_with_every_kind_of_key_answered_later,
	    an_issuer_with_another_algorithm_does_not_matter,
	    others_go_on_while_a_signature_is_under_way,
	    handshakes_overlap_when_each_signature_takes_long,
	    a_thousand_handshakes_are_answered_in_any_order, NULL};

	return unit_suite("handshake", tests);
}
