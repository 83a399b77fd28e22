#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "openpgp/pk.h"
#include "t/unit/cryptod/harness.h"

#define THREADS 2 /* as harness_load makes them */

static struct ipc policyd, filterd, keyctl, smtpd, worker[2];
static struct chan *own; /* for answers that nobody reads */
static uint8_t id[2][WORKER_ID] = {"worker--------1", "worker--------2"};
static uint8_t rsa_key[KEY_FPR], quick_key[KEY_FPR];
static const uint8_t digest[64] = "digest";

static void
setup(void)
{
	harness_begin();
	harness_init();
	harness_peer(&policyd, P_POLICYD);
	harness_peer(&filterd, P_FILTERD);
	harness_peer(&keyctl, P_KEYCTL);
	harness_peer(&smtpd, P_SMTPD);
	harness_key(&keyctl, KIND_ED25519, USE_SIGN, quick_key);
	ck_assert_int_eq(harness_rsa(&keyctl, 2048, USE_SIGN, 1700000000, rsa_key), CRYPTO_OK);
	for (int i = 0; i < 2; i++)
		harness_worker(&filterd, &worker[i], id[i]);
}

static void
teardown(void)
{
	struct ipc *all[] = {&policyd, &filterd, &keyctl, &smtpd, &worker[0], &worker[1]};

	chan_free(own);
	for (unsigned i = 0; i < 6; i++)
		ipc_close(all[i]);
	harness_turns(10);
	harness_end();
}

static void
grant(unsigned w, const uint8_t *key, unsigned max, const char *consumer, uint8_t job[JOB_ID])
{
	struct grant_key k = {.key = {key, KEY_FPR}};
	struct grant_req r = {.worker = {id[w], WORKER_ID},
	    .op = OP_SIGN,
	    .max = (uint8_t)max,
	    .ttl = 60000,
	    .consumer = consumer};

	RAND_bytes(job, JOB_ID);
	r.job = (struct bytes){job, JOB_ID};
	r.keys.v = &k;
	r.keys.n = 1;
	ck_assert_int_eq(harness_status(&policyd, M_grant_req, &r), CRYPTO_OK);
}

static struct sign_req
request(const uint8_t *job, const uint8_t *key)
{
	return (struct sign_req){
	    .job = {job, JOB_ID}, .key = {key, KEY_FPR}, .hash = 10, .digest = {digest, 64}};
}

/* The answer to what was sent before. */
static int
answered(struct ipc *c)
{
	struct ipc_msg m;
	int st;

	if (harness_answer(c, &m) == -1)
		return -1;
	st = ((const struct sign_rep *)m.body)->status;
	ipc_done(c, &m);
	return st;
}

/* Operations that keep every thread busy until the gate is open. */
static int closed, begun;

static enum crypto_status
wait_at_gate(struct op *op)
{
	(void)op;
	(void)__atomic_add_fetch(&begun, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&closed, __ATOMIC_SEQ_CST))
		(void)usleep(1000);
	return CRYPTO_OK;
}

static void
no_answer(struct op *op)
{
	(void)op;
}

static void
submit(unsigned n, const char *line)
{
	struct op op = {.line = line, .slow = 1, .work = wait_at_gate, .done = no_answer};
	int fds[2];

	if (own == NULL) {
		ck_assert_int_eq(ipc_pair(fds), 0);
		own = chan_new(base, fds[0], P_CRYPTOD, P_KEYCTL, cryptod_handlers, NULL, NULL);
		ck_assert_ptr_nonnull(own);
	}
	op.chan = own;
	while (n-- > 0)
		op_run(&op);
}

static void
occupy(void)
{
	__atomic_store_n(&closed, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&begun, 0, __ATOMIC_SEQ_CST);
	submit(THREADS, "busy");
	for (int i = 0; i < 20000 && __atomic_load_n(&begun, __ATOMIC_SEQ_CST) < THREADS; i++)
		(void)usleep(1000);
	ck_assert_int_eq(__atomic_load_n(&begun, __ATOMIC_SEQ_CST), THREADS);
}

static void
open_gate(void)
{
	__atomic_store_n(&closed, 0, __ATOMIC_SEQ_CST);
}

static void *
opener(void *arg)
{
	(void)arg;
	(void)usleep(50000);
	open_gate();
	return NULL;
}

/* For what waits for the threads itself: the gate is opened meanwhile. */
static void
while_opening(void (*fn)(void))
{
	pthread_t t;

	ck_assert_int_eq(pthread_create(&t, NULL, opener, NULL), 0);
	fn();
	(void)pthread_join(t, NULL);
}

START_TEST(a_slow_key_holds_up_no_quick_one)
{
	uint8_t slow_job[JOB_ID], quick_job[JOB_ID];
	struct sign_req slow, quick;

	grant(0, rsa_key, 1, "alice", slow_job);
	grant(1, quick_key, 8, "bob", quick_job);
	slow = request(slow_job, rsa_key);
	quick = request(quick_job, quick_key);
	occupy();
	ck_assert_int_eq(harness_send(&worker[0], M_sign_req, &slow), 0);
	harness_turns(4);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(harness_status(&worker[1], M_sign_req, &quick), CRYPTO_OK);
	/* The slow one waits for a thread still. */
	ck_assert_uint_eq(ops_count(), THREADS + 1);
	open_gate();
	ck_assert_int_eq(answered(&worker[0]), CRYPTO_OK);
	ck_assert_uint_eq(cryptod.nsigned, 9);
}
END_TEST

START_TEST(a_grant_counts_when_it_is_asked_for)
{
	uint8_t job[JOB_ID];
	struct sign_req r;

	grant(0, rsa_key, 1, "alice", job);
	r = request(job, rsa_key);
	occupy();
	ck_assert_int_eq(harness_send(&worker[0], M_sign_req, &r), 0);
	ck_assert_int_eq(harness_send(&worker[0], M_sign_req, &r), 0);
	ck_assert_int_eq(answered(&worker[0]), CRYPTO_DENIED);
	open_gate();
	ck_assert_int_eq(answered(&worker[0]), CRYPTO_OK);
}
END_TEST

START_TEST(what_is_under_way_when_it_is_locked_is_answered_locked)
{
	uint8_t job[JOB_ID];
	struct sign_req r;

	grant(0, rsa_key, 2, "alice", job);
	r = request(job, rsa_key);
	occupy();
	ck_assert_int_eq(harness_send(&worker[0], M_sign_req, &r), 0);
	harness_turns(4);
	ck_assert_uint_eq(ops_count(), THREADS + 1);
	while_opening(cryptod_lock);
	ck_assert_uint_eq(ops_count(), 0);
	ck_assert_ptr_null(cryptod.keys);
	ck_assert_int_eq(answered(&worker[0]), CRYPTO_LOCKED);
	ck_assert_uint_eq(cryptod.nsigned, 0);
}
END_TEST

START_TEST(a_signature_made_before_the_lock_is_not_given_out_after_it)
{
	uint8_t job[JOB_ID];
	struct sign_req r;

	grant(0, rsa_key, 2, "alice", job);
	r = request(job, rsa_key);
	ck_assert_int_eq(harness_send(&worker[0], M_sign_req, &r), 0);
	/* Until the loop has it; then it does not turn, so nothing is answered. */
	for (int i = 0; i < 1000 && ops_count() == 0; i++)
		(void)event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
	ck_assert_uint_eq(ops_count(), 1);
	(void)usleep(100000);
	cryptod_lock();
	ck_assert_int_eq(answered(&worker[0]), CRYPTO_LOCKED);
	ck_assert_uint_eq(cryptod.nsigned, 0);
}
END_TEST

START_TEST(whoever_goes_before_the_answer_does_no_harm)
{
	struct tls_sign_req tls = {.scheme = 0x0804, .data = {digest, 32}};
	uint8_t job[2][JOB_ID], tls_key[KEY_FPR];
	struct sign_req r;

	ck_assert_int_eq(harness_rsa(&keyctl, 2048, USE_TLS, 0, tls_key), CRYPTO_OK);
	tls.key = (struct bytes){tls_key, KEY_FPR};
	for (int i = 0; i < 2; i++) {
		grant((unsigned)i, rsa_key, 4, "alice", job[i]);
		r = request(job[i], rsa_key);
		/* Some at work, or all of them waiting. */
		if (i == 1)
			occupy();
		for (int k = 0; k < 4; k++)
			ck_assert_int_eq(harness_send(&worker[i], M_sign_req, &r), 0);
		ck_assert_int_eq(harness_send(&smtpd, M_tls_sign_req, &tls), 0);
		harness_turns(2);
		ipc_close(&worker[i]);
		ops_forget_peer(P_SMTPD, 0);
		for (int k = 0; k < 20000 && cryptod.nworkers > 1u - (unsigned)i; k++)
			harness_turns(1);
		if (i == 1) {
			/* What nobody waits for is not begun. */
			ck_assert_uint_eq(ops_count(), THREADS);
			open_gate();
		}
		for (int k = 0; k < 20000 && ops_count() > 0; k++) {
			harness_turns(1);
			(void)usleep(1000);
		}
		ck_assert_uint_eq(ops_count(), 0);
		ck_assert_uint_eq(cryptod.nworkers, 1u - (unsigned)i);
	}
	/* All of it, when the process ends. */
	occupy();
	ck_assert_int_eq(harness_send(&smtpd, M_tls_sign_req, &tls), 0);
	harness_turns(4);
	ck_assert_uint_eq(ops_count(), THREADS + 1);
	while_opening(cryptod_unload);
	ck_assert_uint_eq(ops_count(), 0);
}
END_TEST

START_TEST(says_busy_when_too_much_waits)
{
	uint8_t job[2][JOB_ID];
	struct sign_req r[2];

	grant(0, rsa_key, 2, "alice", job[0]);
	grant(1, rsa_key, 2, "bob", job[1]);
	occupy();
	submit(POOL_LINE_MAX, "alice");
	r[0] = request(job[0], rsa_key);
	r[1] = request(job[1], rsa_key);
	ck_assert_int_eq(harness_status(&worker[0], M_sign_req, &r[0]), CRYPTO_BUSY);
	ck_assert_int_eq(harness_send(&worker[1], M_sign_req, &r[1]), 0);
	harness_turns(4);
	ck_assert_uint_eq(ops_count(), THREADS + POOL_LINE_MAX + 1);
	open_gate();
	ck_assert_int_eq(answered(&worker[1]), CRYPTO_OK);
	for (int k = 0; k < 20000 && ops_count() > 0; k++) {
		harness_turns(1);
		(void)usleep(1000);
	}
	ck_assert_int_eq(harness_status(&worker[0], M_sign_req, &r[0]), CRYPTO_OK);
}
END_TEST

START_TEST(a_key_in_use_may_leave_the_cache)
{
	uint8_t job[JOB_ID];
	struct sign_req r;

	grant(0, rsa_key, 8, "alice", job);
	r = request(job, rsa_key);
	for (int i = 0; i < 4; i++) {
		occupy();
		ck_assert_int_eq(harness_send(&worker[0], M_sign_req, &r), 0);
		ck_assert_int_eq(harness_send(&worker[0], M_sign_req, &r), 0);
		harness_turns(4);
		ck_assert_uint_eq(ops_count(), THREADS + 2);
		keys_forget(cryptod.keys);
		open_gate();
		ck_assert_int_eq(answered(&worker[0]), CRYPTO_OK);
		ck_assert_int_eq(answered(&worker[0]), CRYPTO_OK);
		for (int k = 0; k < 20000 && ops_count() > 0; k++)
			harness_turns(1);
	}
}
END_TEST

START_TEST(quick_keys_are_those_that_take_microseconds)
{
	static const struct {
		enum key_kind kind;
		enum key_use use;
		int slow;
	} t[] = {
	    {KIND_ED25519, USE_SIGN, 0},
	    {KIND_CV25519, USE_DECRYPT, 0},
	    {KIND_P256, USE_SIGN, 0},
	    {KIND_P256, USE_DECRYPT, 0},
	    {KIND_P256, USE_TLS, 0},
	    {KIND_P384, USE_SIGN, 1},
	    {KIND_P384, USE_DECRYPT, 1},
	    {KIND_P521, USE_TLS, 1},
	    {KIND_BP256, USE_SIGN, 1},
	    {KIND_BP512, USE_DECRYPT, 1},
	};
	struct loaded_key *k;
	uint8_t fpr[KEY_FPR];
	struct err e = {0};

	for (unsigned i = 0; i < sizeof t / sizeof t[0]; i++) {
		harness_key(&keyctl, t[i].kind, t[i].use, fpr);
		ck_assert_ptr_nonnull(k = keys_get(cryptod.keys, (struct bytes){fpr, KEY_FPR}, &e));
		ck_assert_msg(k->slow == t[i].slow, "kind %d use %d", t[i].kind, t[i].use);
		/* A slow one is not even loaded by the loop. */
		ck_assert_int_eq(k->skey == NULL, t[i].slow);
	}
	ck_assert_ptr_nonnull(k = keys_get(cryptod.keys, (struct bytes){rsa_key, KEY_FPR}, &e));
	ck_assert_int_eq(k->slow, 1);
}
END_TEST

/* Everything at once, with children made in between: what a race would break. */
START_TEST(many_keys_many_threads_and_children)
{
	static const enum key_kind kinds[] = {
	    KIND_P256, KIND_P384, KIND_P521, KIND_BP256, KIND_RSA3072};
	struct keys_lock_req lock = {0};
	struct keys_unlock_req unlock = {.seal = {seal, SEAL_KEY_LEN}};
	uint8_t fpr[6][KEY_FPR], job[2][JOB_ID];
	struct sign_req r;
	unsigned sent[2];

	memcpy(fpr[5], rsa_key, KEY_FPR);
	for (unsigned i = 0; i < 4; i++)
		harness_key(&keyctl, kinds[i], USE_SIGN, fpr[i]);
	for (unsigned round = 0; round < 3; round++) {
		sent[0] = sent[1] = 0;
		for (unsigned k = 0; k < 6; k++) {
			if (k == 4)
				continue;
			for (unsigned w = 0; w < 2; w++) {
				grant(w, fpr[k], 8, w == 0 ? "alice" : "bob", job[w]);
				r = request(job[w], fpr[k]);
				for (int i = 0; i < 8; i++, sent[w]++)
					ck_assert_int_eq(
					    harness_send(&worker[w], M_sign_req, &r), 0);
			}
		}
		/* Forks with all threads at work. */
		harness_key(&keyctl, KIND_RSA3072, USE_SIGN, fpr[4]);
		for (unsigned w = 0; w < 2; w++)
			while (sent[w]-- > 0)
				ck_assert_int_eq(answered(&worker[w]), CRYPTO_OK);
		ck_assert_int_eq(harness_status(&keyctl, M_keys_lock_req, &lock), CRYPTO_OK);
		ck_assert_int_eq(harness_status(&keyctl, M_keys_unlock_req, &unlock), CRYPTO_OK);
	}
}
END_TEST

Suite *slow_suite(void);

Suite *
slow_suite(void)
{
	const TTest *const tests[] = {
	    a_slow_key_holds_up_no_quick_one,
	    a_grant_counts_when_it_is_asked_for,
	    what_is_under_way_when_it_is_locked_is_answered_locked,
	    a_signature_made_before_the_lock_is_not_given_out_after_it,
	    whoever_goes_before_the_answer_does_no_harm,
	    says_busy_when_too_much_waits,
	    a_key_in_use_may_leave_the_cache,
	    quick_keys_are_those_that_take_microseconds,
	    many_keys_many_threads_and_children,
	    NULL,
	};

	return unit_suite_around("cryptod slow", setup, teardown, tests);
}
