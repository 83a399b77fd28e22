#include "openpgp/cert.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/enc.h"
#include "openpgp/pk.h"

static enum pgp_key_state
own_state(const struct cert_key *k, uint64_t t)
{
	if (k->revoked == 1 || (k->revoked != 0 && t >= k->revoked))
		return PGP_KEY_REVOKED;
	if (t < k->created)
		return PGP_KEY_NOT_YET;
	if (k->expires != 0 && t >= k->expires)
		return PGP_KEY_EXPIRED;
	return PGP_KEY_OK;
}

enum pgp_key_state
pgp_key_state(const struct cert *c, const struct cert_key *k, uint64_t t)
{
	enum pgp_key_state s = own_state(&c->keys.v[0], t);

	return s != PGP_KEY_OK || k == &c->keys.v[0] ? s : own_state(k, t);
}

static const char *
key_name(char out[17], const struct cert_key *k)
{
	return hex_encode(out, pgp_keyid(k->fpr.p, k->fpr.n), 8);
}

static const char *
date(char out[16], uint64_t t)
{
	time_t s = (time_t)t;
	struct tm tm;

	if (gmtime_r(&s, &tm) == NULL || strftime(out, 16, "%Y-%m-%d", &tm) == 0)
		strlcpy(out, "?", 16);
	return out;
}

/* Fill e with why k is not usable. */
static int
refuse(const struct cert_key *k, enum pgp_key_state s, struct err *e)
{
	char id[17], day[16];

	switch (s) {
	case PGP_KEY_REVOKED:
		if (k->revoked == 1)
			return err_set(e, EKEYREVOKED, "key %s was revoked", key_name(id, k));
		return err_set(e, EKEYREVOKED, "key %s was revoked on %s", key_name(id, k),
		    date(day, k->revoked));
	case PGP_KEY_EXPIRED:
		return err_set(
		    e, EKEYEXPIRED, "key %s expired on %s", key_name(id, k), date(day, k->expires));
	default:
		return err_set(e, EAGAIN, "key %s is not valid before %s", key_name(id, k),
		    date(day, k->created));
	}
}

int
pgp_cert_valid(const struct cert *c, uint64_t t, struct err *e)
{
	enum pgp_key_state s = own_state(&c->keys.v[0], t);

	return s == PGP_KEY_OK ? 0 : refuse(&c->keys.v[0], s, e);
}

/* Bits of an RSA key that lost KEY_ENCRYPT for having too few (pgp_pk_weak), else 0. */
static unsigned
weak_bits(const struct cert_key *k)
{
	unsigned bits;

	if ((k->algo != PGP_PK_RSA && k->algo != PGP_PK_RSA_E) || k->params.n < 2)
		return 0;
	bits = (unsigned)k->params.p[0] << 8 | k->params.p[1]; /* of the modulus, RFC 9580, 3.2 */
	return bits < PGP_RSA_MIN ? bits : 0;
}

/* Why a certificate of valid keys has none for what: there is none, or it is too weak. */
static void
refuse_all(const struct cert *c, unsigned flags, const char *what, struct err *e)
{
	unsigned bits = 0;
	char id[17];
	size_t i;

	(void)key_name(id, &c->keys.v[0]);
	for (i = c->keys.n; (flags & KEY_ENCRYPT) != 0 && bits == 0 && i-- > 0;)
		bits = weak_bits(&c->keys.v[i]);
	if (bits != 0)
		err_set(e, ENOKEY, "key %s is too weak for %s (RSA of %u bits)", id, what, bits);
	else
		err_set(e, ENOKEY, "key %s has no key for %s", id, what);
}

/* Put k into out, newest first; returns the new count. */
static size_t
insert(const struct cert_key **out, size_t n, size_t max, const struct cert_key *k)
{
	size_t i = n < max ? n : max;

	while (i > 0 && out[i - 1]->created < k->created) {
		if (i < max)
			out[i] = out[i - 1];
		i--;
	}
	if (i < max)
		out[i] = k;
	return n < max ? n + 1 : max;
}

/*
 * Keys with any of the flags, valid at t, subkeys only if there are any.  When there is none, e
 * tells the state of the best one that would have done.
 */
static size_t
pick(const struct cert *c, uint64_t t, unsigned flags, const char *what,
    const struct cert_key **out, size_t max, struct err *e)
{
	const struct cert_key *stale = NULL;
	size_t n = 0;

	if (pgp_cert_valid(c, t, e) < 0)
		return 0;
	for (size_t i = 1; i < c->keys.n; i++) {
		const struct cert_key *k = &c->keys.v[i];

		if ((k->flags & flags) == 0)
			continue;
		if (own_state(k, t) == PGP_KEY_OK)
			n = insert(out, n, max, k);
		else if (stale == NULL || k->created > stale->created)
			stale = k;
	}
	if (n == 0 && (c->keys.v[0].flags & flags) != 0)
		n = insert(out, n, max, &c->keys.v[0]);
	if (n > 0)
		return n;
	if (stale != NULL)
		refuse(stale, own_state(stale, t), e);
	else
		refuse_all(c, flags, what, e);
	return 0;
}

int
pgp_cert_encryption_keys(
    const struct cert *c, uint64_t t, const struct cert_key **out, size_t max, struct err *e)
{
	size_t n = pick(c, t, KEY_ENCRYPT, "encryption", out, max, e);

	return n == 0 ? -1 : (int)n;
}

const struct cert_key *
pgp_cert_signing_key(const struct cert *c, uint64_t t, struct err *e)
{
	const struct cert_key *k;

	return pick(c, t, KEY_SIGN, "signing", &k, 1, e) == 0 ? NULL : k;
}

const struct cert_key *
pgp_cert_find(const struct cert *c, const uint8_t *id, size_t n)
{
	static const uint8_t anonymous[8];

	if (n == 8 && memcmp(id, anonymous, 8) == 0)
		return NULL;
	for (size_t i = 0; i < c->keys.n; i++) {
		const struct cert_key *k = &c->keys.v[i];

		if (n == 8 ? memcmp(pgp_keyid(k->fpr.p, k->fpr.n), id, 8) == 0
			   : k->fpr.n == n && memcmp(k->fpr.p, id, n) == 0)
			return k;
	}
	return NULL;
}

static int
uid_revoked(const struct cert_uid *u, uint64_t t)
{
	return u->revoked != 0 && t >= u->revoked;
}

const struct cert_uid *
pgp_cert_primary_uid(const struct cert *c, uint64_t t)
{
	const struct cert_uid *first = NULL;

	for (size_t i = 0; i < c->uids.n; i++) {
		const struct cert_uid *u = &c->uids.v[i];

		if (uid_revoked(u, t))
			continue;
		if (u->primary)
			return u;
		if (first == NULL)
			first = u;
	}
	return first;
}

/* An address as mail has it: one @ that splits it, none of the octets that would need quoting. */
static int
plain_addr(const char *p, size_t n)
{
	const char *at = memrchr(p, '@', n);

	if (at == NULL || at == p || at == p + n - 1 || n > 320)
		return 0;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] <= ' ' || p[i] == 0x7f ||
		    strchr("<>()[],;:\\\"", p[i]) != NULL)
			return 0;
	return memchr(p, '@', (size_t)(at - p)) == NULL;
}

int
pgp_uid_addr(char *out, size_t outsz, const char *uid, size_t n)
{
	const char *p = uid, *lt = memrchr(uid, '<', n);
	char *at;

	if (lt != NULL) {
		if (n == 0 || uid[n - 1] != '>')
			return -1;
		p = lt + 1;
		n = (size_t)(uid + n - 1 - p);
	}
	if (!plain_addr(p, n) || n >= outsz)
		return -1;
	memcpy(out, p, n);
	out[n] = '\0';
	for (at = strrchr(out, '@'); *at != '\0'; at++)
		if (*at >= 'A' && *at <= 'Z')
			*at += 'a' - 'A';
	return 0;
}
