#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "base/enc.h"
#include "keyd/keyd.h"

#define KEY_BITS_MAX 8192 /* of an issuer's key: larger ones only take time */
#define RESPONDERS_MAX 16 /* that one certificate names, of which we look for one we can ask */

/* All of it is one certificate, or NULL. */
static X509 *
parse(struct bytes der)
{
	const unsigned char *p = der.p;
	X509 *x = d2i_X509(NULL, &p, (long)der.n);

	if (x != NULL && p != der.p + der.n) {
		X509_free(x);
		x = NULL;
	}
	return x;
}

/* A key whose use takes a time that is known. */
static int
key_ok(const EVP_PKEY *k)
{
	static const int kinds[] = {
	    EVP_PKEY_RSA, EVP_PKEY_RSA_PSS, EVP_PKEY_EC, EVP_PKEY_ED25519, EVP_PKEY_ED448};
	size_t i;

	if (k == NULL || EVP_PKEY_get_bits(k) > KEY_BITS_MAX)
		return 0;
	for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (EVP_PKEY_get_base_id(k) == kinds[i])
			return 1;
	return 0;
}

static int
check_issuer(const struct subject *s, struct err *e)
{
	EVP_PKEY *k = X509_get0_pubkey(s->issuer);

	if (!key_ok(k))
		return err_set(e, EINVAL, "the issuer's key is of an unusual kind or size");
	/* A name and a serial number alone could be claimed by any certificate. */
	if (X509_check_issued(s->issuer, s->cert) != X509_V_OK || X509_verify(s->cert, k) != 1)
		return err_set(e, EINVAL, "the certificate was not issued by the one behind it");
	return 0;
}

static int
take_serial(struct subject *s, struct err *e)
{
	const ASN1_INTEGER *n = X509_get0_serialNumber(s->cert);
	int len = ASN1_STRING_length(n), negative = ASN1_STRING_type(n) == V_ASN1_NEG_INTEGER;

	if (len < 1 || len > SERIAL_MAX)
		return err_set(e, EINVAL, "the certificate's serial number has %d octets", len);
	s->serial[0] = '-';
	(void)hex_encode(s->serial + negative, ASN1_STRING_get0_data(n), (size_t)len);
	return 0;
}

/* Each part with its length before it, so that none can pass for a piece of its neighbour. */
static int
add_part(EVP_MD_CTX *md, const void *p, size_t n)
{
	uint8_t len[4];

	put_be32(len, (uint32_t)n);
	return EVP_DigestUpdate(md, len, sizeof len) == 1 && EVP_DigestUpdate(md, p, n) == 1;
}

static int
make_key(struct subject *s, struct err *e)
{
	const ASN1_BIT_STRING *key = X509_get0_pubkey_bitstr(s->issuer);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	const unsigned char *name;
	size_t n;
	int rc = -1;

	if (md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
	    X509_NAME_get0_der(X509_get_issuer_name(s->cert), &name, &n) == 1 &&
	    add_part(md, name, n) &&
	    add_part(md, ASN1_STRING_get0_data(key), (size_t)ASN1_STRING_length(key)) &&
	    add_part(md, s->serial, strlen(s->serial)) && EVP_DigestFinal_ex(md, s->key, NULL) == 1)
		rc = 0;
	EVP_MD_CTX_free(md);
	return rc == 0 ? 0 : err_set(e, ENOMEM, "no memory for a digest");
}

/* The first responder that can be asked (RFC 5280, 4.2.2.1; RFC 6960, 3.1). */
static void
find_responder(struct subject *s)
{
	AUTHORITY_INFO_ACCESS *all;
	const ACCESS_DESCRIPTION *d;
	const ASN1_IA5STRING *uri;
	int i, seen = 0, critical;

	all = X509_get_ext_d2i(s->cert, NID_info_access, &critical, NULL);
	if (all == NULL && critical != -1) {
		s->asks = 1;
		(void)err_set(&s->why, EBADMSG,
		    "it has an authority information access that "
		    "cannot be parsed");
	}
	for (i = 0; i < sk_ACCESS_DESCRIPTION_num(all) && seen < RESPONDERS_MAX; i++) {
		d = sk_ACCESS_DESCRIPTION_value(all, i);
		if (OBJ_obj2nid(d->method) != NID_ad_OCSP || d->location->type != GEN_URI)
			continue;
		s->asks = 1;
		seen++;
		uri = d->location->d.uniformResourceIdentifier;
		if (url_parse(ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri), &s->url,
			&s->why) == 0)
			break;
	}
	AUTHORITY_INFO_ACCESS_free(all);
}

int
subject_parse(struct subject *s, struct bytes cert, struct bytes issuer, struct err *e)
{
	memset(s, 0, sizeof *s);
	s->cert = parse(cert);
	s->issuer = parse(issuer);
	if (s->cert == NULL || s->issuer == NULL)
		(void)err_set(e, EBADMSG, "the %s cannot be parsed",
		    s->cert == NULL ? "certificate" : "issuer's certificate");
	else if (take_serial(s, e) == 0) {
		find_responder(s);
		ERR_clear_error();
		return 0;
	}
	ERR_clear_error();
	subject_free(s);
	return -1;
}

int
subject_check(struct subject *s, struct err *e)
{
	int rc = check_issuer(s, e) == 0 && make_key(s, e) == 0 ? 0 : -1;

	ERR_clear_error();
	return rc;
}

void
subject_free(struct subject *s)
{
	X509_free(s->cert);
	X509_free(s->issuer);
	s->cert = s->issuer = NULL;
}

uint8_t *
subject_question(const struct subject *s, size_t *n)
{
	OCSP_REQUEST *r = OCSP_REQUEST_new();
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), s->cert, s->issuer); /* RFC 5019, 2.1.1 */
	unsigned char *der = NULL;
	int len = -1;

	if (r != NULL && id != NULL && OCSP_request_add0_id(r, id) != NULL) {
		id = NULL;
		len = i2d_OCSP_REQUEST(r, &der);
	}
	OCSP_CERTID_free(id);
	OCSP_REQUEST_free(r);
	ERR_clear_error();
	*n = len > 0 ? (size_t)len : 0;
	return len > 0 ? der : NULL;
}
