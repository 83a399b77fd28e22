#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "openpgp/pk.h"
#include "t/unit/cryptod/harness.h"

static struct ipc policyd, filterd, keyctl, worker[2];
static uint8_t id[2][WORKER_ID] = {"worker--------1", "worker--------2"};
static uint8_t job[JOB_ID];
static uint8_t sign_key[KEY_FPR], decrypt_key[KEY_FPR], certify_key[KEY_FPR], rsa_key[KEY_FPR];
static const uint8_t digest[64] = "digest";

static void
setup(void)
{
	harness_begin();
	harness_init();
	harness_peer(&policyd, P_POLICYD);
	harness_peer(&filterd, P_FILTERD);
	harness_peer(&keyctl, P_KEYCTL);
	harness_key(&keyctl, KIND_ED25519, USE_CERTIFY, certify_key);
	harness_key(&keyctl, KIND_ED25519, USE_SIGN, sign_key);
	harness_key(&keyctl, KIND_CV25519, USE_DECRYPT, decrypt_key);
	for (int i = 0; i < 2; i++)
		harness_worker(&filterd, &worker[i], id[i]);
}

static void
teardown(void)
{
	struct ipc *all[] = {&policyd, &filterd, &keyctl, &worker[0], &worker[1]};

	for (unsigned i = 0; i < 5; i++)
		ipc_close(all[i]);
	/* The daemon's ends close. */
	for (int i = 0; i < 10; i++)
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
	harness_end();
}

static struct grant_req
grant_of(unsigned w, enum key_op op, struct grant_key *keys, size_t n, unsigned max)
{
	RAND_bytes(job, sizeof job);
	return (struct grant_req){
	    .job = {job, sizeof job},
	    .worker = {id[w], WORKER_ID},
	    .op = (uint8_t)op,
	    .max = (uint8_t)max,
	    .ttl = 60000,
	    .consumer = "alice",
	    .keys = {keys, n},
	};
}

static int
grant(unsigned w, enum key_op op, const uint8_t *key, unsigned max)
{
	struct grant_key k = {.key = {key, KEY_FPR}};
	struct grant_req r = grant_of(w, op, &k, 1, max);

	return harness_status(&policyd, M_grant_req, &r);
}

/* As policyd mostly does: no answer is wanted. */
static void
hand_grant(struct ipc *c, unsigned w, enum key_op op, struct grant_key *keys, size_t n)
{
	struct grant_req r = grant_of(w, op, keys, n, 16);

	ck_assert_int_eq(ipc_queue(c, M_grant_req, 0, &r, -1), 0);
	ck_assert_int_eq(ipc_flush(c), 1);
}

static int
sign(unsigned w, const uint8_t *key)
{
	struct sign_req r = {
	    .job = {job, JOB_ID}, .key = {key, KEY_FPR}, .hash = 10, .digest = {digest, 64}};

	return harness_status(&worker[w], M_sign_req, &r);
}

static int
unwrap(unsigned w, const uint8_t *key, const void *esk, size_t n, struct pgp_session_key *out)
{
	struct unwrap_req r = {.job = {job, JOB_ID}, .key = {key, KEY_FPR}, .esk = {esk, n}};
	const struct unwrap_rep *rep;
	struct ipc_msg m;
	int st;

	if (harness_ask(&worker[w], M_unwrap_req, &r, &m) == -1)
		return -1;
	rep = m.body;
	st = rep->status;
	if (out != NULL) {
		memset(out, 0, sizeof *out);
		out->algo = rep->cipher;
		out->n = (uint8_t)rep->session_key.n;
		if (rep->session_key.n > 0)
			memcpy(out->key, rep->session_key.p, rep->session_key.n);
	}
	ipc_done(&worker[w], &m);
	return st;
}

/* The public half of a stored key. */
static struct pgp_pk *
public_of(const uint8_t *fpr)
{
	struct key_list_req r = {.limit = KEYS_PAGE};
	const struct key_list_rep *rep;
	struct pgp_pk *pk = NULL;
	struct ipc_msg m;
	struct err e;

	ck_assert_int_eq(harness_ask(&keyctl, M_key_list_req, &r, &m), 0);
	rep = m.body;
	for (size_t i = 0; i < rep->keys.n; i++) {
		const struct key_info *k = &rep->keys.v[i];
		struct cert_key ck = {.version = 4,
		    .algo = k->algo,
		    .created = k->created,
		    .fpr = k->fpr,
		    .params = k->params};

		if (memcmp(k->fpr.p, fpr, KEY_FPR) == 0)
			ck_assert_ptr_nonnull(pk = pgp_pk_load(&ck, &e));
	}
	ipc_done(&keyctl, &m);
	ck_assert_ptr_nonnull(pk);
	return pk;
}

START_TEST(signs_by_grant_only)
{
	ck_assert_int_eq(sign(0, sign_key), CRYPTO_DENIED);
	ck_assert_int_eq(grant(0, OP_SIGN, sign_key, 2), CRYPTO_OK);
	ck_assert_int_eq(sign(1, sign_key), CRYPTO_DENIED);
	ck_assert_int_eq(sign(0, certify_key), CRYPTO_DENIED);
	ck_assert_int_eq(sign(0, decrypt_key), CRYPTO_DENIED);
	ck_assert_int_eq(unwrap(0, sign_key, "x", 1, NULL), CRYPTO_DENIED);
	ck_assert_int_eq(sign(0, sign_key), CRYPTO_OK);
	ck_assert_int_eq(sign(0, sign_key), CRYPTO_OK);
	ck_assert_int_eq(sign(0, sign_key), CRYPTO_DENIED);
	ck_assert_uint_eq(cryptod.nsigned, 2);
	ck_assert_uint_eq(cryptod.nrefused, 6);
}
END_TEST

START_TEST(its_signatures_verify)
{
	struct sign_req r = {
	    .job = {job, JOB_ID}, .key = {sign_key, KEY_FPR}, .hash = 10, .digest = {digest, 64}};
	const struct sign_rep *rep;
	struct pgp_pk *pk = public_of(sign_key);
	struct ipc_msg m;

	ck_assert_int_eq(grant(0, OP_SIGN, sign_key, 2), CRYPTO_OK);
	ck_assert_int_eq(harness_ask(&worker[0], M_sign_req, &r, &m), 0);
	rep = m.body;
	ck_assert_int_eq(rep->status, CRYPTO_OK);
	ck_assert_int_eq(pgp_pk_verify(pk, 10, digest, 64, rep->value.p, rep->value.n), 0);
	ipc_done(&worker[0], &m);
	pgp_pk_free(pk);
}
END_TEST

START_TEST(grants_only_what_the_keys_are_for)
{
	static const uint8_t unknown[KEY_FPR];

	ck_assert_int_eq(grant(0, OP_SIGN, certify_key, 1), CRYPTO_DENIED);
	ck_assert_int_eq(grant(0, OP_UNWRAP, certify_key, 1), CRYPTO_DENIED);
	ck_assert_int_eq(grant(0, OP_SIGN, decrypt_key, 1), CRYPTO_DENIED);
	ck_assert_int_eq(grant(0, OP_UNWRAP, sign_key, 1), CRYPTO_DENIED);
	ck_assert_int_eq(grant(0, OP_SIGN, unknown, 1), CRYPTO_NOKEY);
	ck_assert_int_eq(grant(0, OP_UNWRAP, decrypt_key, 1), CRYPTO_OK);
}
END_TEST

START_TEST(unwraps_and_never_tells_why_not)
{
	const struct {
		enum key_kind kind;
		uint8_t *fpr;
	} kinds[] = {{KIND_CV25519, decrypt_key}, {KIND_RSA3072, rsa_key}};
	struct pgp_session_key sk = {.algo = 9, .n = 32, .key = "session key"}, got, again;
	struct pgp_esk esk;
	struct pgp_pk *pk;

	harness_key(&keyctl, KIND_RSA3072, USE_DECRYPT, rsa_key);
	for (unsigned i = 0; i < 2; i++) {
		pk = public_of(kinds[i].fpr);
		ck_assert_int_eq(pgp_pk_wrap(pk, &sk, &esk), 0);
		ck_assert_int_eq(grant(0, OP_UNWRAP, kinds[i].fpr, 16), CRYPTO_OK);
		ck_assert_int_eq(unwrap(0, kinds[i].fpr, esk.data, esk.n, &got), CRYPTO_OK);
		ck_assert_mem_eq(&got, &sk, sizeof sk);
		/* Broken, cut, empty, nonsense: a session key every time, and always the same. */
		for (unsigned bad = 0; bad < 4; bad++) {
			size_t n = bad == 1 ? esk.n / 2 : bad == 2 ? 1 : esk.n;

			if (bad == 0)
				esk.data[esk.n - 7] ^= 1;
			if (bad == 3)
				RAND_bytes(esk.data, (int)esk.n);
			ck_assert_int_eq(unwrap(0, kinds[i].fpr, esk.data, n, &got), CRYPTO_OK);
			ck_assert_int_eq(unwrap(0, kinds[i].fpr, esk.data, n, &again), CRYPTO_OK);
			ck_assert_uint_eq(got.n, 32);
			ck_assert_mem_ne(got.key, sk.key, 32);
			ck_assert_mem_eq(&got, &again, sizeof got);
		}
		pgp_pk_free(pk);
	}
}
END_TEST

START_TEST(voids_grants_when_the_worker_goes)
{
	ck_assert_int_eq(grant(0, OP_SIGN, sign_key, 2), CRYPTO_OK);
	ipc_close(&worker[0]);
	for (int i = 0; i < 10; i++)
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(grants_count(cryptod.grants), 0);
	harness_worker(&filterd, &worker[0], id[0]);
	ck_assert_int_eq(sign(0, sign_key), CRYPTO_DENIED);
}
END_TEST

START_TEST(keeps_an_early_grant_for_its_worker)
{
	ipc_close(&worker[0]);
	for (int i = 0; i < 10; i++)
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
	ck_assert_int_eq(grant(0, OP_SIGN, sign_key, 1), CRYPTO_OK);
	harness_worker(&filterd, &worker[0], id[0]);
	ck_assert_int_eq(sign(0, sign_key), CRYPTO_OK);
}
END_TEST

START_TEST(answers_locked_and_forgets_grants)
{
	struct keys_lock_req lock = {0};
	struct keys_unlock_req r = {.seal = {seal, SEAL_KEY_LEN}};
	uint8_t wrong[SEAL_KEY_LEN] = "wrong";

	ck_assert_int_eq(grant(0, OP_SIGN, sign_key, 2), CRYPTO_OK);
	ck_assert_int_eq(harness_status(&keyctl, M_keys_lock_req, &lock), CRYPTO_OK);
	ck_assert_int_eq(sign(0, sign_key), CRYPTO_LOCKED);
	ck_assert_int_eq(unwrap(0, decrypt_key, "x", 1, NULL), CRYPTO_LOCKED);
	ck_assert_int_eq(grant(0, OP_SIGN, sign_key, 2), CRYPTO_LOCKED);
	r.seal.p = wrong;
	ck_assert_int_eq(harness_status(&keyctl, M_keys_unlock_req, &r), CRYPTO_DENIED);
	ck_assert_ptr_null(cryptod.keys);
	r.seal.p = seal;
	ck_assert_int_eq(harness_status(&keyctl, M_keys_unlock_req, &r), CRYPTO_OK);
	ck_assert_int_eq(sign(0, sign_key), CRYPTO_DENIED);
	ck_assert_int_eq(grant(0, OP_SIGN, sign_key, 2), CRYPTO_OK);
	ck_assert_int_eq(sign(0, sign_key), CRYPTO_OK);
}
END_TEST

START_TEST(looks_for_a_grant_in_policyds_socket)
{
	struct grant_key k = {.key = {sign_key, KEY_FPR}};
	struct sign_req r = {
	    .job = {job, JOB_ID}, .key = {sign_key, KEY_FPR}, .hash = 10, .digest = {digest, 64}};
	struct ipc plumbed;
	struct worker *w;
	struct ipc_msg m;

	harness_policyd(&plumbed);
	hand_grant(&plumbed, 0, OP_SIGN, &k, 1);
	ck_assert_int_eq(harness_send(&worker[0], M_sign_req, &r), 0);
	/* The worker's turn comes first, whatever the loop would choose. */
	LIST_FOREACH (w, &cryptod.workers, next)
		chan_poll(w->chan);
	ck_assert_uint_eq(cryptod.nsigned, 1);
	ck_assert_uint_eq(cryptod.nrefused, 0);
	ck_assert_int_eq(harness_answer(&worker[0], &m), 0);
	ck_assert_int_eq(((const struct sign_rep *)m.body)->status, CRYPTO_OK);
	ipc_done(&worker[0], &m);
	/* Another worker has no part in it. */
	ck_assert_int_eq(sign(1, sign_key), CRYPTO_DENIED);
	ipc_close(&plumbed);
}
END_TEST

/* What is wrong with a grant that nobody waited for, the worker hears when it uses it. */
START_TEST(tells_the_worker_what_an_unseen_grant_is_worth)
{
	static const uint8_t unknown[KEY_FPR] = "no such key at all", other[KEY_FPR] = "nor this";
	struct grant_key k[2] = {{.key = {unknown, KEY_FPR}}, {.key = {other, KEY_FPR}}};
	struct key_disable_req off = {.fpr = {sign_key, KEY_FPR}, .disabled = 1};
	struct keys_lock_req lock = {0};
	struct ipc_msg m;

	hand_grant(&policyd, 0, OP_UNWRAP, k, 2);
	ck_assert_int_eq(unwrap(0, unknown, "x", 1, NULL), CRYPTO_NOKEY);
	ck_assert_int_eq(unwrap(0, other, "x", 1, NULL), CRYPTO_NOKEY);
	/* That one of several is missing is a fault, which may be mended. */
	k[1].key.p = decrypt_key;
	hand_grant(&policyd, 0, OP_UNWRAP, k, 2);
	ck_assert_int_eq(unwrap(0, unknown, "x", 1, NULL), CRYPTO_FAILED);
	ck_assert_int_eq(unwrap(0, decrypt_key, "x", 1, NULL), CRYPTO_OK);
	/* It is not the worker's fault that the key must not be used: it goes on. */
	ck_assert_int_eq(harness_status(&keyctl, M_key_disable_req, &off), CRYPTO_OK);
	k[0].key.p = sign_key;
	for (unsigned i = 0; i < 2 * REFUSALS_MAX; i++) {
		hand_grant(&policyd, 0, OP_SIGN, k, 1);
		ck_assert_int_eq(sign(0, sign_key), CRYPTO_DENIED);
	}
	k[0].key.p = certify_key;
	hand_grant(&policyd, 0, OP_SIGN, k, 1);
	ck_assert_int_eq(sign(0, certify_key), CRYPTO_DENIED);
	ck_assert_uint_eq(cryptod.nworkers, 2);
	ck_assert_int_eq(harness_status(&keyctl, M_keys_lock_req, &lock), CRYPTO_OK);
	hand_grant(&policyd, 0, OP_UNWRAP, &k[1], 1);
	ck_assert_int_eq(unwrap(0, decrypt_key, "x", 1, NULL), CRYPTO_LOCKED);
	/* And policyd was told nothing. */
	harness_turns(4);
	(void)ipc_fill(&policyd);
	ck_assert_int_eq(ipc_next(&policyd, &m), 0);
}
END_TEST

START_TEST(cuts_off_a_worker_that_keeps_asking)
{
	for (unsigned i = 0; i + 1 < REFUSALS_MAX; i++)
		ck_assert_int_eq(sign(0, sign_key), CRYPTO_DENIED);
	ck_assert_uint_eq(cryptod.nworkers, 2);
	(void)sign(0, sign_key);
	ck_assert_uint_eq(cryptod.nworkers, 1);
	ck_assert_int_eq(sign(0, sign_key), -1);
	ck_assert_int_eq(grant(1, OP_SIGN, sign_key, 1), CRYPTO_OK);
	ck_assert_int_eq(sign(1, sign_key), CRYPTO_OK);
}
END_TEST

START_TEST(a_disabled_key_signs_no_more)
{
	struct key_disable_req r = {.fpr = {sign_key, KEY_FPR}, .disabled = 1};

	ck_assert_int_eq(grant(0, OP_SIGN, sign_key, 2), CRYPTO_OK);
	ck_assert_int_eq(harness_status(&keyctl, M_key_disable_req, &r), CRYPTO_OK);
	ck_assert_int_eq(sign(0, sign_key), CRYPTO_DENIED);
	ck_assert_int_eq(grant(0, OP_SIGN, sign_key, 2), CRYPTO_DENIED);
	r.fpr.p = decrypt_key;
	ck_assert_int_eq(harness_status(&keyctl, M_key_disable_req, &r), CRYPTO_DENIED);
	r.fpr = (struct bytes){(const uint8_t *)"a key that is no key", KEY_FPR};
	ck_assert_int_eq(harness_status(&keyctl, M_key_disable_req, &r), CRYPTO_NOKEY);
}
END_TEST

START_TEST(keyctl_certifies_with_certify_keys_and_new_ones)
{
	struct key_certify_req r = {.hash = 10, .digest = {digest, 64}};

	r.fpr = (struct bytes){certify_key, KEY_FPR};
	ck_assert_int_eq(harness_status(&keyctl, M_key_certify_req, &r), CRYPTO_OK);
	r.fpr.p = decrypt_key;
	ck_assert_int_eq(harness_status(&keyctl, M_key_certify_req, &r), CRYPTO_DENIED);
	r.fpr.p = sign_key;
	ck_assert_int_eq(harness_status(&keyctl, M_key_certify_req, &r), CRYPTO_OK);
	memset(cryptod.fresh, 0, sizeof cryptod.fresh);
	ck_assert_int_eq(harness_status(&keyctl, M_key_certify_req, &r), CRYPTO_DENIED);
	r.hash = 2; /* SHA-1 */
	r.digest.n = 20;
	r.fpr.p = certify_key;
	ck_assert_int_eq(harness_status(&keyctl, M_key_certify_req, &r), CRYPTO_FAILED);
}
END_TEST

START_TEST(an_import_never_takes_away)
{
	struct key_export_req x = {.fpr = {sign_key, KEY_FPR}};
	struct key_import_req r = {.use = USE_CERTIFY, .label = "other"};
	const struct key_export_rep *rep;
	const struct key_rep *got;
	uint8_t params[CERT_PARAMS_MAX], secret[KEY_SECRET_MAX];
	struct ipc_msg m;

	ck_assert_int_eq(harness_ask(&keyctl, M_key_export_req, &x, &m), 0);
	rep = m.body;
	ck_assert_int_eq(rep->status, CRYPTO_OK);
	r.algo = rep->key.v[0].algo;
	r.created = rep->key.v[0].created;
	memcpy(params, rep->key.v[0].params.p, rep->key.v[0].params.n);
	memcpy(secret, rep->secret.p, rep->secret.n);
	r.params = (struct bytes){params, rep->key.v[0].params.n};
	r.secret = (struct bytes){secret, rep->secret.n};
	ipc_done(&keyctl, &m);

	ck_assert_int_eq(harness_ask(&keyctl, M_key_import_req, &r, &m), 0);
	got = m.body;
	ck_assert_int_eq(got->status, CRYPTO_OK);
	ck_assert_uint_eq(got->fresh, 0);
	ck_assert_uint_eq(got->key.v[0].use, USE_SIGN);
	ck_assert_str_eq(got->key.v[0].label, "a@b.example");
	ipc_done(&keyctl, &m);

	/* Halves that do not match, and a use that the algorithm does not have. */
	r.use = USE_DECRYPT;
	ck_assert_int_eq(harness_status(&keyctl, M_key_import_req, &r), CRYPTO_DENIED);
	secret[5] ^= 1;
	r.use = USE_SIGN;
	ck_assert_int_eq(harness_status(&keyctl, M_key_import_req, &r), CRYPTO_FAILED);
	r.use = USE_DKIM;
	ck_assert_int_eq(harness_status(&keyctl, M_key_import_req, &r), CRYPTO_DENIED);
}
END_TEST

START_TEST(lists_in_pages)
{
	struct key_list_req r = {.limit = 2};
	const struct key_list_rep *rep;
	uint8_t last[KEY_FPR];
	struct ipc_msg m;

	ck_assert_int_eq(harness_ask(&keyctl, M_key_list_req, &r, &m), 0);
	rep = m.body;
	ck_assert_uint_eq(rep->keys.n, 2);
	ck_assert_uint_eq(rep->more, 1);
	memcpy(last, rep->keys.v[1].fpr.p, KEY_FPR);
	ipc_done(&keyctl, &m);
	r.after = (struct bytes){last, KEY_FPR};
	ck_assert_int_eq(harness_ask(&keyctl, M_key_list_req, &r, &m), 0);
	rep = m.body;
	ck_assert_uint_eq(rep->keys.n, 1);
	ck_assert_uint_eq(rep->more, 0);
	ipc_done(&keyctl, &m);
}
END_TEST

/* Its channel goes first when the process ends, and nobody says so. */
START_TEST(a_key_that_is_being_made_at_the_end_is_nobodys)
{
	struct key_generate_req r = {
	    .kind = KIND_RSA3072, .use = USE_SIGN, .created = 1700000000, .label = ""};
	siginfo_t child;
	struct chan *c;
	struct ipc tool;
	int fds[2];

	ck_assert_int_eq(ipc_pair(fds), 0);
	c = chan_new(base, fds[0], P_CRYPTOD, P_KEYCTL, cryptod_handlers, NULL, NULL);
	ck_assert_ptr_nonnull(c);
	ipc_init(&tool, fds[1], P_KEYCTL, P_CRYPTOD);
	ck_assert_int_eq(harness_send(&tool, M_key_generate_req, &r), 0);
	harness_turns(1);
	/* A child makes it. */
	ck_assert_int_eq(waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT), 0);
	chan_free(c);
	cryptod_unload();
	ck_assert_int_eq(waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT), -1);
	ipc_close(&tool);
}
END_TEST

Suite *service_suite(void);

Suite *
service_suite(void)
{
	const TTest *const tests[] = {
	    signs_by_grant_only,
	    its_signatures_verify,
	    grants_only_what_the_keys_are_for,
	    unwraps_and_never_tells_why_not,
	    voids_grants_when_the_worker_goes,
	    keeps_an_early_grant_for_its_worker,
	    answers_locked_and_forgets_grants,
	    looks_for_a_grant_in_policyds_socket,
	    tells_the_worker_what_an_unseen_grant_is_worth,
	    cuts_off_a_worker_that_keeps_asking,
	    a_disabled_key_signs_no_more,
	    keyctl_certifies_with_certify_keys_and_new_ones,
	    an_import_never_takes_away,
	    lists_in_pages,
	    a_key_that_is_being_made_at_the_end_is_nobodys,
	    NULL,
	};

	return unit_suite_around("cryptod service", setup, teardown, tests);
}
