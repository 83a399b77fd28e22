#include <string.h>

#include <openssl/err.h>

#include "base/clock.h"
#include "t/unit/keyd/pki.h"
#include "t/unit/unit.h"

Suite *response_suite(void);

#define AIA "OCSP;URI:http://ocsp.example.org/"

/* An authority, one of the same name with another key, a server's certificate, responders. */
static struct holder ca, twin, leaf, other, responder, plain, expired, of_twin;
static struct subject subject;
static uint8_t der[OCSP_DER_MAX];
static size_t n;

static void
set_up(void)
{
	struct err e;

	holder_make(&ca, &(struct holder_spec){.name = "Authority", .serial = 1, .ca = 1});
	holder_make(&twin, &(struct holder_spec){.name = "Authority", .serial = 1, .ca = 1});
	holder_make(&leaf,
	    &(struct holder_spec){.name = "server", .issuer = &ca, .serial = 10, .aia = AIA});
	holder_make(&other,
	    &(struct holder_spec){.name = "other", .issuer = &ca, .serial = 11, .aia = AIA});
	holder_make(&responder,
	    &(struct holder_spec){
		.name = "responder", .issuer = &ca, .serial = 12, .eku = "OCSPSigning"});
	holder_make(&plain, &(struct holder_spec){
				.name = "plain", .issuer = &ca, .serial = 13, .eku = "serverAuth"});
	holder_make(&expired, &(struct holder_spec){.name = "expired",
				  .issuer = &ca,
				  .serial = 14,
				  .eku = "OCSPSigning",
				  .days_ago = 2});
	holder_make(&of_twin,
	    &(struct holder_spec){
		.name = "responder", .issuer = &twin, .serial = 12, .eku = "OCSPSigning"});
	ck_assert_int_eq(subject_parse(&subject, (struct bytes){leaf.der, leaf.n},
			     (struct bytes){ca.der, ca.n}, &e),
	    0);
	ck_assert_int_eq(subject_check(&subject, &e), 0);
}

static void
tear_down(void)
{
	struct holder *all[] = {&ca, &twin, &leaf, &other, &responder, &plain, &expired, &of_twin};
	size_t i;

	for (i = 0; i < sizeof all / sizeof all[0]; i++)
		holder_free(all[i]);
	subject_free(&subject);
	ck_assert_uint_eq(ERR_peek_error(), 0);
}

/* What a response says, or what is wrong with it. */
static const char *
check(const struct response_spec *spec)
{
	static char text[ERR_TEXT_MAX];
	struct answer a = {.status = OCSP_STATUS_MAX};
	struct response_spec s = *spec;
	struct err e = {0};

	if (s.about == NULL)
		s.about = &leaf;
	if (s.issuer == NULL)
		s.issuer = &ca;
	if (s.signer == NULL)
		s.signer = &ca;
	if (s.until == 0)
		s.until = 3600;
	n = response_make(&s, der, sizeof der);
	if (response_check(&subject, der, n, clock_unix(), &a, &e) == -1)
		(void)strlcpy(text, e.text, sizeof text);
	else {
		ck_assert_int_ne(a.status, OCSP_STATUS_MAX);
		ck_assert_int_eq(a.next_update != 0, s.until != NEVER);
		ck_assert_int_le(llabs((int64_t)(a.this_update - clock_unix()) - s.from), 100);
		(void)strlcpy(text, a.text, sizeof text);
	}
	return text;
}

#define CHECK(...) check(&(struct response_spec){__VA_ARGS__})
#define HAS(part, ...)                                                                             \
	do {                                                                                       \
		const char *got_ = CHECK(__VA_ARGS__);                                             \
		ck_assert_msg(strstr(got_, (part)) != NULL, "%s", got_);                           \
	} while (0)

START_TEST(tells_good_revoked_and_unknown)
{
	ck_assert_str_eq(CHECK(.status = V_OCSP_CERTSTATUS_GOOD), "not revoked");
	ck_assert_str_eq(CHECK(.status = V_OCSP_CERTSTATUS_REVOKED),
	    "revoked at 2026-01-01 00:00 UTC: keyCompromise");
	HAS("does not know", .status = V_OCSP_CERTSTATUS_UNKNOWN);
	/* Wherever in a response, and whatever its names are made with. */
	ck_assert_str_eq(CHECK(.also_about = &other), "not revoked");
	ck_assert_str_eq(CHECK(.name_md = EVP_sha256()), "not revoked");
	ck_assert_str_eq(CHECK(.name_md = EVP_sha512()), "not revoked");
	ck_assert_str_eq(CHECK(.no_certs = 1), "not revoked");
}
END_TEST

START_TEST(a_responder_needs_a_certificate_of_the_issuer_for_that)
{
	ck_assert_str_eq(CHECK(.signer = &responder), "not revoked");
	ck_assert_str_eq(CHECK(.signer = &responder, .status = V_OCSP_CERTSTATUS_REVOKED),
	    "revoked at 2026-01-01 00:00 UTC: keyCompromise");
	HAS("not signed by the issuer", .signer = &plain);
	HAS("not signed by the issuer", .signer = &leaf);
	HAS("not signed by the issuer", .signer = &expired);
	HAS("not signed by the issuer", .signer = &of_twin);
	HAS("not signed by the issuer", .signer = &responder, .no_certs = 1);
}
END_TEST

START_TEST(somebody_elses_signature_counts_for_nothing)
{
	HAS("not signed by the issuer", .signer = &twin);
	HAS("not signed by the issuer", .signer = &twin, .no_certs = 1);
	HAS("unsafe algorithm", .sign_md = EVP_sha1());
	HAS("another certificate", .issuer = &twin);
	HAS("another certificate", .issuer = &twin, .signer = &twin);
	HAS("another certificate", .about = &other);
	HAS("another certificate", .name_md = EVP_md5());
}
END_TEST

START_TEST(old_and_future_responses_count_for_nothing)
{
	HAS("was good until", .from = -7200, .until = -400);
	ck_assert_str_eq(CHECK(.from = -7200, .until = -200), "not revoked");
	HAS("of the future", .from = 400);
	ck_assert_str_eq(CHECK(.from = 200), "not revoked");
	HAS("impossible times", .from = -100, .until = -200);
	ck_assert_str_eq(CHECK(.from = -600, .until = NEVER), "not revoked");
	HAS("too old", .from = -AGE_MAX_S - 60, .until = NEVER);
	/* Who says until when has decided that himself. */
	ck_assert_str_eq(CHECK(.from = -AGE_MAX_S - 60, .until = 86400), "not revoked");
}
END_TEST

START_TEST(says_what_a_responder_refuses)
{
	HAS("trylater", .refusal = OCSP_RESPONSE_STATUS_TRYLATER);
	HAS("unauthorized", .refusal = OCSP_RESPONSE_STATUS_UNAUTHORIZED);
	HAS("malformedrequest", .refusal = OCSP_RESPONSE_STATUS_MALFORMEDREQUEST);
}
END_TEST

START_TEST(ends_on_any_octets)
{
	uint8_t *copy;
	struct answer a;
	struct err e;
	size_t i, full;
	int bit;

	(void)CHECK(.signer = &responder);
	full = n;
	for (i = 0; i < full; i++) {
		/* Exactly as long as it is, so that reading beyond is noticed. */
		copy = malloc(i + (i == 0));
		memcpy(copy, der, i);
		ck_assert_int_eq(response_check(&subject, copy, i, clock_unix(), &a, &e), -1);
		free(copy);
	}
	copy = malloc(full + 1);
	memcpy(copy, der, full);
	copy[full] = 0;
	ck_assert_int_eq(response_check(&subject, copy, full + 1, clock_unix(), &a, &e), -1);
	/* Any change of what was signed is found. */
	for (i = 0; i < full; i++)
		for (bit = 0; bit < 8; bit += 7) {
			copy[i] ^= (uint8_t)(1 << bit);
			if (response_check(&subject, copy, full, clock_unix(), &a, &e) == 0)
				ck_assert_int_eq(a.status, OCSP_GOOD);
			copy[i] = der[i];
		}
	free(copy);
}
END_TEST

static int
parse(const struct holder *cert, const struct holder *issuer, struct subject *s, struct err *e)
{
	return subject_parse(
	    s, (struct bytes){cert->der, cert->n}, (struct bytes){issuer->der, issuer->n}, e);
}

static const char *
url_of(const char *aia)
{
	static char text[HOSTPORT_TEXT_MAX];
	struct holder h;
	struct subject s;
	struct err e;

	holder_make(
	    &h, &(struct holder_spec){.name = "x", .issuer = &ca, .serial = 20, .aia = aia});
	ck_assert_int_eq(parse(&h, &ca, &s, &e), 0);
	(void)url_authority(text, sizeof text, &s.url);
	if (!s.asks)
		(void)strlcpy(text, "nobody", sizeof text);
	else if (s.url.host[0] == '\0')
		(void)strlcpy(text, s.why.text, sizeof text);
	subject_free(&s);
	holder_free(&h);
	return text;
}

START_TEST(finds_the_responder_in_a_certificate)
{
	ck_assert_str_eq(url_of(NULL), "nobody");
	ck_assert_str_eq(url_of("caIssuers;URI:http://ca.example.org/"), "nobody");
	ck_assert_str_eq(url_of("OCSP;email:x@example.org"), "nobody");
	ck_assert_str_eq(url_of(AIA), "ocsp.example.org");
	ck_assert_str_eq(
	    url_of("OCSP;URI:ldap://x.example/,OCSP;URI:http://y.example:81/"), "y.example:81");
	ck_assert_str_eq(
	    url_of("OCSP;URI:http://x.example/,OCSP;URI:http://y.example/"), "x.example");
	ck_assert_ptr_nonnull(strstr(url_of("OCSP;URI:https://x.example/"), "none of http"));
}
END_TEST

START_TEST(a_certificate_must_be_of_its_issuer)
{
	struct holder big = leaf;
	struct subject s;
	struct err e;

	ck_assert_int_eq(parse(&leaf, &twin, &s, &e), 0);
	ck_assert_int_eq(subject_check(&s, &e), -1);
	subject_free(&s);
	ck_assert_int_eq(parse(&leaf, &other, &s, &e), 0);
	ck_assert_int_eq(subject_check(&s, &e), -1);
	subject_free(&s);
	/* One octet more is no certificate. */
	big.der[big.n++] = 0;
	ck_assert_int_eq(parse(&big, &ca, &s, &e), -1);
	ck_assert_int_eq(parse(&leaf, &big, &s, &e), -1);
	big.n = 1;
	ck_assert_int_eq(parse(&big, &ca, &s, &e), -1);
}
END_TEST

START_TEST(keys_of_the_cache_tell_certificates_apart)
{
	struct subject a, b;
	struct err e;

	ck_assert_int_eq(parse(&other, &ca, &a, &e), 0);
	ck_assert_int_eq(subject_check(&a, &e), 0);
	ck_assert_int_ne(memcmp(a.key, subject.key, sizeof a.key), 0);
	subject_free(&a);
	/* The same serial number of authorities of the same name. */
	ck_assert_int_eq(parse(&responder, &ca, &a, &e), 0);
	ck_assert_int_eq(subject_check(&a, &e), 0);
	ck_assert_int_eq(parse(&of_twin, &twin, &b, &e), 0);
	ck_assert_int_eq(subject_check(&b, &e), 0);
	ck_assert_str_eq(a.serial, "0C");
	ck_assert_str_eq(b.serial, "0C");
	ck_assert_int_ne(memcmp(a.key, b.key, sizeof a.key), 0);
	subject_free(&a);
	subject_free(&b);
}
END_TEST

START_TEST(asks_without_a_nonce)
{
	OCSP_REQUEST *r;
	const unsigned char *p;
	uint8_t *q;
	size_t len;

	q = subject_question(&subject, &len);
	ck_assert_ptr_nonnull(q);
	p = q;
	r = d2i_OCSP_REQUEST(NULL, &p, (long)len);
	ck_assert_ptr_nonnull(r);
	ck_assert_ptr_eq(p, q + len);
	ck_assert_int_eq(OCSP_request_onereq_count(r), 1);
	ck_assert_int_eq(OCSP_REQUEST_get_ext_by_NID(r, NID_id_pkix_OCSP_Nonce, -1), -1);
	OCSP_REQUEST_free(r);
	OPENSSL_free(q);
}
END_TEST

Suite *
response_suite(void)
{
	return unit_suite_around("response", set_up, tear_down,
	    (const TTest *const[]){tells_good_revoked_and_unknown,
		a_responder_needs_a_certificate_of_the_issuer_for_that,
		somebody_elses_signature_counts_for_nothing,
		old_and_future_responses_count_for_nothing, says_what_a_responder_refuses,
		ends_on_any_octets, finds_the_responder_in_a_certificate,
		a_certificate_must_be_of_its_issuer, keys_of_the_cache_tell_certificates_apart,
		asks_without_a_nonce, NULL});
}
