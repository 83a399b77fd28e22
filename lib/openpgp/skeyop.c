#include <errno.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "openpgp/brainpool.h"
#include "openpgp/nist.h"
#include "openpgp/skeyint.h"

/* ---- signing ---- */

static int
sign_rsa(
    struct pgp_skey *k, const EVP_MD *md, const uint8_t *digest, size_t n, struct pgp_sigval *out)
{
	uint8_t sig[PGP_RSA_MAX / 8];
	size_t sn = sizeof sig;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(k->pkey, NULL);
	int r = -1;

	if (ctx != NULL && EVP_PKEY_sign_init(ctx) > 0 &&
	    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
	    EVP_PKEY_CTX_set_signature_md(ctx, md) > 0 &&
	    EVP_PKEY_sign(ctx, sig, &sn, digest, n) > 0) {
		out->n = pgp_mpi_write(out->data, sig, sn);
		r = 0;
	}
	EVP_PKEY_CTX_free(ctx);
	return r;
}

static int
sign_eddsa(struct pgp_skey *k, const uint8_t *digest, size_t n, struct pgp_sigval *out)
{
	uint8_t sig[64];
	size_t sn = sizeof sig;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int r = -1;

	if (ctx != NULL && EVP_MD_CTX_copy_ex(ctx, k->sign) > 0 &&
	    EVP_DigestSign(ctx, sig, &sn, digest, n) > 0 && sn == sizeof sig) {
		out->n = pgp_mpi_write(out->data, sig, 32);
		out->n += pgp_mpi_write(out->data + out->n, sig + 32, 32);
		r = 0;
	}
	EVP_MD_CTX_free(ctx);
	return r;
}

int
pgp_skey_sign(
    struct pgp_skey *k, unsigned hash, const uint8_t *digest, size_t n, struct pgp_sigval *out)
{
	const EVP_MD *md = pgp_hash_md(hash);
	int r;

	if ((pgp_algo_can(k->algo) & KEY_SIGN) == 0 || md == NULL || !pgp_hash_strong(hash) ||
	    (k->p.curve == NULL && k->bits < PGP_RSA_MIN)) {
		errno = ENOTSUP;
		return -1;
	}
	if (n != pgp_hash_len(hash)) {
		errno = EINVAL;
		return -1;
	}
	if (k->p.curve == NULL)
		r = sign_rsa(k, md, digest, n, out);
	else if (k->p.curve->kind == PGP_CURVE_ED25519)
		r = sign_eddsa(k, digest, n, out);
	else if (k->p.curve->kind == PGP_CURVE_NIST)
		r = pgp_nist_sign(k->p.curve, k->pkey, digest, n, out);
	else
		r = pgp_brainpool_sign(k->p.curve, k->scalar, digest, n, out);
	if (r < 0) {
		ERR_clear_error();
		errno = EIO;
	}
	return r;
}

/* ---- unwrapping ---- */

/*
 * Masks: all ones or all zeros, made without branches.  The empty asm keeps the compiler from
 * seeing that a mask has only two values and turning the selection back into a branch.
 */
static inline uint32_t
opaque(uint32_t x)
{
	__asm__ volatile("" : "+r"(x));
	return x;
}

static inline uint32_t
mask_zero(uint32_t x) /* x == 0 */
{
	return opaque(0u - ((~x & (x - 1)) >> 31));
}

static inline uint32_t
mask_eq(uint32_t a, uint32_t b)
{
	return mask_zero(a ^ b);
}

static inline uint32_t
choose(uint32_t mask, uint32_t a, uint32_t b)
{
	return (mask & a) | (~mask & b);
}

/* Ones when the cipher exists and its key has len octets. The list is public, the octet is not. */
static uint32_t
mask_cipher(uint32_t algo, size_t len)
{
	uint32_t m = 0;

	for (unsigned a = PGP_CIPHER_IDEA; a <= PGP_CIPHER_CAMELLIA256; a++)
		if (pgp_cipher_keylen(a) == len)
			m |= mask_eq(algo, a);
	return m;
}

/*
 * One possible length of a session key in its clear form, algorithm, key, sum: take it into out
 * when good and the form fits.  Returns ones when it did.
 */
static uint32_t
take_key(const uint8_t *m, size_t len, uint32_t good, struct pgp_session_key *out)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += m[1 + i];
	good &= mask_cipher(m[0], len);
	good &= mask_eq(sum & 0xffff, (uint32_t)m[1 + len] << 8 | m[2 + len]);
	out->algo = (uint8_t)choose(good, m[0], out->algo);
	out->n = (uint8_t)choose(good, (uint32_t)len, out->n);
	for (size_t i = 0; i < len; i++)
		out->key[i] = (uint8_t)choose(good, m[1 + i], out->key[i]);
	return good;
}

/* The answer to what cannot be opened: the same for the same octets, like any other key. */
static int
pseudo_random_key(
    const struct pgp_skey *k, const uint8_t *esk, size_t n, struct pgp_session_key *out)
{
	EVP_MAC_CTX *mac = EVP_MAC_CTX_dup(k->answer);
	size_t got = 0;
	int r = -1;

	out->algo = PGP_CIPHER_AES256;
	out->n = 32;
	if (mac != NULL && EVP_MAC_update(mac, esk, n) > 0 &&
	    EVP_MAC_final(mac, out->key, &got, sizeof out->key) > 0 && got == out->n)
		r = 0;
	EVP_MAC_CTX_free(mac);
	return r;
}

/* 00 02, nonzero octets, 00, algorithm, key, sum; see RFC 8017, 7.2.2, and RFC 9580, 5.1.3. */
static void
open_pkcs1(const uint8_t *em, size_t width, uint32_t good, struct pgp_session_key *out)
{
	static const uint8_t lens[] = {16, 24, 32};
	uint32_t head = good & mask_zero(em[0]) & mask_eq(em[1], 2), zeros = 0;
	size_t at = 2;

	/* The longest form's separator comes first.  Each one in turn needs all padding before
	 * it to be nonzero, so at most one of them can match. */
	for (size_t i = sizeof lens; i-- > 0;) {
		size_t sep = width - lens[i] - 4;

		for (; at < sep; at++)
			zeros |= mask_zero(em[at]);
		(void)take_key(em + sep + 1, lens[i], head & ~zeros & mask_zero(em[sep]), out);
	}
}

static int
unwrap_rsa(struct pgp_skey *k, const uint8_t *esk, size_t n, struct pgp_session_key *out)
{
	uint8_t c[PGP_RSA_MAX / 8], em[PGP_RSA_MAX / 8];
	size_t got = sizeof em;
	struct pgp_cur cur = pgp_cur(esk, n);
	struct bytes v = pgp_cur_mpi(&cur);
	uint8_t modulus[PGP_RSA_MAX / 8];
	uint32_t good = 0xffffffff;
	EVP_PKEY_CTX *ctx = NULL;
	int r = -1;

	/* What has no place below the modulus is public knowledge; a fixed block in its stead
	 * keeps the work the same. */
	(void)pgp_mpi_pad(modulus, k->width, k->p.n);
	if (cur.bad || cur.n > 0 || v.n == 0 || pgp_mpi_pad(c, k->width, v) < 0 ||
	    memcmp(c, modulus, k->width) >= 0) {
		good = 0;
		memset(c, 0, k->width);
		c[k->width - 1] = 2;
	}
	ctx = EVP_PKEY_CTX_new(k->pkey, NULL);
	if (ctx != NULL && EVP_PKEY_decrypt_init(ctx) > 0 &&
	    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) > 0 &&
	    EVP_PKEY_decrypt(ctx, em, &got, c, k->width) > 0 && got == k->width) {
		open_pkcs1(em, k->width, good, out);
		r = 0;
	}
	EVP_PKEY_CTX_free(ctx);
	explicit_bzero(em, k->width);
	return r;
}

/* algorithm, key, sum, PKCS#5 padding to 24, 32, 40 octets or any multiple of 8 up to 248. */
static void
open_padded(const uint8_t *m, size_t n, uint32_t good, struct pgp_session_key *out)
{
	static const uint8_t lens[] = {16, 24, 32};
	uint32_t pad = m[n - 1];

	for (size_t i = 0; i < sizeof lens; i++) {
		size_t used = lens[i] + 3u;
		uint32_t fits;

		if (used >= n)
			break;
		fits = good & mask_eq(pad, (uint32_t)(n - used));
		for (size_t j = used; j < n; j++)
			fits &= mask_eq(m[j], pad);
		(void)take_key(m, lens[i], fits, out);
	}
}

/* The secret shared with a point from outside: 1, 0 when it is no point of the curve, -1 (EIO). */
static int
shared_secret(const struct pgp_skey *k, struct bytes point, uint8_t *z)
{
	const struct pgp_curve *curve = k->p.curve;
	EVP_PKEY_CTX *ctx;
	EVP_PKEY *peer;
	int r = 0;

	if (!pgp_point_formed(curve, point))
		return 0;
	if (curve->kind == PGP_CURVE_BRAINPOOL) {
		if (pgp_brainpool_shared(curve, k->scalar, point.p, z) == 0)
			return 1;
		return errno == EBADMSG ? 0 : -1;
	}
	if ((peer = pgp_curve_public(curve, point.p)) == NULL)
		return 0;
	if ((ctx = EVP_PKEY_CTX_dup(k->derive)) == NULL)
		r = -1;
	else if (pgp_ecdh_derive(ctx, peer, curve->width, z) == 0)
		r = 1;
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(peer);
	return r;
}

static int
unwrap_ecdh(const struct pgp_skey *k, const uint8_t *esk, size_t n, struct pgp_session_key *out)
{
	uint8_t z[PGP_COORD_MAX], kek[PGP_CIPHER_KEY_MAX], m[256];
	struct pgp_cur cur = pgp_cur(esk, n);
	struct bytes point = pgp_cur_mpi(&cur);
	uint8_t wn = pgp_cur_u8(&cur);
	const uint8_t *wrapped = pgp_cur_take(&cur, wn);
	int r;

	if (cur.bad || cur.n > 0 || wn < 32 || wn % 8 != 0)
		return 0;
	if ((r = shared_secret(k, point, z)) > 0) {
		r = pgp_ecdh_kek(&k->p, k->fpr, sizeof k->fpr, z, k->width, kek);
		if (r == 0 && pgp_aes_unwrap(k->p.kdf_cipher, kek, wrapped, wn, m) == 0)
			open_padded(m, wn - 8u, 0xffffffff, out);
	}
	explicit_bzero(z, sizeof z);
	explicit_bzero(kek, sizeof kek);
	explicit_bzero(m, sizeof m);
	return r;
}

int
pgp_skey_unwrap(struct pgp_skey *k, const uint8_t *esk, size_t n, struct pgp_session_key *out)
{
	int r;

	if ((pgp_algo_can(k->algo) & KEY_ENCRYPT) == 0) {
		errno = ENOTSUP;
		return -1;
	}
	if (pseudo_random_key(k, esk, n, out) < 0)
		r = -1;
	else if (k->p.curve == NULL)
		r = unwrap_rsa(k, esk, n, out);
	else
		r = unwrap_ecdh(k, esk, n, out);
	ERR_clear_error();
	if (r < 0) {
		explicit_bzero(out, sizeof *out);
		errno = EIO;
	}
	return r;
}
