/* Private keys of TLS: reading them runs in a jail of its own, all input is hostile. */
#include "keyctl/tlskey.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#include "keyctl/cacert.h"
#include "openpgp/algo.h"
#include "openpgp/mpi.h"

REC_DEFINE(tls_key, REC_TLS_KEY)

#define COORD_MAX 66 /* octets of a coordinate of P-521 */
#define ED_LEN 32
#define ITERATIONS 600000 /* of PBKDF2, some hundred milliseconds */

static const struct curve {
	const char *name, *group; /* for people; OpenSSL's */
	uint8_t width, oidlen, oid[8];
} curves[] = {
    {"P-256", SN_X9_62_prime256v1, 32, 8, {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}},
    {"P-384", SN_secp384r1, 48, 5, {0x2b, 0x81, 0x04, 0x00, 0x22}},
    {"P-521", SN_secp521r1, 66, 5, {0x2b, 0x81, 0x04, 0x00, 0x23}},
};

/* The OID that OpenPGP has for Ed25519 under algorithm 22 (RFC 9580, 9.2). */
static const uint8_t ed_oid[] = {0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01};

/* What is read, and where its octets are gathered. */
struct reading {
	struct tls_key *key;
	struct buf params, secret;
	char kind[32], subject[512], authority[CA_NAME_MAX + 1];
};

/* ---- reading ---- */

static int
take_rsa(struct reading *r, EVP_PKEY *pk, struct err *e)
{
	static const char *const names[] = {OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E,
	    OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2};
	BIGNUM *v[5] = {NULL}, *u = NULL, *more = NULL;
	int bits = EVP_PKEY_get_bits(pk), rc = -1;
	BN_CTX *bc = BN_CTX_secure_new();

	if (bits < TLS_RSA_MIN || bits > TLS_RSA_MAX) {
		err_set(e, ENOTSUP, "an RSA key of %d bit: %d to %d are taken", bits, TLS_RSA_MIN,
		    TLS_RSA_MAX);
		goto out;
	}
	if (EVP_PKEY_get_bn_param(pk, OSSL_PKEY_PARAM_RSA_FACTOR3, &more) > 0) {
		err_set(e, ENOTSUP, "an RSA key of more than two primes is not taken");
		goto out;
	}
	for (int i = 0; i < 5; i++)
		if (EVP_PKEY_get_bn_param(pk, names[i], &v[i]) <= 0) {
			err_set(e, EBADMSG, "the RSA key is not complete");
			goto out;
		}
	/* p < q and u = 1/p mod q (RFC 9580, 5.5.5.1) */
	if (BN_cmp(v[3], v[4]) > 0)
		BN_swap(v[3], v[4]);
	BN_set_flags(v[3], BN_FLG_CONSTTIME);
	BN_set_flags(v[4], BN_FLG_CONSTTIME);
	if (bc == NULL || (u = BN_mod_inverse(NULL, v[3], v[4], bc)) == NULL ||
	    pgp_mpi_put_bn(&r->params, v[0]) == -1 || pgp_mpi_put_bn(&r->params, v[1]) == -1 ||
	    pgp_mpi_put_bn(&r->secret, v[2]) == -1 || pgp_mpi_put_bn(&r->secret, v[3]) == -1 ||
	    pgp_mpi_put_bn(&r->secret, v[4]) == -1 || pgp_mpi_put_bn(&r->secret, u) == -1) {
		err_set(e, EBADMSG, "the RSA key's numbers make no key");
		goto out;
	}
	r->key->algo = PGP_PK_RSA;
	(void)snprintf(r->kind, sizeof r->kind, "RSA %d", bits);
	rc = 0;
out:
	for (int i = 0; i < 5; i++)
		BN_clear_free(v[i]);
	BN_clear_free(u);
	BN_clear_free(more);
	BN_CTX_free(bc);
	return rc;
}

/* A number of the key as width octets; 0 or -1. */
static int
padded(EVP_PKEY *pk, const char *name, uint8_t *out, int width)
{
	BIGNUM *x = NULL;
	int rc = EVP_PKEY_get_bn_param(pk, name, &x) > 0 && BN_bn2binpad(x, out, width) == width
		     ? 0
		     : -1;

	BN_clear_free(x);
	return rc;
}

static int
take_ec(struct reading *r, EVP_PKEY *pk, struct err *e)
{
	uint8_t point[1 + 2 * COORD_MAX] = {4}, d[COORD_MAX];
	const struct curve *c = NULL;
	char group[80];
	int rc = -1;

	if (EVP_PKEY_get_utf8_string_param(
		pk, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, NULL) <= 0)
		return err_set(e, ENOTSUP, "an EC key whose curve has no name is not taken");
	for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++)
		if (strcmp(group, curves[i].group) == 0)
			c = &curves[i];
	if (c == NULL)
		return err_set(e, ENOTSUP,
		    "an EC key on the curve %s is not taken: P-256, P-384 and P-521 are", group);
	if (padded(pk, OSSL_PKEY_PARAM_EC_PUB_X, point + 1, c->width) == -1 ||
	    padded(pk, OSSL_PKEY_PARAM_EC_PUB_Y, point + 1 + c->width, c->width) == -1 ||
	    padded(pk, OSSL_PKEY_PARAM_PRIV_KEY, d, c->width) == -1)
		err_set(e, EBADMSG, "the EC key is not complete");
	else if (buf_putc(&r->params, c->oidlen) == -1 ||
		 buf_put(&r->params, c->oid, c->oidlen) == -1 ||
		 pgp_mpi_put(&r->params, point, 1 + 2 * (size_t)c->width) == -1 ||
		 pgp_mpi_put(&r->secret, d, c->width) == -1)
		err_sys(e, "EC key");
	else
		rc = 0;
	explicit_bzero(d, sizeof d);
	r->key->algo = PGP_PK_ECDSA;
	(void)snprintf(r->kind, sizeof r->kind, "%s", c->name);
	return rc;
}

static int
take_ed(struct reading *r, EVP_PKEY *pk, struct err *e)
{
	uint8_t point[1 + ED_LEN] = {0x40}, seed[ED_LEN];
	size_t pn = ED_LEN, sn = ED_LEN;
	int rc = -1;

	if (EVP_PKEY_get_raw_public_key(pk, point + 1, &pn) <= 0 ||
	    EVP_PKEY_get_raw_private_key(pk, seed, &sn) <= 0)
		err_set(e, EBADMSG, "the Ed25519 key is not complete");
	else if (buf_putc(&r->params, sizeof ed_oid) == -1 ||
		 buf_put(&r->params, ed_oid, sizeof ed_oid) == -1 ||
		 pgp_mpi_put(&r->params, point, sizeof point) == -1 ||
		 pgp_mpi_put(&r->secret, seed, sizeof seed) == -1)
		err_sys(e, "Ed25519 key");
	else
		rc = 0;
	explicit_bzero(seed, sizeof seed);
	r->key->algo = PGP_PK_EDDSA;
	(void)snprintf(r->kind, sizeof r->kind, "Ed25519");
	return rc;
}

static int
take_key(struct reading *r, EVP_PKEY *pk, struct err *e)
{
	const char *type = EVP_PKEY_get0_type_name(pk);

	switch (EVP_PKEY_get_base_id(pk)) {
	case EVP_PKEY_RSA:
		return take_rsa(r, pk, e);
	case EVP_PKEY_EC:
		return take_ec(r, pk, e);
	case EVP_PKEY_ED25519:
		return take_ed(r, pk, e);
	default:
		return err_set(e, ENOTSUP,
		    "a key of type %s is not taken: RSA, P-256, P-384, P-521 and Ed25519 are",
		    type != NULL ? type : "unknown");
	}
}

struct asked {
	const char *pass;
	int asked; /* the file wants a passphrase */
};

static int
give_pass(char *to, int size, int writing, void *arg)
{
	struct asked *a = arg;
	size_t n = a->pass != NULL ? strlen(a->pass) : 0;

	(void)writing;
	a->asked = 1;
	if (a->pass == NULL || n > (size_t)size)
		return -1;
	memcpy(to, a->pass, n);
	return (int)n;
}

static EVP_PKEY *
read_pem(const struct tls_key_ask *ask, struct err *e)
{
	struct asked a = {.pass = ask->pass};
	BIO *in = BIO_new_mem_buf(ask->file.p, (int)ask->file.n);
	EVP_PKEY *pk = NULL;

	if (in != NULL)
		pk = PEM_read_bio_PrivateKey(in, NULL, give_pass, &a);
	if (pk != NULL)
		;
	else if (in == NULL)
		err_sys(e, "private key");
	else if (a.asked && a.pass == NULL)
		err_set(e, EACCES, "the key is protected by a passphrase");
	else if (a.asked)
		err_set(e, EKEYREJECTED, "wrong passphrase, or the key is damaged");
	else if (ask->file.n > 0 &&
		 memmem(ask->file.p, ask->file.n, "PRIVATE KEY-----", 16) == NULL)
		err_set(e, EBADMSG, "no private key in PEM (-----BEGIN PRIVATE KEY-----) in it");
	else
		err_set(e, EBADMSG, "the private key in it is damaged, or of an unknown type");
	BIO_free(in);
	return pk;
}

static int
subject_text(X509 *cert, char *out, size_t n)
{
	BIO *b = BIO_new(BIO_s_mem());
	long got = -1;
	char *p;

	if (b != NULL &&
	    X509_NAME_print_ex(b, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) >= 0 &&
	    (got = BIO_get_mem_data(b, &p)) >= 0)
		(void)snprintf(out, n, "%.*s", (int)got, p);
	BIO_free(b);
	return got >= 0 ? 0 : -1;
}

/* Our certificate is the first of the chain, and this key's. */
static int
check_chain(struct reading *r, struct bytes chain, EVP_PKEY *pk, struct err *e)
{
	BIO *in = BIO_new_mem_buf(chain.p, (int)chain.n);
	X509 *cert = in != NULL ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
	struct tm tm;
	int rc = -1;

	if (in == NULL)
		err_sys(e, "certificate");
	else if (cert == NULL)
		err_set(e, EBADMSG, "no certificate in PEM (-----BEGIN CERTIFICATE-----)");
	else if (X509_get0_pubkey(cert) == NULL || EVP_PKEY_eq(X509_get0_pubkey(cert), pk) != 1)
		err_set(e, EKEYREJECTED,
		    "the key is not that of the certificate; the first certificate of the file "
		    "counts");
	else if (subject_text(cert, r->subject, sizeof r->subject) == -1 ||
		 ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		err_set(e, EBADMSG, "the certificate is malformed");
	else {
		r->key->subject = r->subject;
		r->key->expires = (uint64_t)timegm(&tm);
		if (cacert_name(cert, r->authority) == 0)
			r->key->authority = r->authority;
		rc = 0;
	}
	X509_free(cert);
	BIO_free(in);
	return rc;
}

int
tls_key_read(const void *arg, struct buf *out)
{
	const struct tls_key_ask *ask = arg;
	struct tls_key key = {.text = "", .kind = "", .subject = ""};
	struct reading r = {.key = &key};
	struct err e = {0};
	EVP_PKEY *pk;
	int good, of_chain = 0, rc = -1;

	buf_init(&r.params, CERT_PARAMS_MAX);
	buf_init(&r.secret, KEY_SECRET_MAX);
	good = (pk = read_pem(ask, &e)) != NULL && take_key(&r, pk, &e) == 0;
	if (good && ask->chain.n > 0)
		of_chain = check_chain(&r, ask->chain, pk, &e) == -1;
	if (!good || of_chain) {
		key = (struct tls_key){.text = e.text, .kind = "", .subject = ""};
		key.code = (uint32_t)e.code;
		key.of_chain = (uint8_t)of_chain;
	} else {
		key.kind = r.kind;
		key.params = (struct bytes){buf_ptr(&r.params), buf_len(&r.params)};
		key.secret = (struct bytes){buf_ptr(&r.secret), buf_len(&r.secret)};
	}
	rc = rec_encode(&rec_tls_key, &key, out);
	EVP_PKEY_free(pk);
	ERR_clear_error();
	buf_free(&r.params);
	buf_wipe_free(&r.secret);
	return rc;
}

/* ---- writing ---- */

static BIGNUM *
secret_bn(struct bytes v)
{
	BIGNUM *b = BN_secure_new();

	if (b != NULL && BN_bin2bn(v.p, (int)v.n, b) == NULL) {
		BN_clear_free(b);
		return NULL;
	}
	return b;
}

/* A key of the default provider from what was pushed; bld goes. */
static EVP_PKEY *
from_params(const char *type, OSSL_PARAM_BLD *bld)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY *pk = NULL;

	if (ctx != NULL && params != NULL && EVP_PKEY_fromdata_init(ctx) > 0 &&
	    EVP_PKEY_fromdata(ctx, &pk, EVP_PKEY_KEYPAIR, params) <= 0)
		pk = NULL;
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	return pk;
}

static EVP_PKEY *
make_rsa(struct pgp_cur *pub, struct pgp_cur *sec)
{
	static const char *const names[] = {OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E,
	    OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_FACTOR2, OSSL_PKEY_PARAM_RSA_FACTOR1,
	    OSSL_PKEY_PARAM_RSA_COEFFICIENT1, OSSL_PKEY_PARAM_RSA_EXPONENT1,
	    OSSL_PKEY_PARAM_RSA_EXPONENT2};
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	BN_CTX *bc = BN_CTX_secure_new();
	BIGNUM *v[8] = {NULL}, *one = BN_new();
	EVP_PKEY *pk = NULL;
	int ok = bld != NULL && bc != NULL && one != NULL && BN_one(one);

	for (int i = 0; i < 6; i++)
		ok = ok && (v[i] = secret_bn(pgp_cur_mpi(i < 2 ? pub : sec))) != NULL;
	/* v[3] is p, the smaller one; OpenSSL's coefficient is 1/FACTOR2 mod FACTOR1, our u */
	for (int i = 6; ok && i < 8; i++) {
		BIGNUM *m = BN_secure_new();

		v[i] = BN_secure_new();
		ok = m != NULL && v[i] != NULL && BN_sub(m, v[i == 6 ? 4 : 3], one) &&
		     BN_mod(v[i], v[2], m, bc);
		BN_clear_free(m);
	}
	for (int i = 0; i < 8; i++)
		ok = ok && OSSL_PARAM_BLD_push_BN(bld, names[i], v[i]);
	if (ok && !pub->bad && !sec->bad)
		pk = from_params("RSA", bld);
	for (int i = 0; i < 8; i++)
		BN_clear_free(v[i]);
	BN_free(one);
	BN_CTX_free(bc);
	OSSL_PARAM_BLD_free(bld);
	return pk;
}

static EVP_PKEY *
make_ec(struct pgp_cur *pub, struct pgp_cur *sec)
{
	struct bytes oid = pgp_cur_oid(pub), point = pgp_cur_mpi(pub);
	BIGNUM *d = secret_bn(pgp_cur_mpi(sec));
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	const struct curve *c = NULL;
	EVP_PKEY *pk = NULL;

	for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++)
		if (curves[i].oidlen == oid.n && memcmp(curves[i].oid, oid.p, oid.n) == 0)
			c = &curves[i];
	if (c != NULL && d != NULL && bld != NULL && !pub->bad && !sec->bad &&
	    OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, c->group, 0) &&
	    OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point.p, point.n) &&
	    OSSL_PARAM_BLD_push_BN_pad(bld, OSSL_PKEY_PARAM_PRIV_KEY, d, c->width))
		pk = from_params("EC", bld);
	BN_clear_free(d);
	OSSL_PARAM_BLD_free(bld);
	return pk;
}

static EVP_PKEY *
make_ed(struct pgp_cur *sec)
{
	uint8_t seed[ED_LEN];
	EVP_PKEY *pk = NULL;

	if (pgp_mpi_pad(seed, sizeof seed, pgp_cur_mpi(sec)) == 0 && !sec->bad)
		pk = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed);
	explicit_bzero(seed, sizeof seed);
	return pk;
}

static int
write_encrypted(EVP_PKEY *pk, const char *pass, struct buf *out)
{
	PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(pk);
	X509_ALGOR *pbe =
	    PKCS5_pbe2_set_iv(EVP_aes_256_cbc(), ITERATIONS, NULL, 0, NULL, NID_hmacWithSHA256);
	BIO *to = BIO_new(BIO_s_mem());
	X509_SIG *sealed = NULL;
	char *p;
	long n;
	int rc = -1;

	if (p8 != NULL && pbe != NULL && to != NULL &&
	    (sealed = PKCS8_set0_pbe(pass, (int)strlen(pass), p8, pbe)) != NULL) {
		pbe = NULL; /* now a part of it */
		if (PEM_write_bio_PKCS8(to, sealed) == 1 && (n = BIO_get_mem_data(to, &p)) > 0)
			rc = buf_put(out, p, (size_t)n);
	}
	X509_ALGOR_free(pbe);
	X509_SIG_free(sealed);
	PKCS8_PRIV_KEY_INFO_free(p8);
	BIO_free(to);
	return rc;
}

int
tls_key_write(unsigned algo, struct bytes params, struct bytes secret, const char *pass,
    struct buf *out, struct err *e)
{
	struct pgp_cur pub = pgp_cur(params.p, params.n), sec = pgp_cur(secret.p, secret.n);
	EVP_PKEY *pk = NULL;
	int rc;

	switch (algo) {
	case PGP_PK_RSA:
		pk = make_rsa(&pub, &sec);
		break;
	case PGP_PK_ECDSA:
		pk = make_ec(&pub, &sec);
		break;
	case PGP_PK_EDDSA:
		pk = make_ed(&sec);
		break;
	default:
		return err_set(e, ENOTSUP, "algorithm %u is none of TLS", algo);
	}
	if (pk == NULL)
		rc = err_set(e, EBADMSG, "the key's numbers make no key");
	else if ((rc = write_encrypted(pk, pass, out)) == -1)
		rc = err_set(e, ENOMEM, "the key cannot be written");
	EVP_PKEY_free(pk);
	ERR_clear_error();
	return rc;
}
