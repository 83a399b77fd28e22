#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "keyd/keyd.h"

#define SECURITY_LEVEL                                                                             \
	2 /* of a responder's certificate, as of TLS: SSL_CTX_set_security_level(3) */

/* Seconds since the epoch; -1 for what is no time. */
static int64_t
seconds(const ASN1_GENERALIZEDTIME *t)
{
	struct tm tm;

	if (ASN1_GENERALIZEDTIME_check(t) != 1 || ASN1_TIME_to_tm(t, &tm) != 1)
		return -1;
	return (int64_t)timegm(&tm);
}

static const char *
time_text(char *out, size_t outsz, int64_t t)
{
	time_t when = (time_t)t;
	struct tm tm;

	if (t < 0 || gmtime_r(&when, &tm) == NULL ||
	    strftime(out, outsz, "%Y-%m-%d %H:%M UTC", &tm) == 0)
		(void)snprintf(out, outsz, "?");
	return out;
}

/* Is the name in the response the one of our certificate, by whatever digest (RFC 6960, 4.1.1)? */
static int
is_about(const OCSP_CERTID *id, const struct subject *s)
{
	ASN1_OBJECT *digest = NULL;
	const EVP_MD *md;
	OCSP_CERTID *own;
	int same;

	if (OCSP_id_get0_info(NULL, &digest, NULL, NULL, (OCSP_CERTID *)id) != 1)
		return 0;
	switch (OBJ_obj2nid(digest)) {
	case NID_sha1:
		md = EVP_sha1();
		break;
	case NID_sha256:
		md = EVP_sha256();
		break;
	case NID_sha384:
		md = EVP_sha384();
		break;
	case NID_sha512:
		md = EVP_sha512();
		break;
	default:
		return 0;
	}
	if ((own = OCSP_cert_to_id(md, s->cert, s->issuer)) == NULL)
		return 0;
	same = OCSP_id_cmp(own, id) == 0;
	OCSP_CERTID_free(own);
	return same;
}

/* Its part of the response; NULL: there is none. The size of a response bounds the loop. */
static OCSP_SINGLERESP *
find_single(OCSP_BASICRESP *b, const struct subject *s)
{
	OCSP_SINGLERESP *one;
	int i;

	for (i = 0; i < OCSP_resp_count(b); i++) {
		one = OCSP_resp_get0(b, i);
		if (is_about(OCSP_SINGLERESP_get0_id(one), s))
			return one;
	}
	return NULL;
}

/* The digest of the signature has to be one that nobody can find two documents for. */
static int
digest_ok(const OCSP_BASICRESP *b)
{
	int md = NID_undef;

	if (OBJ_find_sigid_algs(OBJ_obj2nid(OCSP_resp_get0_tbs_sigalg(b)->algorithm), &md, NULL) !=
	    1)
		return 0;
	return md != NID_md2 && md != NID_md4 && md != NID_md5 && md != NID_md5_sha1 &&
	       md != NID_sha1 && md != NID_ripemd160;
}

/*
 * The only trust anchor is the issuer, though it be no root: who signs is the issuer itself, or has
 * a certificate of the issuer with the extended key usage OCSPSigning (RFC 6960, 4.2.2.2).
 */
static int
check_signature(OCSP_BASICRESP *b, const struct subject *s, uint64_t now, struct err *e)
{
	STACK_OF(X509) *certs = sk_X509_new_null();
	X509_STORE *store = X509_STORE_new();
	X509_VERIFY_PARAM *param;
	const char *why;
	int rc = -1;

	if (!digest_ok(b)) {
		(void)err_set(e, EBADMSG, "the response is signed with an unsafe algorithm");
		goto out;
	}
	ERR_clear_error();
	if (certs == NULL || store == NULL || sk_X509_push(certs, s->issuer) == 0 ||
	    X509_STORE_add_cert(store, s->issuer) != 1) {
		(void)err_set(e, ENOMEM, "no memory");
		goto out;
	}
	param = X509_STORE_get0_param(store);
	(void)X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
	X509_VERIFY_PARAM_set_time(param, (time_t)now);
	X509_VERIFY_PARAM_set_depth(param, 0);
	X509_VERIFY_PARAM_set_auth_level(param, SECURITY_LEVEL);
	if (OCSP_basic_verify(b, certs, store, OCSP_NOEXPLICIT) == 1)
		rc = 0;
	else {
		why = ERR_reason_error_string(ERR_peek_error());
		(void)err_set(e, EBADMSG, "the response is not signed by the issuer or for it (%s)",
		    why != NULL ? why : "no responder's key usage");
	}
out:
	sk_X509_free(certs);
	X509_STORE_free(store);
	ERR_clear_error();
	return rc;
}

/* RFC 6960, 3.2: 5 and 6, and 4.2.2.1. */
static int
check_times(int64_t this_update, int64_t next_update, int has_next, uint64_t now, struct err *e)
{
	int64_t t = (int64_t)now;
	char when[32];

	if (this_update < 0 || (has_next && next_update < this_update))
		return err_set(e, EBADMSG, "the response has impossible times");
	if (this_update > t + SKEW_S)
		return err_set(e, EBADMSG, "the response is of the future: %s",
		    time_text(when, sizeof when, this_update));
	if (has_next && next_update < t - SKEW_S)
		return err_set(e, ETIMEDOUT, "the response was good until %s",
		    time_text(when, sizeof when, next_update));
	if (!has_next && this_update < t - AGE_MAX_S)
		return err_set(e, ETIMEDOUT, "the response is too old: of %s",
		    time_text(when, sizeof when, this_update));
	return 0;
}

static int
judge(OCSP_SINGLERESP *one, uint64_t now, struct answer *a, struct err *e)
{
	ASN1_GENERALIZEDTIME *revoked = NULL, *this_update = NULL, *next_update = NULL;
	int reason = -1, status;
	int64_t from, until = -1;
	char when[32];

	status = OCSP_single_get0_status(one, &reason, &revoked, &this_update, &next_update);
	from = this_update != NULL ? seconds(this_update) : -1;
	if (next_update != NULL)
		until = seconds(next_update);
	if (check_times(from, until, next_update != NULL, now, e) == -1)
		return -1;
	a->this_update = (uint64_t)from;
	a->next_update = next_update != NULL ? (uint64_t)until : 0;
	if (status == V_OCSP_CERTSTATUS_GOOD) {
		a->status = OCSP_GOOD;
		(void)snprintf(a->text, sizeof a->text, "not revoked");
	} else if (status == V_OCSP_CERTSTATUS_REVOKED) {
		a->status = OCSP_REVOKED;
		(void)snprintf(a->text, sizeof a->text, "revoked at %s%s%s",
		    time_text(when, sizeof when, revoked != NULL ? seconds(revoked) : -1),
		    reason >= 0 ? ": " : "", reason >= 0 ? OCSP_crl_reason_str(reason) : "");
	} else {
		a->status = OCSP_UNKNOWN;
		(void)snprintf(a->text, sizeof a->text, "its responder does not know it");
	}
	return 0;
}

static int
check_basic(
    OCSP_BASICRESP *b, const struct subject *s, uint64_t now, struct answer *a, struct err *e)
{
	OCSP_SINGLERESP *one = find_single(b, s);

	if (one == NULL)
		return err_set(e, EBADMSG, "the response is about another certificate");
	if (check_signature(b, s, now, e) == -1)
		return -1;
	return judge(one, now, a, e);
}

int
response_check(const struct subject *s, const uint8_t *der, size_t n, uint64_t now,
    struct answer *a, struct err *e)
{
	const unsigned char *p = der;
	OCSP_RESPONSE *r = n <= OCSP_DER_MAX ? d2i_OCSP_RESPONSE(NULL, &p, (long)n) : NULL;
	OCSP_BASICRESP *b = NULL;
	int rc = -1, status;

	if (r == NULL || p != der + n)
		(void)err_set(e, EBADMSG, "the response is none of OCSP");
	else if ((status = OCSP_response_status(r)) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
		(void)err_set(
		    e, EAGAIN, "the responder says: %s", OCSP_response_status_str(status));
	else if ((b = OCSP_response_get1_basic(r)) == NULL)
		(void)err_set(e, EBADMSG, "the response is of a kind that is not known");
	else
		rc = check_basic(b, s, now, a, e);
	OCSP_BASICRESP_free(b);
	OCSP_RESPONSE_free(r);
	ERR_clear_error();
	return rc;
}
