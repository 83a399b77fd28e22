#include "openpgp/esk.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "openpgp/algo.h"
#include "openpgp/params.h"

#define ESKS_OCTETS_MAX (2 * PGP_TRIES_MAX * PGP_PKESK_BODY_MAX)
#define RSA_SLACK 8 /* octets that a ciphertext may be shorter than the modulus, one in 2^64 */

void
pgp_esks_init(struct pgp_esks *s, const struct pgp_decrypt_params *p)
{
	memset(s, 0, sizeof *s);
	s->p = p;
	buf_init(&s->octets, ESKS_OCTETS_MAX);
}

void
pgp_esks_free(struct pgp_esks *s)
{
	buf_free(&s->octets);
	explicit_bzero(s->keys, sizeof s->keys);
}

/* Could this ciphertext be for this key, by its form alone? */
static bool
plausible(const struct cert_key *k, const uint8_t *esk, size_t n)
{
	struct pgp_cur c = pgp_cur(esk, n);
	struct bytes v = pgp_cur_mpi(&c);
	struct pgp_params p;

	if (c.bad)
		return false;
	if (pgp_params_parse(&p, k->algo, k->params.p, k->params.n, 1, NULL) == -1)
		return true; /* nothing to judge by */
	if (p.curve != NULL)
		return pgp_point_formed(p.curve, v);
	return v.n <= p.n.n && v.n + RSA_SLACK >= p.n.n;
}

int
pgp_esks_add(struct pgp_esks *s, const uint8_t *body, size_t n)
{
	static const uint8_t anonymous[8];
	bool hidden = memcmp(body + 1, anonymous, 8) == 0, kept = false;
	struct pgp_esk_try *to = hidden ? s->hidden : s->named;
	unsigned *count = hidden ? &s->nhidden : &s->nnamed;
	uint32_t off = (uint32_t)buf_len(&s->octets);
	const uint8_t *esk = body + 10;
	const struct cert_key *k;
	size_t i;

	n -= 10;
	if (s->p->secret == NULL)
		return 0;
	for (i = 0; i < s->p->nkeys && *count < PGP_TRIES_MAX; i++) {
		k = s->p->keys[i];
		if (k->algo != body[9] ||
		    (hidden ? !plausible(k, esk, n)
			    : memcmp(body + 1, pgp_keyid(k->fpr.p, k->fpr.n), 8) != 0))
			continue;
		if (!kept && n > 0 && buf_put(&s->octets, esk, n) == -1)
			return -1;
		kept = true;
		to[(*count)++] = (struct pgp_esk_try){(uint16_t)i, (uint16_t)n, off};
	}
	return 0;
}

static void
unwrap(struct pgp_esks *s, const struct pgp_esk_try *t)
{
	const struct pgp_secret *secret = s->p->secret;
	const struct cert_key *k = s->p->keys[t->key];
	struct pgp_session_key *key = &s->keys[s->nkeys];
	unsigned i;

	errno = 0;
	if (secret->unwrap(
		secret->ctx, k->fpr.p, k->fpr.n, buf_ptr(&s->octets) + t->off, t->n, key) == -1) {
		if (errno == EAGAIN || errno == EIO || errno == ENOMEM)
			s->temporary = true;
		return;
	}
	/* What does not name a cipher that we have fails later like any other wrong key. */
	if (pgp_cipher_gcry(key->algo) == 0 || key->n != pgp_cipher_keylen(key->algo)) {
		key->algo = PGP_CIPHER_AES256;
		key->n = 32;
		arc4random_buf(key->key, key->n);
	}
	for (i = 0; i < s->nkeys; i++) {
		if (s->keys[i].algo == key->algo && s->keys[i].n == key->n &&
		    CRYPTO_memcmp(s->keys[i].key, key->key, key->n) == 0)
			return;
	}
	s->nkeys++;
}

void
pgp_esks_unwrap(struct pgp_esks *s)
{
	unsigned i, tries = 0;

	for (i = 0; i < s->nnamed && tries < PGP_TRIES_MAX; i++, tries++)
		unwrap(s, &s->named[i]);
	for (i = 0; i < s->nhidden && tries < PGP_TRIES_MAX; i++, tries++)
		unwrap(s, &s->hidden[i]);
}

void
pgp_esks_rank(struct pgp_esks *s, const uint8_t prefix[PGP_PREFIX_MAX])
{
	struct pgp_session_key key;
	unsigned i, front = 0;

	for (i = 0; i < s->nkeys; i++) {
		if (!pgp_prefix_matches(&s->keys[i], prefix))
			continue;
		key = s->keys[front];
		s->keys[front++] = s->keys[i];
		s->keys[i] = key;
	}
	explicit_bzero(&key, sizeof key);
}
