#include "openpgp/seckey.h"

#include <errno.h>
#include <gcrypt.h>
#include <stdlib.h>
#include <string.h>

#include "openpgp/armor.h"
#include "openpgp/mpi.h"
#include "openpgp/params.h"
#include "openpgp/s2k.h"
#include "openpgp/tpk.h"

#define USAGE_PLAIN 0
#define USAGE_AEAD 253
#define USAGE_SHA1 254
#define USAGE_SUM 255

/* How the secret part of a packet is protected (RFC 9580, 5.5.3). */
struct protection {
	uint8_t usage;
	uint8_t cipher; /* 0: none */
	struct pgp_s2k s2k;
	const uint8_t *iv; /* of the cipher's block length */
	struct bytes data; /* the secret MPIs and their check, encrypted or not */
};

static uint16_t
sum16(const uint8_t *p, size_t n)
{
	unsigned sum = 0;

	while (n-- > 0)
		sum += *p++;
	return (uint16_t)sum;
}

/* CFB over p in place. */
static int
cfb(const struct protection *pr, const char *pass, uint8_t *p, size_t n, int encrypt)
{
	uint8_t key[PGP_CIPHER_KEY_MAX];
	size_t keylen = pgp_cipher_keylen(pr->cipher);
	gcry_cipher_hd_t h = NULL;
	int r = -1;

	if (pgp_s2k_derive(&pr->s2k, pass, strlen(pass), key, keylen) < 0)
		return -1;
	if (gcry_cipher_open(&h, pgp_cipher_gcry(pr->cipher), GCRY_CIPHER_MODE_CFB, 0) == 0 &&
	    gcry_cipher_setkey(h, key, keylen) == 0 &&
	    gcry_cipher_setiv(h, pr->iv, pgp_cipher_blocklen(pr->cipher)) == 0 &&
	    (encrypt ? gcry_cipher_encrypt(h, p, n, NULL, 0)
		     : gcry_cipher_decrypt(h, p, n, NULL, 0)) == 0)
		r = 0;
	else
		errno = ENOTSUP;
	gcry_cipher_close(h);
	explicit_bzero(key, sizeof key);
	return r;
}

/* ---- reading ---- */

/* Parse what stands behind the public fields. 0, 1: the secret part is not here; -1 with e */
static int
parse_protection(struct protection *pr, struct bytes b, struct err *e)
{
	struct pgp_cur c = pgp_cur(b.p, b.n);
	ssize_t n;

	memset(pr, 0, sizeof *pr);
	pr->usage = pgp_cur_u8(&c);
	if (pr->usage == USAGE_AEAD)
		return err_set(e, ENOTSUP,
		    "secret key: protected by AEAD (S2K usage 253), which is "
		    "not supported: export it with another protection");
	if (pr->usage == USAGE_SHA1 || pr->usage == USAGE_SUM) {
		pr->cipher = pgp_cur_u8(&c);
		if ((n = pgp_s2k_parse(&pr->s2k, c.p, c.n)) < 0)
			return err_set(e, errno, "secret key: %s string-to-key specifier",
			    errno == ENOTSUP ? "unsupported" : "malformed");
		(void)pgp_cur_take(&c, (size_t)n);
		if (pr->s2k.type == PGP_S2K_GNU)
			return 1;
	} else if (pr->usage != USAGE_PLAIN) {
		/* the oldest form: the octet is the cipher, the key the passphrase's MD5 */
		pr->cipher = pr->usage;
		pr->s2k.hash = PGP_HASH_MD5;
	}
	if (pr->usage != USAGE_PLAIN) {
		if (pgp_cipher_keylen(pr->cipher) == 0)
			return err_set(
			    e, ENOTSUP, "secret key: cipher %u is not supported", pr->cipher);
		pr->iv = pgp_cur_take(&c, pgp_cipher_blocklen(pr->cipher));
	}
	if (c.bad || c.n > PGP_SECRET_MAX)
		return err_set(e, EBADMSG, "secret key: malformed");
	pr->data = (struct bytes){c.p, c.n};
	return 0;
}

/* Compare the check behind the MPIs; returns their octets, or -1. */
static ssize_t
check_tail(const struct protection *pr, const uint8_t *p, size_t n)
{
	uint8_t sha[20];
	size_t tail = pr->usage == USAGE_SHA1 ? sizeof sha : 2;

	if (n <= tail)
		return -1;
	n -= tail;
	if (tail == 2)
		return sum16(p, n) == get_be16(p + n) ? (ssize_t)n : -1;
	gcry_md_hash_buffer(GCRY_MD_SHA1, sha, p, n);
	return memcmp(sha, p + n, sizeof sha) == 0 ? (ssize_t)n : -1;
}

static struct pgp_skey *
open_secret(const struct cert_key *k, const struct protection *pr, const char *pass, struct err *e)
{
	uint8_t p[PGP_SECRET_MAX];
	size_t n = pr->data.n;
	struct pgp_skey *key = NULL;
	ssize_t mpis;

	if (pr->usage != USAGE_PLAIN && pass == NULL) {
		err_set(e, EACCES, "secret key: protected by a passphrase, none was given");
		return NULL;
	}
	memcpy(p, pr->data.p, n);
	if (pr->usage != USAGE_PLAIN && cfb(pr, pass, p, n, 0) < 0)
		err_set(e, ENOTSUP, "secret key: cipher %s is not available",
		    pgp_cipher_name(pr->cipher));
	else if ((mpis = check_tail(pr, p, n)) < 0)
		err_set(e, pr->usage == USAGE_PLAIN ? EBADMSG : EKEYREJECTED, "secret key: %s",
		    pr->usage == USAGE_PLAIN ? "bad checksum" : "wrong passphrase");
	else
		key = pgp_skey_load(
		    k->algo, k->created, k->params, (struct bytes){p, (size_t)mpis}, e);
	explicit_bzero(p, sizeof p);
	return key;
}

/* One secret key packet: its public form to pub, its key to out. */
static int
take_secret(struct pgp_seckey *out, const struct pgp_packet *p, const char *pass, struct buf *pub,
    struct err *e)
{
	unsigned tag = p->tag == PGP_TAG_SECKEY ? PGP_TAG_PUBKEY : PGP_TAG_PUBSUB;
	struct protection pr;
	struct cert_key k;
	uint8_t fpr[PGP_FPR4];
	ssize_t plen;
	size_t used;
	int r;

	if (p->body.n < 6 || p->body.p[0] != 4)
		return err_set(e, p->body.n < 6 ? EBADMSG : ENOTSUP,
		    "secret key: malformed, or of another version than 4");
	if ((plen = pgp_params_len(p->body.p[5], p->body.p + 6, p->body.n - 6)) < 0) {
		if (errno == ENOTSUP && tag == PGP_TAG_PUBSUB) {
			out->unsupported++;
			return 0; /* and its bindings fall away with it */
		}
		return err_set(e, errno, "secret key: algorithm %u", p->body.p[5]);
	}
	if (tpk_put_packet(pub, tag, (struct bytes){p->body.p, 6 + (size_t)plen}) < 0)
		return err_sys(e, "secret key");
	if (tpk_key(&k, fpr, p->body, 1, &used, e) < 0) {
		if (e != NULL && e->code != ENOTSUP)
			return -1;
		out->unsupported++;
		return 0;
	}
	r = parse_protection(&pr, (struct bytes){p->body.p + used, p->body.n - used}, e);
	if (r < 0)
		return -1;
	if (r > 0) {
		out->missing++;
		return 0;
	}
	if (out->nkeys == CERT_KEYS_MAX)
		return err_set(e, EMSGSIZE, "secret key: more than %d keys", CERT_KEYS_MAX);
	if ((out->keys[out->nkeys] = open_secret(&k, &pr, pass, e)) == NULL)
		return -1;
	out->nkeys++;
	return 0;
}

static int
take_packet(struct pgp_seckey *out, const struct pgp_packet *p, const char *pass, struct buf *pub,
    struct err *e)
{
	switch (p->tag) {
	case PGP_TAG_SECKEY:
		if (buf_len(pub) > 0)
			return err_set(e, E2BIG, "several secret keys in it: import one at a time");
		/* FALLTHROUGH */
	case PGP_TAG_SECSUB:
		return take_secret(out, p, pass, pub, e);
	case PGP_TAG_PUBSUB:
		out->missing++;
		/* FALLTHROUGH */
	case PGP_TAG_USERID:
	case PGP_TAG_ATTRIBUTE:
	case PGP_TAG_SIG:
		if (tpk_put_packet(pub, p->tag, p->body) < 0)
			return err_sys(e, "secret key");
		return 0;
	default:
		if (pgp_tag_skippable(p->tag))
			return 0;
		return err_set(e, EBADMSG, "secret key: packet %u does not belong there", p->tag);
	}
}

static int
read_packets(
    struct bytes in, const char *pass, struct pgp_seckey *out, struct buf *pub, struct err *e)
{
	struct pgp_packet p;
	int r, count = 0;

	while ((r = pgp_packet_next(&in, &p)) > 0) {
		if (++count > PGP_CERT_PACKETS_MAX)
			return err_set(e, EMSGSIZE, "secret key: too many packets");
		if (count == 1 && p.tag == PGP_TAG_PUBKEY)
			return err_set(e, ENOKEY, "a public key, not a secret one");
		if (take_packet(out, &p, pass, pub, e) < 0)
			return -1;
	}
	if (r < 0)
		return err_set(e, EBADMSG, "secret key: malformed packet");
	if (out->nkeys == 0)
		return err_set(e, ENOKEY, "no secret key in it that could be used");
	return 0;
}

static void
set_flags(struct pgp_seckey *s)
{
	for (size_t i = 0; i < s->nkeys; i++) {
		const struct cert_key *k;
		struct cert_key pub;

		pgp_skey_public(s->keys[i], &pub);
		k = pgp_cert_find(s->cert->rec, pub.fpr.p, pub.fpr.n);
		s->flags[i] = k == NULL ? 0 : k->flags;
	}
}

int
pgp_seckey_read(
    const void *p, size_t n, const char *pass, uint64_t now, struct pgp_seckey *out, struct err *e)
{
	struct err own;
	struct buf plain, pub;
	struct bytes in = {p, n};
	int r = -1;

	if (e == NULL)
		e = &own;
	memset(out, 0, sizeof *out);
	buf_init(&plain, PGP_SECKEY_MAX);
	buf_init(&pub, PGP_SECKEY_MAX);
	if (pgp_algo_init() < 0) {
		err_sys(e, "secret key: libgcrypt");
		goto out;
	}
	if (n > PGP_SECKEY_MAX) {
		err_set(e, EMSGSIZE, "secret key: more than %d octets", PGP_SECKEY_MAX);
		goto out;
	}
	if (!pgp_is_binary(p, n)) {
		if ((r = pgp_dearmor(p, n, &plain, NULL, NULL, e)) <= 0) {
			r = r < 0 ? -1 : err_set(e, ENOKEY, "no key in it");
			goto out;
		}
		in = (struct bytes){buf_ptr(&plain), buf_len(&plain)};
	}
	r = read_packets(in, pass, out, &pub, e);
	if (r == 0) {
		out->cert = pgp_cert_read(buf_ptr(&pub), buf_len(&pub), now, e);
		r = out->cert == NULL ? -1 : 0;
	}
	if (r == 0)
		set_flags(out);
out:
	if (r < 0)
		pgp_seckey_clear(out);
	buf_wipe_free(&plain);
	buf_free(&pub);
	return r < 0 ? -1 : 0;
}

void
pgp_seckey_clear(struct pgp_seckey *s)
{
	for (size_t i = 0; i < s->nkeys; i++)
		pgp_skey_free(s->keys[i]);
	pgp_cert_free(s->cert);
	memset(s, 0, sizeof *s);
}

/* ---- writing ---- */

static int
put_protected(struct buf *b, struct pgp_skey *k, const char *pass)
{
	struct bytes secret = pgp_skey_secret(k);
	struct protection pr = {.usage = USAGE_SHA1, .cipher = PGP_CIPHER_AES256};
	uint8_t p[PGP_SECRET_MAX + 20], head[2 + PGP_S2K_LEN + 16];
	size_t n;
	int r;

	pgp_s2k_make(&pr.s2k);
	head[0] = pr.usage;
	head[1] = pr.cipher;
	n = 2 + pgp_s2k_write(&pr.s2k, head + 2);
	pr.iv = head + n;
	arc4random_buf(head + n, 16);
	memcpy(p, secret.p, secret.n);
	gcry_md_hash_buffer(GCRY_MD_SHA1, p + secret.n, p, secret.n);
	r = cfb(&pr, pass, p, secret.n + 20, 1);
	if (r == 0 && (buf_put(b, head, n + 16) < 0 || buf_put(b, p, secret.n + 20) < 0))
		r = -1;
	explicit_bzero(p, sizeof p);
	return r;
}

/* A secret key packet's body in b: the public one, and the secret part or GnuPG's stub. */
static int
secret_body(
    struct buf *b, struct bytes pub, struct pgp_skey *const *keys, size_t nkeys, const char *pass)
{
	static const uint8_t stub[] = {USAGE_SUM, 0, PGP_S2K_GNU, 0, 'G', 'N', 'U', 1};
	uint8_t fpr[PGP_FPR4];
	struct cert_key k, own;

	buf_init(b, CERT_PARAMS_MAX + PGP_SECRET_MAX + 128);
	if (buf_put(b, pub.p, pub.n) < 0)
		return -1;
	if (tpk_key(&k, fpr, pub, 0, NULL, NULL) == 0)
		for (size_t i = 0; i < nkeys; i++) {
			pgp_skey_public(keys[i], &own);
			if (memcmp(own.fpr.p, fpr, PGP_FPR4) == 0)
				return put_protected(b, keys[i], pass);
		}
	return buf_put(b, stub, sizeof stub);
}

int
pgp_seckey_write(const void *cert, size_t n, struct pgp_skey *const *keys, size_t nkeys,
    const char *pass, struct buf *out, struct err *e)
{
	struct bytes in = {cert, n};
	struct buf bodies[CERT_KEYS_MAX];
	int used = 0, r;
	struct tpk t;

	if (pass[0] == '\0' || strlen(pass) > PGP_PASS_MAX)
		return err_set(e, EINVAL, "passphrase: 1 to %d octets", PGP_PASS_MAX);
	if (pgp_algo_init() < 0)
		return err_sys(e, "secret key: libgcrypt");
	if ((r = tpk_read(&t, &in, e)) <= 0)
		return r < 0 ? -1 : err_set(e, EBADMSG, "no certificate in it");
	r = -1;
	for (int i = 0; i < t.ncomps; i++) {
		struct tpk_comp *c = &t.comps[i];

		if (c->tag != PGP_TAG_PUBKEY && c->tag != PGP_TAG_PUBSUB)
			continue;
		if (used == CERT_KEYS_MAX) {
			err_set(e, EMSGSIZE, "secret key: more than %d keys", CERT_KEYS_MAX);
			goto out;
		}
		if (secret_body(&bodies[used++], c->body, keys, nkeys, pass) < 0) {
			err_sys(e, "secret key");
			goto out;
		}
		c->put = (struct bytes){buf_ptr(&bodies[used - 1]), buf_len(&bodies[used - 1])};
		c->put_tag = c->tag == PGP_TAG_PUBKEY ? PGP_TAG_SECKEY : PGP_TAG_SECSUB;
	}
	if (tpk_write(&t, out) < 0) {
		err_sys(e, "secret key");
		goto out;
	}
	r = 0;
out:
	while (used > 0)
		buf_free(&bodies[--used]);
	tpk_free(&t);
	return r;
}
