#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cryptod/x509.h"
#include "keyprov/keyprov.h"
#include "store/store.h"
#include "t/unit/cryptod/harness.h"

/* The authorities: made, replaced, restored; and what their keys never do. */

static struct ipc keyctl, smtpd, policyd, filterd, worker;
static uint8_t worker_id[WORKER_ID] = "worker--------1";

static void
setup(void)
{
	harness_begin();
	harness_init();
	harness_peer(&keyctl, P_KEYCTL);
	harness_peer(&smtpd, P_SMTPD);
	harness_peer(&policyd, P_POLICYD);
	harness_peer(&filterd, P_FILTERD);
	harness_worker(&filterd, &worker, worker_id);
}

static void
teardown(void)
{
	struct ipc *all[] = {&keyctl, &smtpd, &policyd, &filterd, &worker};

	for (unsigned i = 0; i < 5; i++)
		ipc_close(all[i]);
	harness_turns(10);
	harness_end();
}

static struct ca_init_req
wanted(enum authority a, enum key_kind kind, const char *name)
{
	return (struct ca_init_req){
	    .authority = (uint8_t)a, .kind = (uint8_t)kind, .name = name, .days = 3650};
}

/* An authority's certificate and its key's fingerprint, as told. */
static X509 *
get(enum authority a, uint8_t fpr[KEY_FPR])
{
	struct ca_get_req r = {.authority = (uint8_t)a};
	const struct ca_rep *rep;
	const uint8_t *p;
	struct ipc_msg m;
	X509 *x;

	ck_assert_int_eq(harness_ask(&keyctl, M_ca_get_req, &r, &m), 0);
	rep = m.body;
	ck_assert_msg(rep->status == CRYPTO_OK, "%s", rep->text);
	p = rep->cert.p;
	ck_assert_ptr_nonnull(x = d2i_X509(NULL, &p, (long)rep->cert.n));
	ck_assert_ptr_eq(p, rep->cert.p + rep->cert.n);
	memcpy(fpr, rep->fpr.p, KEY_FPR);
	ipc_done(&keyctl, &m);
	return x;
}

static int
mint(enum authority a)
{
	struct mint_name name = {"imap.example.org"};
	struct mint_req r = {.authority = (uint8_t)a, .names = {&name, 1}};

	return harness_status(&smtpd, M_mint_req, &r);
}

/* 1 when a key of this fingerprint is listed with use ca; its state. */
static int
listed(const uint8_t fpr[KEY_FPR], int *disabled, char label[KEY_LABEL_MAX + 1])
{
	struct key_list_req r = {.limit = KEYS_PAGE};
	const struct key_list_rep *rep;
	struct ipc_msg m;
	int found = 0;

	ck_assert_int_eq(harness_ask(&keyctl, M_key_list_req, &r, &m), 0);
	rep = m.body;
	for (size_t i = 0; i < rep->keys.n; i++) {
		if (memcmp(rep->keys.v[i].fpr.p, fpr, KEY_FPR) != 0)
			continue;
		found = rep->keys.v[i].use == USE_CA;
		*disabled = rep->keys.v[i].disabled;
		(void)strlcpy(label, rep->keys.v[i].label, KEY_LABEL_MAX + 1);
	}
	ipc_done(&keyctl, &m);
	return found;
}

static const uint8_t *
name_part(X509_NAME *n, int nid, int *type)
{
	int at = X509_NAME_get_index_by_NID(n, nid, -1);
	ASN1_STRING *s = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(n, at));

	ck_assert_int_ge(at, 0);
	*type = ASN1_STRING_type(s);
	return ASN1_STRING_get0_data(s);
}

static void
looks_like_an_authority(X509 *x, const char *cn, unsigned days)
{
	BASIC_CONSTRAINTS *bc;
	ASN1_BIT_STRING *ku;
	int critical, type, d, s;

	ck_assert_int_eq(X509_get_version(x), X509_VERSION_3);
	ck_assert_int_eq(X509_verify(x, X509_get0_pubkey(x)), 1);
	ck_assert_int_eq(X509_NAME_cmp(X509_get_subject_name(x), X509_get_issuer_name(x)), 0);
	ck_assert_str_eq(
	    (const char *)name_part(X509_get_subject_name(x), NID_commonName, &type), cn);
	ck_assert_int_eq(type, V_ASN1_UTF8STRING);
	ck_assert_str_eq(
	    (const char *)name_part(X509_get_subject_name(x), NID_organizationName, &type),
	    "Postern");

	bc = X509_get_ext_d2i(x, NID_basic_constraints, &critical, NULL);
	ck_assert_ptr_nonnull(bc);
	ck_assert_int_eq(critical, 1);
	ck_assert_int_ne(bc->ca, 0);
	ck_assert_int_eq(ASN1_INTEGER_get(bc->pathlen), 0);
	BASIC_CONSTRAINTS_free(bc);
	ku = X509_get_ext_d2i(x, NID_key_usage, &critical, NULL);
	ck_assert_ptr_nonnull(ku);
	ck_assert_int_eq(critical, 1);
	ASN1_BIT_STRING_free(ku);
	ck_assert_uint_eq(X509_get_key_usage(x), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
	ck_assert_ptr_nonnull(X509_get0_subject_key_id(x));

	ck_assert_int_eq(ASN1_INTEGER_get(X509_get0_serialNumber(x)) == 0, 0);
	ck_assert_int_eq(X509_get0_serialNumber(x)->type & V_ASN1_NEG, 0);
	ck_assert_int_le(X509_get0_serialNumber(x)->length, 16);
	ck_assert_int_eq(ASN1_TIME_diff(&d, &s, X509_get0_notBefore(x), X509_get0_notAfter(x)), 1);
	ck_assert_int_eq(d, (int)days);
	ck_assert_int_eq(s, X509_EARLY_S);
	ck_assert_int_eq(X509_cmp_time(X509_get0_notBefore(x), NULL), -1);
}

START_TEST(an_authority_is_one_of_leaves_only)
{
	static const struct {
		enum key_kind kind;
		const char *name;
		int hash;
	} t[] = {
	    {KIND_P256, "Mail gateway of J\xc3\xbcrgens & S\xc3\xb6hne", NID_sha256},
	    {KIND_P384, "x", NID_sha384},
	    {KIND_RSA3072, "0123456789012345678901234567890123456789012345678901234567890123",
		NID_sha256},
	};
	uint8_t fpr[KEY_FPR], handle[KEY_FPR];
	char label[KEY_LABEL_MAX + 1];
	int disabled, hash;
	struct err e;
	X509 *x;

	for (unsigned i = 0; i < 3; i++) {
		struct ca_init_req r = wanted(AUTHORITY_PROXY, t[i].kind, t[i].name);

		r.days = i == 1 ? CA_DAYS_MAX : 1;
		r.replace = 1;
		ck_assert_int_eq(harness_status(&keyctl, M_ca_init_req, &r), CRYPTO_OK);
		x = get(AUTHORITY_PROXY, fpr);
		looks_like_an_authority(x, t[i].name, r.days);
		ck_assert_int_eq(X509_get_signature_info(x, &hash, NULL, NULL, NULL), 1);
		ck_assert_int_eq(hash, t[i].hash);
		/* Its name in the store follows from the certificate. */
		ck_assert_int_eq(keyprov_handle(X509_get0_pubkey(x), handle, &e), 0);
		ck_assert_mem_eq(handle, fpr, KEY_FPR);
		ck_assert(listed(fpr, &disabled, label) && !disabled);
		ck_assert_str_eq(label, t[i].name);
		X509_free(x);
	}
}
END_TEST

START_TEST(what_is_no_good_makes_no_authority)
{
	static const char *const names[] = {"a\nb", "a\x7f", "a\xc2\x85", "a\xff", "\xed\xa0\x80",
	    " a", "a ", "a\xe2\x80\xaex", "\xef\xbb\xbfx"};
	static const enum key_kind kinds[] = {
	    KIND_ED25519, KIND_CV25519, KIND_P521, KIND_BP256, KIND_BP384, KIND_BP512};
	struct ca_init_req r;

	for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
		r = wanted(AUTHORITY_PROXY, KIND_P256, names[i]);
		ck_assert_msg(
		    harness_status(&keyctl, M_ca_init_req, &r) == CRYPTO_DENIED, "name %u", i);
	}
	for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		r = wanted(AUTHORITY_PROXY, kinds[i], "CA");
		ck_assert_int_eq(harness_status(&keyctl, M_ca_init_req, &r), CRYPTO_DENIED);
	}
	r = wanted(AUTHORITY_PROXY, 0, "CA"); /* a key that is not there */
	ck_assert_int_eq(harness_status(&keyctl, M_ca_init_req, &r), CRYPTO_DENIED);
	ck_assert_int_eq(mint(AUTHORITY_PROXY), CRYPTO_NOKEY);
}
END_TEST

START_TEST(one_goes_only_when_that_is_meant)
{
	struct ca_init_req r = wanted(AUTHORITY_PROXY, KIND_P256, "first");
	struct ca_get_req none = {.authority = AUTHORITY_UNTRUSTED};
	uint8_t first[KEY_FPR], fpr[KEY_FPR];
	char label[KEY_LABEL_MAX + 1];
	int disabled;
	X509 *x, *y;

	ck_assert_int_eq(harness_status(&keyctl, M_ca_init_req, &r), CRYPTO_OK);
	x = get(AUTHORITY_PROXY, first);
	r.name = "second";
	ck_assert_int_eq(harness_status(&keyctl, M_ca_init_req, &r), CRYPTO_DENIED);
	r.kind = KIND_RSA3072; /* and before a child begins */
	ck_assert_int_eq(harness_status(&keyctl, M_ca_init_req, &r), CRYPTO_DENIED);
	y = get(AUTHORITY_PROXY, fpr);
	ck_assert_int_eq(X509_cmp(x, y), 0);
	X509_free(y);
	ck_assert_int_eq(harness_status(&keyctl, M_ca_get_req, &none), CRYPTO_NOKEY);
	r.replace = 1;
	ck_assert_int_eq(harness_status(&keyctl, M_ca_init_req, &r), CRYPTO_OK);
	y = get(AUTHORITY_PROXY, fpr);
	ck_assert_int_ne(memcmp(first, fpr, KEY_FPR), 0);
	ck_assert(listed(first, &disabled, label) && disabled);
	ck_assert(listed(fpr, &disabled, label) && !disabled);
	ck_assert_int_eq(mint(AUTHORITY_PROXY), CRYPTO_OK);
	X509_free(x);
	X509_free(y);
}
END_TEST

/* A private half that keyctl exported, as it is given back. */
struct backup {
	uint8_t algo, params[CERT_PARAMS_MAX], secret[KEY_SECRET_MAX];
	size_t nparams, nsecret;
};

static void export(const uint8_t fpr[KEY_FPR], struct backup *b)
{
	struct key_export_req r = {.fpr = {fpr, KEY_FPR}};
	const struct key_export_rep *rep;
	struct ipc_msg m;

	ck_assert_int_eq(harness_ask(&keyctl, M_key_export_req, &r, &m), 0);
	rep = m.body;
	ck_assert_int_eq(rep->status, CRYPTO_OK);
	b->algo = rep->key.v[0].algo;
	b->nparams = rep->key.v[0].params.n;
	b->nsecret = rep->secret.n;
	memcpy(b->params, rep->key.v[0].params.p, b->nparams);
	memcpy(b->secret, rep->secret.p, b->nsecret);
	ipc_done(&keyctl, &m);
}

static int
restore(enum authority a, const struct backup *b, const char *name)
{
	struct ca_init_req r = wanted(a, 0, name);

	r.replace = 1;
	r.algo = b->algo;
	r.params = (struct bytes){b->params, b->nparams};
	r.secret = (struct bytes){b->secret, b->nsecret};
	return harness_status(&keyctl, M_ca_init_req, &r);
}

START_TEST(a_key_from_a_backup_makes_the_same_authority_again)
{
	static const enum key_kind kinds[] = {KIND_P256, KIND_P384, KIND_RSA3072};
	uint8_t fpr[KEY_FPR], other[KEY_FPR], again[KEY_FPR];
	char label[KEY_LABEL_MAX + 1];
	struct backup b;
	int disabled;
	X509 *x, *y;

	for (unsigned i = 0; i < 3; i++) {
		struct ca_init_req r = wanted(AUTHORITY_PROXY, kinds[i], "The CA");

		r.replace = 1;
		ck_assert_int_eq(harness_status(&keyctl, M_ca_init_req, &r), CRYPTO_OK);
		x = get(AUTHORITY_PROXY, fpr);
		export(fpr, &b);
		/* Lost, and another in its place. */
		r.kind = KIND_P256;
		ck_assert_int_eq(harness_status(&keyctl, M_ca_init_req, &r), CRYPTO_OK);
		X509_free(get(AUTHORITY_PROXY, other));
		ck_assert_int_ne(memcmp(fpr, other, KEY_FPR), 0);
		ck_assert_int_eq(restore(AUTHORITY_PROXY, &b, "The CA"), CRYPTO_OK);
		y = get(AUTHORITY_PROXY, again);
		ck_assert_mem_eq(fpr, again, KEY_FPR);
		ck_assert(listed(fpr, &disabled, label) && !disabled);
		/* Who trusts the one trusts the other. */
		ck_assert_int_eq(X509_verify(y, X509_get0_pubkey(x)), 1);
		ck_assert_int_eq(
		    X509_NAME_cmp(X509_get_subject_name(x), X509_get_subject_name(y)), 0);
		ck_assert_int_eq(
		    ASN1_OCTET_STRING_cmp(X509_get0_subject_key_id(x), X509_get0_subject_key_id(y)),
		    0);
		ck_assert_int_eq(mint(AUTHORITY_PROXY), CRYPTO_OK);
		X509_free(x);
		X509_free(y);
	}
}
END_TEST

START_TEST(a_given_key_must_be_an_authoritys)
{
	struct ca_init_req r = wanted(AUTHORITY_UNTRUSTED, KIND_P256, "UNTRUSTED - x");
	uint8_t fpr[KEY_FPR], tls[KEY_FPR];
	struct backup b;

	ck_assert_int_eq(harness_status(&keyctl, M_ca_init_req, &r), CRYPTO_OK);
	X509_free(get(AUTHORITY_UNTRUSTED, fpr));
	export(fpr, &b);
	/* One key for both would make the untrusted one trusted. */
	ck_assert_int_eq(restore(AUTHORITY_PROXY, &b, "x"), CRYPTO_DENIED);
	/* Nor is anybody's key that may be trusted elsewhere given to it. */
	ck_assert_int_eq(restore(AUTHORITY_UNTRUSTED, &b, "x"), CRYPTO_DENIED);
	/* A key has one use. */
	harness_key(&keyctl, KIND_P256, USE_TLS, tls);
	export(tls, &b);
	ck_assert_int_eq(restore(AUTHORITY_PROXY, &b, "x"), CRYPTO_DENIED);
	harness_key(&keyctl, KIND_ED25519, USE_TLS, tls);
	export(tls, &b);
	ck_assert_int_eq(restore(AUTHORITY_PROXY, &b, "x"), CRYPTO_DENIED);
	ck_assert_int_eq(harness_rsa(&keyctl, 2048, USE_TLS, 0, tls), CRYPTO_OK);
	export(tls, &b);
	ck_assert_int_eq(restore(AUTHORITY_PROXY, &b, "x"), CRYPTO_DENIED);
	/* Halves that do not match. */
	harness_key(&keyctl, KIND_P256, USE_SIGN, tls);
	export(tls, &b);
	b.secret[5] ^= 1;
	ck_assert_int_eq(restore(AUTHORITY_PROXY, &b, "x"), CRYPTO_FAILED);
	ck_assert_int_eq(mint(AUTHORITY_PROXY), CRYPTO_NOKEY);
	ck_assert_int_eq(mint(AUTHORITY_UNTRUSTED), CRYPTO_OK);
}
END_TEST

/* Whatever can be asked with a key is asked with an authority's, by everybody who may ask it. */
START_TEST(its_key_does_nothing_but_mint)
{
	struct ca_init_req init = wanted(AUTHORITY_PROXY, KIND_P256, "CA");
	static const uint8_t digest[64] = "a certificate's, for example";
	uint8_t fpr[KEY_FPR], none[KEY_FPR], job[JOB_ID] = "job-----------1";
	struct tls_sign_req tls = {.scheme = 0x0403, .data = {digest, 32}};
	struct key_certify_req cert = {.hash = 8, .digest = {digest, 32}};
	struct grant_key gk = {.key = {fpr, KEY_FPR}};
	struct grant_req g = {.job = {job, JOB_ID},
	    .worker = {worker_id, WORKER_ID},
	    .op = OP_SIGN,
	    .max = 8,
	    .ttl = 60000,
	    .consumer = "alice",
	    .keys = {&gk, 1}};
	struct sign_req sign = {
	    .job = {job, JOB_ID}, .key = {fpr, KEY_FPR}, .hash = 8, .digest = {digest, 32}};
	struct unwrap_req unwrap = {
	    .job = {job, JOB_ID}, .key = {fpr, KEY_FPR}, .esk = {digest, 9}};
	struct key_generate_req gen = {.kind = KIND_P256, .use = USE_CA, .label = ""};
	struct key_disable_req off = {.fpr = {fpr, KEY_FPR}, .disabled = 1};

	ck_assert_int_eq(harness_status(&keyctl, M_ca_init_req, &init), CRYPTO_OK);
	X509_free(get(AUTHORITY_PROXY, fpr));
	tls.key = cert.fpr = (struct bytes){fpr, KEY_FPR};
	ck_assert_int_eq(harness_status(&smtpd, M_tls_sign_req, &tls), CRYPTO_DENIED);
	ck_assert_int_eq(harness_status(&keyctl, M_key_certify_req, &cert), CRYPTO_DENIED);
	for (unsigned op = OP_SIGN; op <= OP_UNWRAP; op++) {
		g.op = (uint8_t)op;
		ck_assert_int_eq(harness_status(&policyd, M_grant_req, &g), CRYPTO_DENIED);
		/* And when policyd does not ask whether it can be done. */
		ck_assert_int_eq(ipc_queue(&policyd, M_grant_req, 0, &g, -1), 0);
		ck_assert_int_eq(ipc_flush(&policyd), 1);
		harness_turns(2);
		if (op == OP_SIGN)
			ck_assert_int_eq(harness_status(&worker, M_sign_req, &sign), CRYPTO_DENIED);
		else
			ck_assert_int_eq(
			    harness_status(&worker, M_unwrap_req, &unwrap), CRYPTO_DENIED);
		job[0]++;
	}
	/* There is no key of this use without a certificate that was made here. */
	ck_assert_int_eq(harness_status(&keyctl, M_key_generate_req, &gen), CRYPTO_DENIED);
	ck_assert_int_eq(harness_rsa(&keyctl, 3072, USE_CA, 0, none), CRYPTO_DENIED);
	ck_assert_int_eq(mint(AUTHORITY_PROXY), CRYPTO_OK);
	ck_assert_int_eq(harness_status(&keyctl, M_key_disable_req, &off), CRYPTO_OK);
	ck_assert_int_eq(mint(AUTHORITY_PROXY), CRYPTO_NOKEY);
	off.disabled = 0;
	ck_assert_int_eq(harness_status(&keyctl, M_key_disable_req, &off), CRYPTO_OK);
	ck_assert_int_eq(mint(AUTHORITY_PROXY), CRYPTO_OK);
}
END_TEST

START_TEST(authorities_are_locked_away_with_the_keys)
{
	struct ca_init_req r = wanted(AUTHORITY_PROXY, KIND_P384, "CA");
	struct ca_get_req ask = {.authority = AUTHORITY_PROXY};
	struct keys_lock_req lock = {0};
	struct err e = {0};
	uint8_t fpr[KEY_FPR];
	X509 *x, *y;

	ck_assert_int_eq(harness_status(&keyctl, M_ca_init_req, &r), CRYPTO_OK);
	x = get(AUTHORITY_PROXY, fpr);
	ck_assert_int_eq(harness_status(&keyctl, M_keys_lock_req, &lock), CRYPTO_OK);
	ck_assert_int_eq(harness_status(&keyctl, M_ca_get_req, &ask), CRYPTO_LOCKED);
	r.replace = 1;
	ck_assert_int_eq(harness_status(&keyctl, M_ca_init_req, &r), CRYPTO_LOCKED);
	ck_assert_int_eq(cryptod_unlock(seal, &e), 0);
	y = get(AUTHORITY_PROXY, fpr);
	ck_assert_int_eq(X509_cmp(x, y), 0);
	X509_free(x);
	X509_free(y);
}
END_TEST

/* As versions before there were authorities made it. */
START_TEST(an_older_key_store_gets_authorities)
{
	static const char *const tables[] = {"keys", NULL}, *const files[] = {
								"data.mdb", "data.seq"};
	struct store_options o = {.map_size = UINT64_C(1) << 30, .tables = tables, .secret = seal};
	struct ca_init_req r = wanted(AUTHORITY_PROXY, KIND_P256, "CA");
	struct err e = {0};
	struct store *s;
	char path[512];

	cryptod_unload();
	for (unsigned i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		ck_assert_int_eq(unlink(path), 0);
	}
	ck_assert_ptr_nonnull(s = store_open(dir, &o, &e));
	store_close(s);
	ck_assert_msg(harness_load(&e) == 0, "%s", e.text);
	ck_assert_msg(cryptod_unlock(seal, &e) == 0, "%s", e.text);
	ck_assert_int_eq(mint(AUTHORITY_PROXY), CRYPTO_NOKEY);
	ck_assert_int_eq(harness_status(&keyctl, M_ca_init_req, &r), CRYPTO_OK);
	cryptod_unload();
	ck_assert_msg(harness_load(&e) == 0, "%s", e.text);
	ck_assert_msg(cryptod_unlock(seal, &e) == 0, "%s", e.text);
	ck_assert_int_eq(mint(AUTHORITY_PROXY), CRYPTO_OK);
}
END_TEST

START_TEST(its_end_is_told_in_time)
{
	struct ca_init_req r = wanted(AUTHORITY_PROXY, KIND_P256, "CA");
	char note[CA_NOTE_MAX];

	ck_assert_str_eq(cryptod_ca_note(note), "");
	r.days = 31;
	ck_assert_int_eq(harness_status(&keyctl, M_ca_init_req, &r), CRYPTO_OK);
	ck_assert_str_eq(cryptod_ca_note(note), "");
	r.days = 29;
	r.replace = 1;
	ck_assert_int_eq(harness_status(&keyctl, M_ca_init_req, &r), CRYPTO_OK);
	ck_assert_ptr_nonnull(strstr(cryptod_ca_note(note), "the proxy authority ends on 20"));
}
END_TEST

/* Its channel goes first when the process ends, and nobody says so. */
START_TEST(whoever_goes_before_it_is_made_does_no_harm)
{
	struct ca_init_req r = wanted(AUTHORITY_PROXY, KIND_RSA3072, "CA");
	struct chan *c;
	struct ipc tool;
	int fds[2];

	ck_assert_int_eq(ipc_pair(fds), 0);
	c = chan_new(base, fds[0], P_CRYPTOD, P_KEYCTL, cryptod_handlers, NULL, NULL);
	ck_assert_ptr_nonnull(c);
	ipc_init(&tool, fds[1], P_KEYCTL, P_CRYPTOD);
	ck_assert_int_eq(harness_send(&tool, M_ca_init_req, &r), 0);
	harness_turns(1);
	cryptod_ca_tool_gone(chan_instance(c));
	chan_free(c);
	for (unsigned i = 0; i < 300; i++) {
		harness_turns(1);
		(void)usleep(10000);
	}
	ck_assert_int_eq(mint(AUTHORITY_PROXY), CRYPTO_NOKEY);
	ipc_close(&tool);
	/* With one under way when the process ends. */
	ck_assert_int_eq(harness_send(&keyctl, M_ca_init_req, &r), 0);
	harness_turns(2);
	cryptod_unload();
}
END_TEST

Suite *ca_suite(void);

Suite *
ca_suite(void)
{
	const TTest *const tests[] = {
	    an_authority_is_one_of_leaves_only,
	    what_is_no_good_makes_no_authority,
	    one_goes_only_when_that_is_meant,
	    a_key_from_a_backup_makes_the_same_authority_again,
	    a_given_key_must_be_an_authoritys,
	    its_key_does_nothing_but_mint,
	    authorities_are_locked_away_with_the_keys,
	    an_older_key_store_gets_authorities,
	    its_end_is_told_in_time,
	    whoever_goes_before_it_is_made_does_no_harm,
	    NULL,
	};

	return unit_suite_around("cryptod authorities", setup, teardown, tests);
}
