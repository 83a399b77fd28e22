#include "t/unit/keyprov/holder.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "net/conn.h"
#include "t/unit/unit.h"

struct holder holder;

static struct cert *certs;

#define SPARE 3 /* RSA keys of a size that one test has at once, at most */

static EVP_PKEY *spare[2][SPARE];
static unsigned taken[2];

void
holder_prepare(void)
{
	unsigned i;

	for (i = 0; i < SPARE; i++) {
		spare[0][i] = EVP_RSA_gen(2048);
		spare[1][i] = EVP_RSA_gen(3072);
	}
}

static EVP_PKEY *
take_rsa(unsigned size)
{
	EVP_PKEY *key = spare[size][taken[size]++ % SPARE];

	EVP_PKEY_up_ref(key);
	return key;
}

static EVP_PKEY *
make_key(enum kind kind)
{
	static const char *const curves[] = {
	    [EC_P256] = "P-256", [EC_P384] = "P-384", [EC_P521] = "P-521"};

	switch (kind) {
	case RSA_2048:
		return take_rsa(0);
	case RSA_3072:
		return take_rsa(1);
	case ED_25519:
		return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	default:
		return EVP_EC_gen(curves[kind]);
	}
}

struct cert *
cert_make(enum kind kind)
{
	struct cert *c = calloc(1, sizeof *c);
	X509_EXTENSION *ext;
	X509_NAME *n;
	struct err e;
	static int serial;

	c->key = make_key(kind);
	c->x = X509_new();
	X509_set_version(c->x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(c->x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(c->x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(c->x), 86400);
	n = X509_get_subject_name(c->x);
	X509_NAME_add_entry_by_txt(
	    n, "CN", MBSTRING_UTF8, (const unsigned char *)"mail.example.org", -1, -1, 0);
	X509_set_issuer_name(c->x, n);
	X509_set_pubkey(c->x, c->key);
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:mail.example.org");
	X509_add_ext(c->x, ext, -1);
	X509_EXTENSION_free(ext);
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "CA:TRUE");
	X509_add_ext(c->x, ext, -1);
	X509_EXTENSION_free(ext);
	ck_assert_int_gt(X509_sign(c->x, c->key, kind == ED_25519 ? NULL : EVP_sha256()), 0);
	c->remote = keyprov_key(c->x, c->handle, &e);
	ck_assert_msg(c->remote != NULL, "%s", e.text);
	c->next = certs;
	certs = c;
	return c;
}

void
cert_free(struct cert *c)
{
	struct cert **p;

	for (p = &certs; *p != c; p = &(*p)->next)
		;
	*p = c->next;
	X509_free(c->x);
	EVP_PKEY_free(c->key);
	EVP_PKEY_free(c->remote);
	free(c);
}

static const struct cert *
find(const uint8_t handle[KEYPROV_HANDLE])
{
	const struct cert *c;

	for (c = certs; c != NULL; c = c->next)
		if (memcmp(c->handle, handle, KEYPROV_HANDLE) == 0)
			return c;
	return NULL;
}

/* --- signatures, from the scheme's definition alone (RFC 8446, 4.2.3) --- */

static size_t
sign(const struct cert *c, uint16_t scheme, const uint8_t *data, size_t n, uint8_t *out)
{
	static const struct {
		uint16_t scheme;
		const char *type, *hash;
		size_t octets;
		int pad;
	} known[] = {
	    {0x0401, "RSA", "SHA256", 32, RSA_PKCS1_PADDING},
	    {0x0501, "RSA", "SHA384", 48, RSA_PKCS1_PADDING},
	    {0x0601, "RSA", "SHA512", 64, RSA_PKCS1_PADDING},
	    {0x0804, "RSA", "SHA256", 32, RSA_PKCS1_PSS_PADDING},
	    {0x0805, "RSA", "SHA384", 48, RSA_PKCS1_PSS_PADDING},
	    {0x0806, "RSA", "SHA512", 64, RSA_PKCS1_PSS_PADDING},
	    {0x0403, "EC", "SHA256", 32, 0},
	    {0x0503, "EC", "SHA384", 48, 0},
	    {0x0603, "EC", "SHA512", 64, 0},
	};
	size_t i, len = KEYPROV_VALUE_MAX;
	EVP_PKEY_CTX *p;
	EVP_MD_CTX *m;

	if (scheme == 0x0807) {
		m = EVP_MD_CTX_new();
		ck_assert(EVP_PKEY_is_a(c->key, "ED25519"));
		ck_assert_int_eq(EVP_DigestSignInit(m, NULL, NULL, NULL, c->key), 1);
		ck_assert_int_eq(EVP_DigestSign(m, out, &len, data, n), 1);
		EVP_MD_CTX_free(m);
		return len;
	}
	for (i = 0; i < sizeof known / sizeof known[0] && known[i].scheme != scheme; i++)
		;
	ck_assert_uint_lt(i, sizeof known / sizeof known[0]);
	ck_assert(EVP_PKEY_is_a(c->key, known[i].type));
	ck_assert_uint_eq(n, known[i].octets);
	p = EVP_PKEY_CTX_new(c->key, NULL);
	ck_assert_int_eq(EVP_PKEY_sign_init(p), 1);
	if (known[i].pad != 0)
		ck_assert_int_gt(EVP_PKEY_CTX_set_rsa_padding(p, known[i].pad), 0);
	ck_assert_int_gt(EVP_PKEY_CTX_set_signature_md(p, EVP_get_digestbyname(known[i].hash)), 0);
	if (known[i].pad == RSA_PKCS1_PSS_PADDING)
		ck_assert_int_gt(EVP_PKEY_CTX_set_rsa_pss_saltlen(p, RSA_PSS_SALTLEN_DIGEST), 0);
	ck_assert_int_eq(EVP_PKEY_sign(p, out, &len, data, n), 1);
	EVP_PKEY_CTX_free(p);
	return len;
}

static void
answer(
    struct keyprov_job *job, const struct cert *c, uint16_t scheme, const uint8_t *data, size_t n)
{
	uint8_t value[KEYPROV_VALUE_MAX];
	size_t len;

	if (holder.answer == ANSWER_FAILURE) {
		keyprov_finish(job, KEYPROV_FAILED, NULL, 0);
	} else if (holder.answer == ANSWER_GARBAGE) {
		memset(value, 0x5a, sizeof value);
		keyprov_finish(job, KEYPROV_OK, value, holder.garbage);
	} else {
		len = sign(c, scheme, data, n, value);
		keyprov_finish(job, KEYPROV_OK, value, len);
	}
}

static void
drop(struct held *h)
{
	TAILQ_REMOVE(&holder.held, h, next);
	holder.pending--;
	if (h->timer != NULL)
		event_free(h->timer);
	free(h);
}

void
holder_release(struct held *h, bool ok)
{
	struct conn *c = keyprov_owner(h->job);

	if (ok)
		answer(h->job, h->cert, h->scheme, h->data, h->n);
	else
		keyprov_finish(h->job, KEYPROV_FAILED, NULL, 0);
	drop(h);
	conn_tls_continue(c);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	holder_release(arg, true);
}

static int
on_sign(struct keyprov_job *job, const uint8_t handle[KEYPROV_HANDLE], uint16_t scheme,
    const uint8_t *data, size_t n, int may_wait, void *arg)
{
	struct timeval tv = {holder.delay_ms / 1000, holder.delay_ms % 1000 * 1000};
	const struct cert *c = find(handle);
	struct held *h;

	ck_assert_ptr_eq(arg, &holder);
	ck_assert_ptr_nonnull(c);
	ck_assert_ptr_null(keyprov_owner(job));
	holder.asked++;
	holder.scheme = scheme;
	holder.may_wait = may_wait;
	if (holder.answer == ANSWER_REFUSE)
		return -1;
	if (holder.answer != ANSWER_AFTER && holder.answer != ANSWER_HOLD) {
		answer(job, c, scheme, data, n);
		return 0;
	}
	h = calloc(1, sizeof *h);
	h->job = job;
	h->cert = c;
	h->scheme = scheme;
	memcpy(h->data, data, n);
	h->n = n;
	keyprov_set_owner(job, conn_handshaking());
	TAILQ_INSERT_TAIL(&holder.held, h, next);
	holder.pending++;
	if (holder.answer == ANSWER_AFTER) {
		h->timer = evtimer_new(holder.base, on_timer, h);
		evtimer_add(h->timer, &tv);
	}
	return 0;
}

static void
on_cancel(struct keyprov_job *job, void *arg)
{
	struct held *h;

	(void)arg;
	holder.cancelled++;
	TAILQ_FOREACH (h, &holder.held, next)
		if (h->job == job)
			break;
	ck_assert_ptr_nonnull(h);
	drop(h);
}

void
holder_start(void)
{
	static const struct keyprov_ops ops = {.sign = on_sign, .cancel = on_cancel};
	struct err e;

	memset(&holder, 0, sizeof holder);
	TAILQ_INIT(&holder.held);
	holder.base = event_base_new();
	ck_assert_int_eq(keyprov_start(&ops, &holder, &e), 0);
}

void
holder_stop(void)
{
	ck_assert(TAILQ_EMPTY(&holder.held));
	event_base_free(holder.base);
	libevent_global_shutdown();
	ERR_clear_error();
}
