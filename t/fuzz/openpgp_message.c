#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "openpgp/container.h"
#include "openpgp/decrypt.h"
#include "openpgp/detached.h"

/*
 * Any octets are read as a message, as detached signatures and as clear-signed text: a clean
 * verdict and bounded output, or a reason.  The first octet, when it is 0xfe, makes the rest the
 * plaintext of an encrypted message, so that the parser behind the decryption is reached.
 */
#define OUT_MAX (1024 * 1024)
#define NOW 1800000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t fixed_key[32] = {1, 2, 3};
static const uint8_t params[4] = {0, 1, 1, 1};

/* Four session keys; 0 is the right one. */
static int
unwrap(void *ctx, const uint8_t *fpr, size_t fprlen, const uint8_t *esk, size_t n,
    struct pgp_session_key *out)
{
	(void)ctx;
	(void)fpr;
	(void)fprlen;
	(void)esk;
	if (n == 1) {
		errno = EAGAIN;
		return -1;
	}
	out->algo = 9;
	out->n = sizeof fixed_key;
	memcpy(out->key, fixed_key, sizeof fixed_key);
	if (n > 0)
		out->key[31] = esk[n - 1] & 3;
	return 0;
}

static struct cert_key key = {.version = 4,
    .algo = 1,
    .flags = KEY_SIGN,
    .params = {params, 4},
    .fpr = {(const uint8_t *)"abcdefghijkl\1\2\3\4\5\6\7\10", 20}};
static const struct cert cert = {.keys = {&key, 1}};

static const struct cert *
find(void *ctx, const uint8_t keyid[8], const uint8_t *fpr, size_t fprlen)
{
	(void)ctx;
	(void)keyid;
	(void)fpr;
	return fprlen == 0 ? &cert : NULL;
}

static void
check(int rc, const struct pgp_result *r, const struct err *e, const struct buf *out)
{
	if ((rc == 0) != (r->status == PGP_OK) || (rc == -1 && e->code == 0) ||
	    r->nsigs > PGP_SIGS_MAX || buf_len(out) > OUT_MAX || (rc == -1 && r->nsigs != 0))
		abort();
}

static void
read_message(const uint8_t *data, size_t size)
{
	static const struct pgp_secret secret = {NULL, unwrap, NULL};
	static const struct pgp_certs certs = {find, NULL};
	static const struct cert_key *const keys[] = {&key};
	const struct pgp_decrypt_params p = {keys, 1, &secret, &certs, NOW, OUT_MAX, 100};
	struct octets in = octets_mem(data, size);
	struct pgp_result r;
	struct err e = {0};
	struct sink to;
	struct buf out;

	if ((pgp_recipients(&in, &r, &e) == -1) !=
		(r.status == PGP_MALFORMED || r.status == PGP_IO) ||
	    r.nrcpts > PGP_PKESK_MAX)
		abort();
	memset(&e, 0, sizeof e);
	buf_init(&out, 2 * OUT_MAX);
	to = sink_buf(&out);
	check(pgp_decrypt(&in, &p, &to, &r, &e), &r, &e, &out);
	buf_reset(&out);
	memset(&e, 0, sizeof e);
	check(pgp_clear_verify(&in, &certs, NOW, &to, &r, &e), &r, &e, &out);
	buf_reset(&out);
	memset(&e, 0, sizeof e);
	check(pgp_verify_octets(data, size, &in, 0, size, &certs, NOW, &r, &e), &r, &e, &out);
	buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* To our key, by its name: the right session key behind a false one. */
	static const uint8_t pkesk[] = {0xc1, 14, 3, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0, 9, 1, 254, /**/
	    0xc1, 14, 3, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0, 9, 1, 252};
	struct pgp_session_key k = {.algo = 9, .n = sizeof fixed_key};
	struct pgp_seipd seipd;
	struct sink to;
	struct buf b;

	read_message(data, size);
	if (size == 0 || data[0] != 0xfe)
		return 0;
	memcpy(k.key, fixed_key, sizeof fixed_key);
	buf_init(&b, 4 * OUT_MAX);
	to = sink_buf(&b);
	if (buf_put(&b, pkesk, sizeof pkesk) == -1 || pgp_seipd_open(&seipd, &k, &to) == -1 ||
	    pgp_seipd_write(&seipd, data + 1, size - 1) == -1 || pgp_seipd_end(&seipd) == -1)
		abort();
	pgp_seipd_free(&seipd);
	read_message(buf_ptr(&b), buf_len(&b));
	buf_free(&b);
	return 0;
}
