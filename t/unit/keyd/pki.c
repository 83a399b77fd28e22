#include "t/unit/keyd/pki.h"

#include <string.h>
#include <time.h>

#include <openssl/x509v3.h>

#include "t/unit/unit.h"

static void
extend(X509 *x, const struct holder *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	X509V3_set_ctx(&ctx, issuer != NULL ? issuer->cert : x, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ck_assert_ptr_nonnull(e);
	ck_assert_int_eq(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

void
holder_make(struct holder *h, const struct holder_spec *s)
{
	X509 *x = X509_new();
	uint8_t *p = h->der;
	int len;

	h->key = EVP_EC_gen("P-256");
	h->cert = x;
	ck_assert_ptr_nonnull(h->key);
	ck_assert_int_eq(X509_set_version(x, X509_VERSION_3), 1);
	ASN1_INTEGER_set(X509_get_serialNumber(x), s->serial);
	X509_gmtime_adj(X509_getm_notBefore(x), -100L * 86400);
	X509_gmtime_adj(X509_getm_notAfter(x), s->days_ago > 0 ? -86400L * s->days_ago : 86400);
	X509_set_pubkey(x, h->key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
	    (const unsigned char *)s->name, -1, -1, 0);
	X509_set_issuer_name(x,
	    s->issuer != NULL ? X509_get_subject_name(s->issuer->cert) : X509_get_subject_name(x));
	extend(x, s->issuer, NID_basic_constraints, s->ca ? "critical,CA:TRUE" : "CA:FALSE");
	if (s->aia != NULL)
		extend(x, s->issuer, NID_info_access, s->aia);
	if (s->eku != NULL)
		extend(x, s->issuer, NID_ext_key_usage, s->eku);
	if (s->san != NULL)
		extend(x, s->issuer, NID_subject_alt_name, s->san);
	ck_assert_int_gt(
	    X509_sign(x, s->issuer != NULL ? s->issuer->key : h->key, EVP_sha256()), 0);
	len = i2d_X509(x, NULL);
	ck_assert_int_le(len, (int)sizeof h->der);
	h->n = (size_t)i2d_X509(x, &p);
}

void
holder_free(struct holder *h)
{
	X509_free(h->cert);
	EVP_PKEY_free(h->key);
}

static void
add_single(OCSP_BASICRESP *b, const struct response_spec *s, const struct holder *about, int status)
{
	const time_t now = time(NULL);
	ASN1_GENERALIZEDTIME *from = ASN1_GENERALIZEDTIME_set(NULL, now + s->from), *until = NULL;
	ASN1_TIME *revoked = ASN1_TIME_set(NULL, 1767225600); /* 2026-01-01 */
	OCSP_CERTID *id = OCSP_cert_to_id(
	    s->name_md != NULL ? s->name_md : EVP_sha1(), about->cert, s->issuer->cert);

	if (s->until != NEVER)
		until = ASN1_GENERALIZEDTIME_set(NULL, now + s->until);
	ck_assert_ptr_nonnull(OCSP_basic_add1_status(
	    b, id, status, OCSP_REVOKED_STATUS_KEYCOMPROMISE, revoked, from, until));
	OCSP_CERTID_free(id);
	ASN1_TIME_free(revoked);
	ASN1_GENERALIZEDTIME_free(from);
	ASN1_GENERALIZEDTIME_free(until);
}

size_t
response_make(const struct response_spec *s, uint8_t *out, size_t outsz)
{
	OCSP_BASICRESP *b = OCSP_BASICRESP_new();
	OCSP_RESPONSE *r;
	uint8_t *p = out;
	int len;

	if (s->also_about != NULL)
		add_single(b, s, s->also_about, V_OCSP_CERTSTATUS_REVOKED);
	add_single(b, s, s->about, s->status);
	ck_assert_int_eq(OCSP_basic_sign(b, s->signer->cert, s->signer->key,
			     s->sign_md != NULL ? s->sign_md : EVP_sha256(), NULL,
			     s->no_certs ? OCSP_NOCERTS : 0),
	    1);
	r = OCSP_response_create(s->refusal, s->refusal == 0 ? b : NULL);
	ck_assert_ptr_nonnull(r);
	len = i2d_OCSP_RESPONSE(r, NULL);
	ck_assert_int_gt(len, 0);
	ck_assert_int_le(len, (int)outsz);
	(void)i2d_OCSP_RESPONSE(r, &p);
	OCSP_RESPONSE_free(r);
	OCSP_BASICRESP_free(b);
	return (size_t)len;
}
