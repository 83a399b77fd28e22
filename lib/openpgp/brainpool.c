#include "openpgp/brainpool.h"

#include <errno.h>
#include <gcrypt.h>
#include <openssl/rand.h>
#include <string.h>

#define GENERATE_TRIES 128 /* a random scalar is in range nearly always, or every second time */

/* The curve's context, for one call; or NULL. */
static gcry_ctx_t
curve_of(const struct pgp_curve *curve)
{
	gcry_ctx_t ec = NULL;

	if (pgp_algo_init() == 0 && gcry_mpi_ec_new(&ec, NULL, curve->name) == 0)
		return ec;
	return NULL;
}

static gcry_mpi_t
number(const uint8_t *p, size_t n)
{
	gcry_mpi_t x = NULL;

	return gcry_mpi_scan(&x, GCRYMPI_FMT_USG, p, n, NULL) == 0 ? x : NULL;
}

static int
put_number(uint8_t *out, size_t width, gcry_mpi_t x)
{
	uint8_t v[PGP_COORD_MAX];
	size_t n = 0;
	int r = -1;

	if (gcry_mpi_print(GCRYMPI_FMT_USG, v, sizeof v, &n, x) == 0 && n <= width)
		r = pgp_mpi_pad(out, width, (struct bytes){v, n});
	explicit_bzero(v, sizeof v);
	return r;
}

/* A scalar, above 0 and below the order, marked secret: libgcrypt then multiplies in constant time.
 */
static gcry_mpi_t
secret_scalar(gcry_ctx_t ec, const struct pgp_curve *curve, const uint8_t *d)
{
	gcry_mpi_t x = number(d, curve->width), order = gcry_mpi_ec_get_mpi("n", ec, 0);

	if (x == NULL || order == NULL) {
		errno = EIO;
	} else if (gcry_mpi_cmp_ui(x, 0) == 0 || gcry_mpi_cmp(x, order) >= 0) {
		errno = EBADMSG;
	} else {
		gcry_mpi_set_flag(x, GCRYMPI_FLAG_SECURE);
		gcry_mpi_release(order);
		return x;
	}
	gcry_mpi_release(x);
	gcry_mpi_release(order);
	return NULL;
}

static gcry_mpi_point_t
read_point(gcry_ctx_t ec, const struct pgp_curve *curve, const uint8_t *point)
{
	gcry_mpi_t x = number(point + 1, curve->width),
		   y = number(point + 1 + curve->width, curve->width);
	gcry_mpi_t p = gcry_mpi_ec_get_mpi("p", ec, 0);
	gcry_mpi_point_t q = NULL;

	if (x != NULL && y != NULL && p != NULL && gcry_mpi_cmp(x, p) < 0 &&
	    gcry_mpi_cmp(y, p) < 0) {
		q = gcry_mpi_point_set(NULL, x, y, GCRYMPI_CONST_ONE);
		if (!gcry_mpi_ec_curve_point(q, ec)) {
			gcry_mpi_point_release(q);
			q = NULL;
		}
	}
	gcry_mpi_release(x);
	gcry_mpi_release(y);
	gcry_mpi_release(p);
	return q;
}

/* x to out and y behind it, unless y is NULL; d times base. */
static int
multiply(gcry_ctx_t ec, const struct pgp_curve *curve, gcry_mpi_t d, gcry_mpi_point_t base,
    uint8_t *outx, uint8_t *outy)
{
	gcry_mpi_point_t q = gcry_mpi_point_new(0);
	gcry_mpi_t x = gcry_mpi_snew(curve->bits),
		   y = outy != NULL ? gcry_mpi_new(curve->bits) : NULL;
	int r = -1;

	gcry_mpi_ec_mul(q, d, base, ec);
	if (gcry_mpi_ec_get_affine(x, y, q, ec) == 0 && put_number(outx, curve->width, x) == 0 &&
	    (outy == NULL || put_number(outy, curve->width, y) == 0))
		r = 0;
	else
		errno = EIO;
	gcry_mpi_release(x);
	gcry_mpi_release(y);
	gcry_mpi_point_release(q);
	return r;
}

int
pgp_brainpool_valid(const struct pgp_curve *curve, const uint8_t *point)
{
	gcry_ctx_t ec = curve_of(curve);
	gcry_mpi_point_t q = NULL;

	if (ec != NULL)
		q = read_point(ec, curve, point);
	gcry_mpi_point_release(q);
	gcry_ctx_release(ec);
	return q != NULL;
}

int
pgp_brainpool_public(const struct pgp_curve *curve, const uint8_t *d, uint8_t *point)
{
	gcry_ctx_t ec = curve_of(curve);
	gcry_mpi_point_t g = NULL;
	gcry_mpi_t x = NULL;
	int r = -1;

	errno = EIO;
	if (ec != NULL && (x = secret_scalar(ec, curve, d)) != NULL &&
	    (g = gcry_mpi_ec_get_point("g", ec, 1)) != NULL) {
		point[0] = pgp_point_prefix(curve);
		r = multiply(ec, curve, x, g, point + 1, point + 1 + curve->width);
	}
	gcry_mpi_point_release(g);
	gcry_mpi_release(x);
	gcry_ctx_release(ec);
	return r;
}

int
pgp_brainpool_generate(const struct pgp_curve *curve, uint8_t *d, uint8_t *point)
{
	int i;

	for (i = 0; i < GENERATE_TRIES; i++) {
		if (RAND_priv_bytes(d, curve->width) <= 0)
			break;
		if (pgp_brainpool_public(curve, d, point) == 0)
			return 0;
		if (errno != EBADMSG)
			break;
	}
	explicit_bzero(d, curve->width);
	errno = EIO;
	return -1;
}

int
pgp_brainpool_shared(
    const struct pgp_curve *curve, const uint8_t *d, const uint8_t *point, uint8_t *z)
{
	gcry_ctx_t ec = curve_of(curve);
	gcry_mpi_point_t q = NULL;
	gcry_mpi_t x = NULL;
	int r = -1;

	errno = EIO;
	if (ec == NULL || (x = secret_scalar(ec, curve, d)) == NULL)
		goto out;
	if ((q = read_point(ec, curve, point)) == NULL)
		errno = EBADMSG;
	else
		r = multiply(ec, curve, x, q, z, NULL);
out:
	gcry_mpi_point_release(q);
	gcry_mpi_release(x);
	gcry_ctx_release(ec);
	return r;
}

/* The orders have whole octets: the leftmost bits are the leftmost octets. */
static gcry_sexp_t
digest_sexp(const struct pgp_curve *curve, const uint8_t *digest, size_t n)
{
	gcry_sexp_t s = NULL;

	if (pgp_algo_init() < 0)
		return NULL;
	if (n > curve->width)
		n = curve->width;
	return gcry_sexp_build(&s, NULL, "(data (flags raw) (value %b))", (int)n, digest) == 0
		   ? s
		   : NULL;
}

int
pgp_brainpool_sign(const struct pgp_curve *curve, const uint8_t *d, const uint8_t *digest, size_t n,
    struct pgp_sigval *out)
{
	gcry_sexp_t key = NULL, data = digest_sexp(curve, digest, n), sig = NULL;
	gcry_mpi_t r = NULL, s = NULL;
	uint8_t half[PGP_COORD_MAX];
	int rc = -1;

	if (data == NULL ||
	    gcry_sexp_build(&key, NULL, "(private-key (ecc (curve %s) (d %b)))", curve->name,
		(int)curve->width, d) != 0 ||
	    gcry_pk_sign(&sig, data, key) != 0 ||
	    gcry_sexp_extract_param(sig, NULL, "rs", &r, &s, NULL) != 0)
		goto out;
	if (put_number(half, curve->width, r) == 0) {
		out->n = pgp_mpi_write(out->data, half, curve->width);
		if ((rc = put_number(half, curve->width, s)) == 0)
			out->n += pgp_mpi_write(out->data + out->n, half, curve->width);
	}
out:
	gcry_mpi_release(r);
	gcry_mpi_release(s);
	gcry_sexp_release(key);
	gcry_sexp_release(data);
	gcry_sexp_release(sig);
	return rc;
}

int
pgp_brainpool_verify(const struct pgp_curve *curve, const uint8_t *point, const uint8_t *digest,
    size_t n, struct bytes r, struct bytes s)
{
	gcry_sexp_t key = NULL, data = NULL, sig = NULL;
	int rc = -1;

	if (r.n == 0 || s.n == 0 || r.n > curve->width || s.n > curve->width)
		return -1;
	data = digest_sexp(curve, digest, n);
	if (data != NULL &&
	    gcry_sexp_build(&key, NULL, "(public-key (ecc (curve %s) (q %b)))", curve->name,
		(int)pgp_point_len(curve), point) == 0 &&
	    gcry_sexp_build(
		&sig, NULL, "(sig-val (ecdsa (r %b) (s %b)))", (int)r.n, r.p, (int)s.n, s.p) == 0 &&
	    gcry_pk_verify(sig, data, key) == 0)
		rc = 0;
	gcry_sexp_release(key);
	gcry_sexp_release(data);
	gcry_sexp_release(sig);
	return rc;
}
