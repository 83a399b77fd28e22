#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cryptod/x509.h"
#include "keyprov/keyprov.h"
#include "t/unit/cryptod/harness.h"

/* What a proxy, its own or broken into, can have minted. */

static struct ipc keyctl, smtpd, pop3d;

static void
setup(void)
{
	harness_begin();
	harness_init();
	harness_peer(&keyctl, P_KEYCTL);
	harness_peer(&smtpd, P_SMTPD);
	harness_peer(&pop3d, P_POP3D);
}

static void
teardown(void)
{
	ipc_close(&keyctl);
	ipc_close(&smtpd);
	ipc_close(&pop3d);
	harness_turns(10);
	harness_end();
}

static void
make(enum authority a, enum key_kind kind, const char *name, unsigned days)
{
	struct ca_init_req r = {.authority = (uint8_t)a,
	    .kind = (uint8_t)kind,
	    .name = name,
	    .days = days,
	    .replace = 1};

	ck_assert_int_eq(harness_status(&keyctl, M_ca_init_req, &r), CRYPTO_OK);
}

/* A request from a list of texts: names, and addresses as people write them behind "@". */
struct asked {
	struct mint_name names[MINT_NAMES_MAX];
	struct mint_ip ips[MINT_IPS_MAX];
	uint8_t octets[MINT_IPS_MAX][16];
	struct mint_req r;
};

static struct mint_req *
asking(struct asked *q, enum authority a, const char *const *texts)
{
	memset(q, 0, sizeof *q);
	q->r =
	    (struct mint_req){.authority = (uint8_t)a, .names = {q->names, 0}, .ips = {q->ips, 0}};
	for (; *texts != NULL; texts++) {
		size_t i = q->r.ips.n;

		if ((*texts)[0] != '@') {
			q->names[q->r.names.n++].name = *texts;
			continue;
		}
		q->ips[i].ip.p = q->octets[i];
		q->ips[i].ip.n = inet_pton(AF_INET, *texts + 1, q->octets[i]) == 1 ? 4 : 16;
		ck_assert(
		    q->ips[i].ip.n == 4 || inet_pton(AF_INET6, *texts + 1, q->octets[i]) == 1);
		q->r.ips.n++;
	}
	return &q->r;
}

static X509 *
parse(struct bytes der)
{
	const uint8_t *p = der.p;
	X509 *x = d2i_X509(NULL, &p, (long)der.n);

	ck_assert_ptr_nonnull(x);
	ck_assert_ptr_eq(p, der.p + der.n);
	return x;
}

/* The answer's status; leaf and issuer (NULL unless it is CRYPTO_OK) are the caller's. */
static int
mint(struct ipc *c, const struct mint_req *r, X509 **leaf, X509 **issuer)
{
	const struct mint_rep *rep;
	struct ipc_msg m;
	int st;

	*leaf = *issuer = NULL;
	ck_assert_int_eq(harness_ask(c, M_mint_req, r, &m), 0);
	rep = m.body;
	if ((st = rep->status) == CRYPTO_OK) {
		*leaf = parse(rep->cert);
		*issuer = parse(rep->issuer);
	} else
		ck_assert(rep->cert.n == 0 && rep->issuer.n == 0);
	ipc_done(c, &m);
	return st;
}

static int
refused(const struct mint_req *r)
{
	X509 *leaf, *issuer;
	int st = mint(&smtpd, r, &leaf, &issuer);

	X509_free(leaf);
	X509_free(issuer);
	return st;
}

static void
mint_ok(enum authority a, const char *const *texts, X509 **leaf, X509 **issuer)
{
	struct asked q;

	ck_assert_int_eq(mint(&smtpd, asking(&q, a, texts), leaf, issuer), CRYPTO_OK);
}

/* As a client that trusts root and wants the server with this name ("@": address). */
static int
verifies(X509 *leaf, X509 *root, const char *name, int purpose)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *c = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *p;
	int ok;

	ck_assert_int_eq(X509_STORE_add_cert(store, root), 1);
	ck_assert_int_eq(X509_STORE_CTX_init(c, store, leaf, NULL), 1);
	p = X509_STORE_CTX_get0_param(c);
	ck_assert_int_eq(X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_X509_STRICT), 1);
	ck_assert_int_eq(X509_VERIFY_PARAM_set_purpose(p, purpose), 1);
	if (name != NULL && name[0] == '@')
		ck_assert_int_eq(X509_VERIFY_PARAM_set1_ip_asc(p, name + 1), 1);
	else if (name != NULL)
		ck_assert_int_eq(X509_VERIFY_PARAM_set1_host(p, name, 0), 1);
	ok = X509_verify_cert(c) == 1;
	X509_STORE_CTX_free(c);
	X509_STORE_free(store);
	ERR_clear_error();
	return ok;
}

static int64_t
seconds_from_now(const ASN1_TIME *t)
{
	int d, s;

	ck_assert_int_eq(ASN1_TIME_diff(&d, &s, NULL, t), 1);
	return (int64_t)d * 86400 + s;
}

/* All that holds for every leaf, whoever asked for what. */
static void
is_a_leaf(X509 *x, X509 *issuer)
{
	EXTENDED_KEY_USAGE *eku;
	BASIC_CONSTRAINTS *bc;
	int critical;

	ck_assert_int_eq(X509_verify(x, X509_get0_pubkey(issuer)), 1);
	bc = X509_get_ext_d2i(x, NID_basic_constraints, &critical, NULL);
	ck_assert_ptr_nonnull(bc);
	ck_assert_int_eq(critical, 1);
	ck_assert_int_eq(bc->ca, 0);
	ck_assert_ptr_null(bc->pathlen);
	BASIC_CONSTRAINTS_free(bc);
	ck_assert_int_eq(X509_check_ca(x), 0);
	ck_assert_uint_eq(X509_get_key_usage(x), KU_DIGITAL_SIGNATURE);
	ck_assert_int_eq(
	    X509_EXTENSION_get_critical(X509_get_ext(x, X509_get_ext_by_NID(x, NID_key_usage, -1))),
	    1);
	eku = X509_get_ext_d2i(x, NID_ext_key_usage, &critical, NULL);
	ck_assert_ptr_nonnull(eku);
	ck_assert_int_eq(sk_ASN1_OBJECT_num(eku), 1);
	ck_assert_int_eq(OBJ_obj2nid(sk_ASN1_OBJECT_value(eku, 0)), NID_server_auth);
	EXTENDED_KEY_USAGE_free(eku);
	ck_assert_int_eq(X509_get_ext_count(x), 5);
	ck_assert_int_eq(
	    ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(x), X509_get0_subject_key_id(issuer)),
	    0);
	ck_assert_int_eq(X509_NAME_entry_count(X509_get_subject_name(x)) <= 1, 1);
	ck_assert_int_eq(X509_NAME_cmp(X509_get_issuer_name(x), X509_get_subject_name(issuer)), 0);
	/* From five minutes ago, give or take the time that this took. */
	ck_assert_int_le(seconds_from_now(X509_get0_notBefore(x)), -X509_EARLY_S + 2);
	ck_assert_int_gt(seconds_from_now(X509_get0_notBefore(x)), -X509_EARLY_S - 60);
	ck_assert_int_le(seconds_from_now(X509_get0_notAfter(x)), MINT_S + 2);
	ck_assert_int_ne(ASN1_TIME_compare(X509_get0_notAfter(x), X509_get0_notAfter(issuer)), 1);
}

/* Exactly these names, in this order. */
static void
has_names(X509 *x, const struct mint_req *r)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	size_t n = r->names.n + r->ips.n;

	ck_assert_ptr_nonnull(all);
	ck_assert_int_eq(sk_GENERAL_NAME_num(all), (int)n);
	for (size_t i = 0; i < n; i++) {
		GENERAL_NAME *g = sk_GENERAL_NAME_value(all, (int)i);
		struct bytes want,
		    got = {ASN1_STRING_get0_data(g->d.ia5), (size_t)ASN1_STRING_length(g->d.ia5)};

		ck_assert_int_eq(g->type, i < r->names.n ? GEN_DNS : GEN_IPADD);
		if (i < r->names.n)
			want = (struct bytes){
			    (const uint8_t *)r->names.v[i].name, strlen(r->names.v[i].name)};
		else
			want = r->ips.v[i - r->names.n].ip;
		ck_assert_uint_eq(got.n, want.n);
		ck_assert_mem_eq(got.p, want.p, want.n);
	}
	GENERAL_NAMES_free(all);
}

START_TEST(a_client_of_the_server_accepts_it)
{
	static const char *const names[] = {"imap.example.org", "*.pop.example.org", "mail",
	    "xn--bcher-kva.example", "1and1.example", "@192.0.2.17", "@2001:db8::25", NULL};
	static const char *const good[] = {"imap.example.org", "a.pop.example.org", "mail",
	    "xn--bcher-kva.example", "1and1.example", "@192.0.2.17", "@2001:db8::25"};
	static const char *const bad[] = {"pop.example.org", "a.b.pop.example.org", "example.org",
	    "smtp.example.org", "@192.0.2.18", "@2001:db8::26"};
	static const enum key_kind kinds[] = {KIND_P256, KIND_P384, KIND_RSA3072};
	X509 *leaf[2], *issuer[2];
	struct asked q;

	for (unsigned k = 0; k < 3; k++) {
		make(AUTHORITY_PROXY, kinds[k], "Proxy authority", 3650);
		for (unsigned i = 0; i < 2; i++) {
			mint_ok(AUTHORITY_PROXY, names, &leaf[i], &issuer[i]);
			is_a_leaf(leaf[i], issuer[i]);
			has_names(leaf[i], asking(&q, AUTHORITY_PROXY, names));
			ck_assert_int_ge(
			    seconds_from_now(X509_get0_notAfter(leaf[i])), MINT_S - 60);
		}
		/* Two of the same names are two certificates, of the same key. */
		ck_assert_int_ne(ASN1_INTEGER_cmp(X509_get0_serialNumber(leaf[0]),
				     X509_get0_serialNumber(leaf[1])),
		    0);
		ck_assert_int_eq(X509_cmp(issuer[0], issuer[1]), 0);
		ck_assert_int_eq(
		    EVP_PKEY_eq(X509_get0_pubkey(leaf[0]), X509_get0_pubkey(leaf[1])), 1);
		for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++)
			ck_assert_msg(
			    verifies(leaf[0], issuer[1], good[i], X509_PURPOSE_SSL_SERVER), "%s",
			    good[i]);
		for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
			ck_assert_msg(
			    !verifies(leaf[0], issuer[1], bad[i], X509_PURPOSE_SSL_SERVER), "%s",
			    bad[i]);
		/* And for nothing else. */
		ck_assert(!verifies(leaf[0], issuer[0], NULL, X509_PURPOSE_SSL_CLIENT));
		ck_assert(!verifies(leaf[0], issuer[0], NULL, X509_PURPOSE_SMIME_SIGN));
		ck_assert(!verifies(leaf[0], issuer[0], NULL, X509_PURPOSE_TIMESTAMP_SIGN));
		for (unsigned i = 0; i < 2; i++) {
			X509_free(leaf[i]);
			X509_free(issuer[i]);
		}
	}
}
END_TEST

START_TEST(who_trusts_the_one_authority_does_not_trust_the_other)
{
	static const char *const names[] = {"imap.example.org", NULL};
	X509 *leaf[2], *issuer[2];

	/* Not even if somebody gave both the same name. */
	for (unsigned i = 0; i < 2; i++) {
		make(AUTHORITY_PROXY, KIND_P256, "Proxy authority", 3650);
		make(
		    AUTHORITY_UNTRUSTED, KIND_P256, i == 0 ? "UNTRUSTED" : "Proxy authority", 3650);
		mint_ok(AUTHORITY_PROXY, names, &leaf[0], &issuer[0]);
		mint_ok(AUTHORITY_UNTRUSTED, names, &leaf[1], &issuer[1]);
		for (unsigned k = 0; k < 2; k++)
			for (unsigned r = 0; r < 2; r++)
				ck_assert_int_eq(
				    verifies(leaf[k], issuer[r], names[0], X509_PURPOSE_SSL_SERVER),
				    k == r);
		for (unsigned k = 0; k < 2; k++) {
			X509_free(leaf[k]);
			X509_free(issuer[k]);
		}
	}
}
END_TEST

START_TEST(a_name_too_long_for_a_subject_has_none)
{
	static const char *const
	    longest[] = {"01234567890123456789012345678901234567890123456789012.example.org", NULL},
	    *const fits[] = {"0123456789012345678901234567890123456789012345678901.example.org",
		NULL},
	    *const address[] = {"@192.0.2.1", NULL};
	const char *const *const t[] = {fits, longest, address};
	X509 *leaf, *issuer;

	make(AUTHORITY_PROXY, KIND_P256, "Proxy authority", 3650);
	ck_assert_uint_eq(strlen(fits[0]), 64);
	ck_assert_uint_eq(strlen(longest[0]), 65);
	for (unsigned i = 0; i < 3; i++) {
		mint_ok(AUTHORITY_PROXY, t[i], &leaf, &issuer);
		is_a_leaf(leaf, issuer);
		ck_assert_int_eq(X509_NAME_entry_count(X509_get_subject_name(leaf)), i == 0);
		/* RFC 5280, 4.2.1.6: critical where the subject is empty */
		ck_assert_int_eq(X509_EXTENSION_get_critical(X509_get_ext(
				     leaf, X509_get_ext_by_NID(leaf, NID_subject_alt_name, -1))),
		    i != 0);
		ck_assert(verifies(leaf, issuer, t[i][0], X509_PURPOSE_SSL_SERVER));
		X509_free(leaf);
		X509_free(issuer);
	}
}
END_TEST

START_TEST(no_leaf_outlives_its_authority)
{
	static const char *const names[] = {"imap.example.org", NULL};
	struct err e = {0};
	struct pgp_skey *k;
	X509 *leaf, *issuer;
	struct asked q;
	struct buf cert;

	make(AUTHORITY_PROXY, KIND_P256, "CA", 1);
	mint_ok(AUTHORITY_PROXY, names, &leaf, &issuer);
	is_a_leaf(leaf, issuer);
	ck_assert_int_eq(
	    ASN1_TIME_compare(X509_get0_notAfter(leaf), X509_get0_notAfter(issuer)), 0);
	X509_free(leaf);
	X509_free(issuer);
	/* Made two days ago for one. */
	buf_init(&cert, CERT_DER_MAX);
	ck_assert_ptr_nonnull(k = pgp_skey_generate(PGP_GEN_P256, 0, 0, &e));
	ck_assert_int_eq(
	    x509_authority(pgp_skey_evp(k), "CA", clock_unix() - 2 * 86400, 1, &cert, &e), 0);
	ck_assert_int_eq(keys_set_authority(cryptod.keys, AUTHORITY_PROXY, k, "CA",
			     (struct bytes){buf_ptr(&cert), buf_len(&cert)}, 1, clock_unix(), &e),
	    0);
	ck_assert_int_eq(refused(asking(&q, AUTHORITY_PROXY, names)), CRYPTO_NOKEY);
	pgp_skey_free(k);
	buf_free(&cert);
}
END_TEST

START_TEST(nothing_but_names_of_servers_is_minted)
{
	static const char *const bad[] = {"IMAP.example.org", "imap.example.org.", ".example.org",
	    "imap..example.org", "-imap.example.org", "imap-.example.org", "imap_1.example.org",
	    "*", "*.org", "*.*.example.org", "a.*.example.org", "w*.example.org", "**.example.org",
	    "*example.org", "example.*", "192.0.2.1", "a.1", "1", "imap example.org",
	    "imap.example.org\n", "http://example.org", "user@example.org", "\xc3\xbc.example",
	    "a,DNS:b.example",
	    "0123456789012345678901234567890123456789012345678901234567890123.org", "[192.0.2.1]",
	    "2001:db8::1"};
	static const uint8_t octets[16] = {1, 2, 3, 4};
	struct mint_name names[2] = {{"imap.example.org"}, {NULL}};
	struct mint_ip ip = {.ip = {octets, 4}};
	struct mint_req r = {.authority = AUTHORITY_PROXY, .names = {names, 2}};

	make(AUTHORITY_PROXY, KIND_P256, "CA", 3650);
	for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		names[1].name = bad[i];
		ck_assert_msg(refused(&r) == CRYPTO_DENIED, "%s", bad[i]);
	}
	r.names.n = 0;
	ck_assert_int_eq(refused(&r), CRYPTO_DENIED);
	r.ips.v = &ip;
	r.ips.n = 1;
	for (ip.ip.n = 4; ip.ip.n <= 16; ip.ip.n++)
		ck_assert_int_eq(
		    refused(&r), ip.ip.n == 4 || ip.ip.n == 16 ? CRYPTO_OK : CRYPTO_DENIED);
	ck_assert_uint_eq(cryptod.nminted, 2);
	ck_assert_uint_eq(cryptod.nrefused, sizeof bad / sizeof bad[0] + 1 + 11);
}
END_TEST

START_TEST(what_does_not_fit_one_certificate_is_refused)
{
	char text[MINT_NAMES_MAX][254];
	struct asked q;
	X509 *leaf, *issuer;
	unsigned good = 0;

	make(AUTHORITY_PROXY, KIND_RSA3072,
	    "0123456789012345678901234567890123456789012345678901234567890123", 3650);
	memset(&q, 0, sizeof q);
	for (unsigned i = 0; i < MINT_NAMES_MAX; i++) {
		for (unsigned k = 0; k < 253; k++)
			text[i][k] = k % 64 == 63 ? '.' : (char)('a' + (i + k / 64) % 26);
		text[i][253] = '\0';
		q.names[i].name = text[i];
	}
	for (unsigned i = 0; i < MINT_IPS_MAX; i++)
		q.ips[i].ip = (struct bytes){q.octets[i], 16};
	q.r = (struct mint_req){
	    .authority = AUTHORITY_PROXY, .names = {q.names, 0}, .ips = {q.ips, MINT_IPS_MAX}};
	for (unsigned n = 40; n <= MINT_NAMES_MAX; n++) {
		int st;

		q.r.names.n = n;
		if ((st = mint(&smtpd, &q.r, &leaf, &issuer)) == CRYPTO_OK) {
			has_names(leaf, &q.r);
			ck_assert_int_le(i2d_X509(leaf, NULL), CERT_DER_MAX);
			good = n;
		} else
			ck_assert_int_eq(st, CRYPTO_DENIED);
		X509_free(leaf);
		X509_free(issuer);
	}
	ck_assert(good >= 50 && good < MINT_NAMES_MAX);
}
END_TEST

/* Whatever is asked for: there is nothing in a certificate but names that are allowed. */
START_TEST(no_request_gives_anything_but_a_leaf)
{
	static const char letters[] = "aab9-.*A_ \n\xff@:/";
	unsigned good = 0;
	struct asked q;
	X509 *leaf, *issuer;
	uint8_t r[80];

	make(AUTHORITY_UNTRUSTED, KIND_P256, "UNTRUSTED", 3650);
	for (unsigned i = 0; i < 1500; i++) {
		char text[3][32] = {"", "", ""};
		const char *texts[4] = {text[0], text[1], text[2], NULL};
		unsigned n, at = 1;

		ck_assert_int_eq(RAND_bytes(r, sizeof r), 1);
		for (n = 0; n <= r[0] % 3u; n++) {
			unsigned len = 1 + r[at++] % 7u,
				 kinds = r[at++] % 2u ? 6 : sizeof letters - 1;

			for (unsigned k = 0; k < len; k++)
				text[n][k] = letters[r[at++] % kinds];
			if (text[n][0] == '@')
				text[n][0] = 'a';
		}
		texts[n] = NULL;
		if (mint(&smtpd, asking(&q, AUTHORITY_UNTRUSTED, texts), &leaf, &issuer) ==
		    CRYPTO_OK) {
			is_a_leaf(leaf, issuer);
			has_names(leaf, &q.r);
			for (unsigned k = 0; k < n; k++)
				ck_assert_uint_eq(strspn(text[k], "ab9-.*"), strlen(text[k]));
			good++;
		}
		X509_free(leaf);
		X509_free(issuer);
	}
	ck_assert_uint_gt(good, 20);
	ck_assert_uint_eq(cryptod.nminted, good);
}
END_TEST

static int
handshake(const X509 *leaf, struct bytes *value, struct ipc_msg *m)
{
	static const uint8_t digest[32] = "of a handshake";
	uint8_t handle[KEY_FPR];
	struct tls_sign_req r = {
	    .key = {handle, KEY_FPR}, .scheme = 0x0403, .data = {digest, sizeof digest}};
	const struct tls_sign_rep *rep;
	EVP_PKEY_CTX *c;
	struct err e;
	int st;

	ck_assert_int_eq(keyprov_handle(X509_get0_pubkey(leaf), handle, &e), 0);
	ck_assert_int_eq(harness_ask(&pop3d, M_tls_sign_req, &r, m), 0);
	rep = m->body;
	*value = rep->value;
	if ((st = rep->status) == CRYPTO_OK) {
		c = EVP_PKEY_CTX_new(X509_get0_pubkey(leaf), NULL);
		ck_assert_int_eq(EVP_PKEY_verify_init(c), 1);
		ck_assert_int_eq(EVP_PKEY_verify(c, value->p, value->n, digest, sizeof digest), 1);
		EVP_PKEY_CTX_free(c);
	}
	ipc_done(&pop3d, m);
	return st;
}

START_TEST(the_leafs_key_signs_handshakes_until_it_is_locked)
{
	static const char *const names[] = {"imap.example.org", NULL};
	struct key_list_req list = {.limit = KEYS_PAGE};
	struct keys_lock_req lock = {0};
	struct keys_state_req state = {0};
	uint8_t handle[KEY_FPR];
	struct key_export_req export = {.fpr = {handle, KEY_FPR}};
	X509 *leaf[2], *issuer[2];
	struct err e = {0};
	struct bytes value;
	struct ipc_msg m;

	make(AUTHORITY_PROXY, KIND_P256, "CA", 3650);
	mint_ok(AUTHORITY_PROXY, names, &leaf[0], &issuer[0]);
	ck_assert_int_eq(handshake(leaf[0], &value, &m), CRYPTO_OK);
	/* However many others have been used meanwhile. */
	keys_forget(cryptod.keys);
	ck_assert_int_eq(handshake(leaf[0], &value, &m), CRYPTO_OK);
	/* It is in no list, and nobody gets it. */
	ck_assert_int_eq(keyprov_handle(X509_get0_pubkey(leaf[0]), handle, &e), 0);
	ck_assert_int_eq(harness_ask(&keyctl, M_key_list_req, &list, &m), 0);
	ck_assert_uint_eq(((const struct key_list_rep *)m.body)->keys.n, 1);
	ipc_done(&keyctl, &m);
	ck_assert_int_eq(harness_ask(&keyctl, M_keys_state_req, &state, &m), 0);
	ck_assert_uint_eq(((const struct keys_state_rep *)m.body)->keys, 1);
	ipc_done(&keyctl, &m);
	ck_assert_int_eq(harness_status(&keyctl, M_key_export_req, &export), CRYPTO_NOKEY);
	ck_assert_int_eq(harness_status(&keyctl, M_keys_lock_req, &lock), CRYPTO_OK);
	ck_assert_int_eq(handshake(leaf[0], &value, &m), CRYPTO_LOCKED);
	ck_assert_int_eq(cryptod_unlock(seal, &e), 0);
	ck_assert_int_eq(handshake(leaf[0], &value, &m), CRYPTO_NOKEY);
	mint_ok(AUTHORITY_PROXY, names, &leaf[1], &issuer[1]);
	ck_assert_int_eq(handshake(leaf[1], &value, &m), CRYPTO_OK);
	ck_assert_int_eq(EVP_PKEY_eq(X509_get0_pubkey(leaf[0]), X509_get0_pubkey(leaf[1])), 0);
	ck_assert_int_eq(handshake(leaf[0], &value, &m), CRYPTO_NOKEY);
	for (unsigned i = 0; i < 2; i++) {
		X509_free(leaf[i]);
		X509_free(issuer[i]);
	}
}
END_TEST

START_TEST(without_an_authority_or_while_locked_there_is_none)
{
	static const char *const names[] = {"imap.example.org", NULL};
	struct keys_lock_req lock = {0};
	struct err e = {0};
	struct asked q;

	ck_assert_int_eq(refused(asking(&q, AUTHORITY_PROXY, names)), CRYPTO_NOKEY);
	make(AUTHORITY_PROXY, KIND_P256, "CA", 3650);
	ck_assert_int_eq(refused(asking(&q, AUTHORITY_UNTRUSTED, names)), CRYPTO_NOKEY);
	ck_assert_int_eq(harness_status(&keyctl, M_keys_lock_req, &lock), CRYPTO_OK);
	ck_assert_int_eq(refused(asking(&q, AUTHORITY_PROXY, names)), CRYPTO_LOCKED);
	ck_assert_int_eq(cryptod_unlock(seal, &e), 0);
	ck_assert_int_eq(refused(asking(&q, AUTHORITY_PROXY, names)), CRYPTO_OK);
}
END_TEST

START_TEST(limits_each_proxy_process)
{
	static const char *const names[] = {"imap.example.org", NULL};
	uint64_t future = clock_ms() + 3600 * 1000;
	X509 *leaf, *issuer;
	struct asked q;

	make(AUTHORITY_PROXY, KIND_P256, "CA", 3650);
	ck_assert_int_eq(refused(asking(&q, AUTHORITY_PROXY, names)), CRYPTO_OK);
	/* As if it had asked very often, until late: no new tokens come. */
	while (rate_take(cryptod.mint_rate, "smtpd/0", future))
		;
	ck_assert_int_eq(refused(&q.r), CRYPTO_BUSY);
	ck_assert_int_eq(mint(&pop3d, &q.r, &leaf, &issuer), CRYPTO_OK);
	X509_free(leaf);
	X509_free(issuer);
}
END_TEST

/* Signed in a thread: what is under way when it is locked, or when the asker goes. */
START_TEST(what_is_being_minted_at_the_lock_is_answered_locked)
{
	static const char *const names[] = {"imap.example.org", NULL};
	struct ipc_msg m;
	struct asked q;

	make(AUTHORITY_PROXY, KIND_RSA3072, "CA", 3650);
	for (unsigned round = 0; round < 2; round++) {
		ck_assert_int_eq(
		    harness_send(&smtpd, M_mint_req, asking(&q, AUTHORITY_PROXY, names)), 0);
		for (int i = 0; i < 1000 && ops_count() == 0; i++)
			(void)event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
		ck_assert_uint_eq(ops_count(), 1);
		if (round == 0) {
			(void)usleep(50000);
			cryptod_lock();
			ck_assert_int_eq(harness_answer(&smtpd, &m), 0);
			ck_assert_int_eq(((const struct mint_rep *)m.body)->status, CRYPTO_LOCKED);
			ck_assert_uint_eq(((const struct mint_rep *)m.body)->cert.n, 0);
			ipc_done(&smtpd, &m);
			ck_assert_uint_eq(cryptod.nminted, 0);
			ck_assert_int_eq(cryptod_unlock(seal, &(struct err){0}), 0);
		} else {
			ops_forget_peer(P_SMTPD, 0);
			for (int i = 0; i < 5000 && ops_count() > 0; i++) {
				harness_turns(1);
				(void)usleep(1000);
			}
			ck_assert_uint_eq(ops_count(), 0);
		}
	}
}
END_TEST

Suite *mint_suite(void);

Suite *
mint_suite(void)
{
	const TTest *const tests[] = {
	    a_client_of_the_server_accepts_it,
	    who_trusts_the_one_authority_does_not_trust_the_other,
	    a_name_too_long_for_a_subject_has_none,
	    no_leaf_outlives_its_authority,
	    nothing_but_names_of_servers_is_minted,
	    what_does_not_fit_one_certificate_is_refused,
	    no_request_gives_anything_but_a_leaf,
	    the_leafs_key_signs_handshakes_until_it_is_locked,
	    without_an_authority_or_while_locked_there_is_none,
	    limits_each_proxy_process,
	    what_is_being_minted_at_the_lock_is_answered_locked,
	    NULL,
	};

	return unit_suite_around("cryptod mint", setup, teardown, tests);
}
