/* Certificates of the authorities, looked at. */
#include "keyctl/cacert.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/enc.h"

/* The only part of that kind, as UTF-8 of 1 to max octets. 0 or -1. */
static int
part(X509_NAME *name, int nid, char *out, size_t max)
{
	int at = X509_NAME_get_index_by_NID(name, nid, -1), n, rc = -1;
	unsigned char *text = NULL;

	if (at == -1 || X509_NAME_get_index_by_NID(name, nid, at) != -1)
		return -1;
	n = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	if (n > 0 && (size_t)n <= max && memchr(text, '\0', (size_t)n) == NULL) {
		memcpy(out, text, (size_t)n);
		out[n] = '\0';
		rc = 0;
	}
	OPENSSL_free(text);
	return rc;
}

int
cacert_name(X509 *cert, char out[CA_NAME_MAX + 1])
{
	X509_NAME *subject = X509_get_subject_name(cert);
	char org[sizeof CA_ORGANISATION];

	return X509_check_ca(cert) == 1 && X509_NAME_entry_count(subject) == 2 &&
		       part(subject, NID_organizationName, org, sizeof org - 1) == 0 &&
		       strcmp(org, CA_ORGANISATION) == 0
		   ? part(subject, NID_commonName, out, CA_NAME_MAX)
		   : -1;
}

static int
seconds(const ASN1_TIME *t, uint64_t *out)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return -1;
	*out = (uint64_t)timegm(&tm);
	return 0;
}

static X509 *
parse(struct bytes der, struct err *e)
{
	const uint8_t *p = der.p;
	X509 *x = d2i_X509(NULL, &p, (long)der.n);

	if (x == NULL)
		(void)err_set(e, EBADMSG, "the authority's certificate cannot be read");
	ERR_clear_error();
	return x;
}

int
cacert_read(struct bytes der, struct cacert *out, struct err *e)
{
	X509 *x = parse(der, e);
	uint8_t hash[EVP_MAX_MD_SIZE];
	EVP_PKEY *key;
	unsigned n;
	int rc = -1;

	memset(out, 0, sizeof *out);
	if (x == NULL)
		return -1;
	if ((key = X509_get0_pubkey(x)) == NULL || cacert_name(x, out->name) == -1 ||
	    seconds(X509_get0_notBefore(x), &out->begins) == -1 ||
	    seconds(X509_get0_notAfter(x), &out->ends) == -1 ||
	    X509_digest(x, EVP_sha256(), hash, &n) != 1)
		(void)err_set(e, EBADMSG, "the authority's certificate is none of ours");
	else {
		(void)snprintf(out->algo, sizeof out->algo, "%s%d",
		    EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA ? "rsa" : "nistp",
		    EVP_PKEY_get_bits(key));
		(void)hex_encode(out->sha256, hash, n);
		rc = 0;
	}
	X509_free(x);
	ERR_clear_error();
	return rc;
}

int
cacert_pem(struct bytes der, struct buf *out, struct err *e)
{
	X509 *x = parse(der, e);
	BIO *to = BIO_new(BIO_s_mem());
	char *p;
	long n;
	int rc = -1;

	if (x != NULL && to != NULL && PEM_write_bio_X509(to, x) == 1 &&
	    (n = BIO_get_mem_data(to, &p)) > 0)
		rc = buf_put(out, p, (size_t)n);
	if (rc == -1 && x != NULL)
		(void)err_set(e, ENOMEM, "the authority's certificate cannot be written");
	BIO_free(to);
	X509_free(x);
	ERR_clear_error();
	return rc;
}
