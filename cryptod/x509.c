/* Certificates of X.509, composed. */
#include "cryptod/x509.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "mail/utf8.h"

#define SERIAL_LEN 16 /* octets; RFC 5280, 4.1.2.2: 20 at most */
#define LABEL_MAX 63 /* RFC 1035, 2.3.4 */

/* Bits of KeyUsage (RFC 5280, 4.2.1.3), from the first one on. */
enum { BIT_SIGNATURE = 0, BIT_CERT_SIGN = 5, BIT_CRL_SIGN = 6 };

/* ---- names ---- */

/* Octets of the label that p begins with, 0: none that a host name may have. */
static size_t
label(const char *p)
{
	size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return n > LABEL_MAX || p[0] == '-' || (n > 0 && p[n - 1] == '-') ? 0 : n;
}

static int
dns_name_ok(const char *name)
{
	const char *p = name;
	unsigned labels = 0, least = 1;
	size_t n;

	if (p[0] == '*' && p[1] == '.') {
		p += 2;
		least = 2;
	}
	for (;; p += n + 1) {
		if ((n = label(p)) == 0)
			return 0;
		labels++;
		if (p[n] == '\0')
			break;
		if (p[n] != '.')
			return 0;
	}
	return labels >= least && strspn(p, "0123456789") != n;
}

const char *
x509_names_bad(const struct mint_req *r)
{
	size_t all = 0;

	if (r->names.n == 0 && r->ips.n == 0)
		return "no name";
	for (size_t i = 0; i < r->names.n; i++) {
		if (!dns_name_ok(r->names.v[i].name))
			return "not a host name";
		all += strlen(r->names.v[i].name) + 4;
	}
	for (size_t i = 0; i < r->ips.n; i++) {
		if (r->ips.v[i].ip.n != 4 && r->ips.v[i].ip.n != 16)
			return "not an address";
		all += r->ips.v[i].ip.n + 4;
	}
	return all > MINT_OCTETS_MAX ? "too much for one certificate" : NULL;
}

const char *
x509_authority_name_bad(const char *name)
{
	const uint8_t *p = (const uint8_t *)name;
	size_t n = strlen(name), k;
	uint32_t c;

	if (n == 0 || n > CA_NAME_MAX)
		return "a name has 1 to 64 octets";
	if (name[0] == ' ' || name[n - 1] == ' ')
		return "a name neither begins nor ends with a blank";
	for (; n > 0; p += k, n -= k) {
		if ((k = mail_utf8_next(p, n, &c)) == 0)
			return "a name is UTF-8";
		/* Controls, and what turns the direction of a line. */
		if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x200e || c == 0x200f ||
		    (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff)
			return "a name has printable characters only";
	}
	return NULL;
}

int
x509_authority_key_fits(const EVP_PKEY *key)
{
	char group[32];
	size_t n;

	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
		return EVP_PKEY_get_bits(key) >= 3072 && EVP_PKEY_get_bits(key) <= 4096;
	return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
	       EVP_PKEY_get_group_name(key, group, sizeof group, &n) == 1 &&
	       (strcmp(group, SN_X9_62_prime256v1) == 0 || strcmp(group, SN_secp384r1) == 0);
}

/* ---- parts of a certificate; 0 or -1 ---- */

static int
set_serial(X509 *x)
{
	uint8_t octets[SERIAL_LEN];
	BIGNUM *n = NULL;
	int rc = -1;

	if (RAND_bytes(octets, sizeof octets) == 1 &&
	    (n = BN_bin2bn(octets, sizeof octets, NULL)) != NULL && !BN_is_zero(n) &&
	    BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL)
		rc = 0;
	BN_free(n);
	return rc;
}

static int
set_times(X509 *x, uint64_t begins, uint64_t ends)
{
	/* UTCTime or GeneralizedTime by the year (RFC 5280, 4.1.2.5) */
	return ASN1_TIME_set(X509_getm_notBefore(x), (time_t)begins) != NULL &&
		       ASN1_TIME_set(X509_getm_notAfter(x), (time_t)ends) != NULL
		   ? 0
		   : -1;
}

static int
add_key_usage(X509 *x, int first, int second)
{
	ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
	int rc = -1;

	if (bits != NULL && ASN1_BIT_STRING_set_bit(bits, first, 1) == 1 &&
	    ASN1_BIT_STRING_set_bit(bits, second, 1) == 1 &&
	    X509_add1_ext_i2d(x, NID_key_usage, bits, 1, X509V3_ADD_DEFAULT) == 1)
		rc = 0;
	ASN1_BIT_STRING_free(bits);
	return rc;
}

/* ca: it may sign leaves, but no further authorities (pathlen 0). */
static int
add_basic_constraints(X509 *x, int ca)
{
	BASIC_CONSTRAINTS *bc = BASIC_CONSTRAINTS_new();
	int rc = -1;

	if (bc == NULL)
		return -1;
	bc->ca = ca ? 0xff : 0;
	if ((!ca || ((bc->pathlen = ASN1_INTEGER_new()) != NULL &&
			ASN1_INTEGER_set(bc->pathlen, 0) == 1)) &&
	    X509_add1_ext_i2d(x, NID_basic_constraints, bc, 1, X509V3_ADD_DEFAULT) == 1)
		rc = 0;
	BASIC_CONSTRAINTS_free(bc);
	return rc;
}

/* RFC 5280, 4.2.1.2, method 1: SHA-1 of the public key. */
static int
add_subject_key_id(X509 *x)
{
	ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned n;
	int rc = -1;

	if (id != NULL && X509_pubkey_digest(x, EVP_sha1(), hash, &n) == 1 &&
	    ASN1_OCTET_STRING_set(id, hash, (int)n) == 1 &&
	    X509_add1_ext_i2d(x, NID_subject_key_identifier, id, 0, X509V3_ADD_DEFAULT) == 1)
		rc = 0;
	ASN1_OCTET_STRING_free(id);
	return rc;
}

static int
add_authority_key_id(X509 *x, X509 *issuer)
{
	const ASN1_OCTET_STRING *theirs = X509_get0_subject_key_id(issuer);
	AUTHORITY_KEYID *id = AUTHORITY_KEYID_new();
	int rc = -1;

	if (id != NULL && theirs != NULL && (id->keyid = ASN1_OCTET_STRING_dup(theirs)) != NULL &&
	    X509_add1_ext_i2d(x, NID_authority_key_identifier, id, 0, X509V3_ADD_DEFAULT) == 1)
		rc = 0;
	AUTHORITY_KEYID_free(id);
	return rc;
}

static int
add_server_auth(X509 *x)
{
	EXTENDED_KEY_USAGE *uses = EXTENDED_KEY_USAGE_new();
	int rc = -1;

	if (uses != NULL && sk_ASN1_OBJECT_push(uses, OBJ_nid2obj(NID_server_auth)) > 0 &&
	    X509_add1_ext_i2d(x, NID_ext_key_usage, uses, 0, X509V3_ADD_DEFAULT) == 1)
		rc = 0;
	EXTENDED_KEY_USAGE_free(uses);
	return rc;
}

/* type: GEN_DNS or GEN_IPADD */
static int
push_name(GENERAL_NAMES *all, int type, const void *p, size_t n)
{
	ASN1_STRING *s =
	    ASN1_STRING_type_new(type == GEN_DNS ? V_ASN1_IA5STRING : V_ASN1_OCTET_STRING);
	GENERAL_NAME *g = GENERAL_NAME_new();

	if (s == NULL || g == NULL || ASN1_STRING_set(s, p, (int)n) != 1) {
		ASN1_STRING_free(s);
		GENERAL_NAME_free(g);
		return -1;
	}
	GENERAL_NAME_set0_value(g, type, s);
	if (sk_GENERAL_NAME_push(all, g) > 0)
		return 0;
	GENERAL_NAME_free(g);
	return -1;
}

static int
add_names(X509 *x, const struct mint_req *r, int critical)
{
	GENERAL_NAMES *all = GENERAL_NAMES_new();
	int rc = all != NULL ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < r->names.n; i++)
		rc = push_name(all, GEN_DNS, r->names.v[i].name, strlen(r->names.v[i].name));
	for (size_t i = 0; rc == 0 && i < r->ips.n; i++)
		rc = push_name(all, GEN_IPADD, r->ips.v[i].ip.p, r->ips.v[i].ip.n);
	if (rc == 0 &&
	    X509_add1_ext_i2d(x, NID_subject_alt_name, all, critical, X509V3_ADD_DEFAULT) != 1)
		rc = -1;
	GENERAL_NAMES_free(all);
	return rc;
}

static int
add_part(X509_NAME *name, const char *part, const char *text)
{
	return X509_NAME_add_entry_by_txt(
		   name, part, MBSTRING_UTF8, (const uint8_t *)text, -1, -1, 0) == 1
		   ? 0
		   : -1;
}

/* Sign with the hash of the key's size, and append. */
static int
finish(X509 *x, EVP_PKEY *key, struct buf *out)
{
	const EVP_MD *md = EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_bits(key) == 384
			       ? EVP_sha384()
			       : EVP_sha256();
	uint8_t *to;
	int n;

	if (X509_sign(x, key, md) <= 0 || (n = i2d_X509(x, NULL)) <= 0 || n > CERT_DER_MAX ||
	    (to = buf_reserve(out, (size_t)n)) == NULL || i2d_X509(x, &to) != n)
		return -1;
	buf_added(out, (size_t)n);
	return 0;
}

/* ---- certificates ---- */

int
x509_authority(
    EVP_PKEY *key, const char *name, uint64_t now, unsigned days, struct buf *out, struct err *e)
{
	X509 *x = X509_new();
	X509_NAME *subject;
	int rc = -1;

	if (x == NULL || X509_set_version(x, X509_VERSION_3) != 1 || set_serial(x) == -1 ||
	    set_times(x, now - X509_EARLY_S, now + (uint64_t)days * 86400) == -1 ||
	    X509_set_pubkey(x, key) != 1)
		goto out;
	subject = X509_get_subject_name(x);
	if (add_part(subject, "O", CA_ORGANISATION) == -1 || add_part(subject, "CN", name) == -1 ||
	    X509_set_issuer_name(x, subject) != 1)
		goto out;
	if (add_basic_constraints(x, 1) == 0 &&
	    add_key_usage(x, BIT_CERT_SIGN, BIT_CRL_SIGN) == 0 && add_subject_key_id(x) == 0)
		rc = finish(x, key, out);
out:
	if (rc == -1)
		(void)err_set(e, EIO, "the certificate of an authority cannot be made");
	X509_free(x);
	ERR_clear_error();
	return rc;
}

static X509 *
parse(struct bytes der, struct err *e)
{
	const uint8_t *p = der.p;
	X509 *x = d2i_X509(NULL, &p, (long)der.n);

	if (x != NULL && p == der.p + der.n)
		return x;
	X509_free(x);
	(void)err_set(e, EUCLEAN, "the certificate of an authority is damaged");
	return NULL;
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

int
x509_times(struct bytes der, uint64_t *begins, uint64_t *ends, struct err *e)
{
	X509 *x = parse(der, e);
	int rc = -1;

	if (x != NULL && (seconds(X509_get0_notBefore(x), begins) == -1 ||
			     seconds(X509_get0_notAfter(x), ends) == -1))
		(void)err_set(e, EUCLEAN, "the certificate of an authority has no times");
	else if (x != NULL)
		rc = 0;
	X509_free(x);
	ERR_clear_error();
	return rc;
}

int
x509_spki(EVP_PKEY *key, struct buf *out, struct err *e)
{
	int n = i2d_PUBKEY(key, NULL), rc = -1;
	uint8_t *to;

	if (n > 0 && n <= X509_SPKI_MAX && (to = buf_reserve(out, (size_t)n)) != NULL &&
	    i2d_PUBKEY(key, &to) == n) {
		buf_added(out, (size_t)n);
		rc = 0;
	} else
		(void)err_set(e, EIO, "a public key cannot be written");
	ERR_clear_error();
	return rc;
}

static int
set_spki(X509 *x, struct bytes spki)
{
	const uint8_t *p = spki.p;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)spki.n);
	int rc = key != NULL && X509_set_pubkey(x, key) == 1 ? 0 : -1;

	EVP_PKEY_free(key);
	return rc;
}

/* Everything but the signature. */
static int
compose_leaf(X509 *x, X509 *issuer, struct bytes spki, const struct mint_req *names, uint64_t now,
    uint64_t end)
{
	/* A subject is not needed (RFC 5280, 4.1.2.6), but people look for one. */
	const char *cn = names->names.n > 0 && strlen(names->names.v[0].name) <= ub_common_name
			     ? names->names.v[0].name
			     : NULL;

	if (now + MINT_S < end)
		end = now + MINT_S;
	if (X509_set_version(x, X509_VERSION_3) != 1 || set_serial(x) == -1 ||
	    set_times(x, now - X509_EARLY_S, end) == -1 || set_spki(x, spki) == -1 ||
	    X509_set_issuer_name(x, X509_get_subject_name(issuer)) != 1 ||
	    (cn != NULL && add_part(X509_get_subject_name(x), "CN", cn) == -1))
		return -1;
	if (add_basic_constraints(x, 0) == -1 ||
	    add_key_usage(x, BIT_SIGNATURE, BIT_SIGNATURE) == -1 || add_server_auth(x) == -1 ||
	    add_authority_key_id(x, issuer) == -1 || add_names(x, names, cn == NULL) == -1)
		return -1;
	return 0;
}

int
x509_leaf(EVP_PKEY *ca, struct bytes issuer, struct bytes spki, const struct mint_req *names,
    uint64_t now, struct buf *out, struct err *e)
{
	X509 *x = NULL, *authority;
	uint64_t end;
	int rc = -1;

	if ((authority = parse(issuer, e)) == NULL)
		return -1;
	if (seconds(X509_get0_notAfter(authority), &end) == -1 || end <= now)
		(void)err_set(e, EKEYEXPIRED, "the authority's certificate has ended");
	else if (EVP_PKEY_eq(X509_get0_pubkey(authority), ca) != 1)
		(void)err_set(e, EKEYREJECTED, "the authority's key is not its certificate's");
	else if ((x = X509_new()) == NULL ||
		 compose_leaf(x, authority, spki, names, now, end) == -1 ||
		 finish(x, ca, out) == -1)
		(void)err_set(e, EIO, "a certificate cannot be made");
	else
		rc = 0;
	X509_free(x);
	X509_free(authority);
	ERR_clear_error();
	return rc;
}
