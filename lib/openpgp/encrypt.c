#include "openpgp/encrypt.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "openpgp/algo.h"
#include "openpgp/armor.h"
#include "openpgp/container.h"
#include "openpgp/document.h"
#include "openpgp/packet.h"

#define LITERAL_LOG2 15
#define STEP 16384 /* plaintext that passes all layers while it is in the cache */
#define SIGS_BUF_MAX 65536 /* octets of all signature packets */

struct pgp_encrypt {
	struct pgp_encrypt_params p;
	struct sink out; /* the caller's */
	struct sink raw; /* armour, or out */
	struct sink container; /* encryption, or raw */
	struct sink inner; /* compression, or container */
	struct sink plain; /* where text goes that has its line ends */
	struct pgp_armor armor;
	struct pgp_seipd seipd;
	struct pgp_deflate deflate;
	struct pgp_chunks literal; /* of unknown size */
	struct pgp_hashing hashing;
	struct pgp_crlf crlf;
	bool fixed; /* the literal packet has its length in front */
	uint64_t written;
};

static bool
prefers(const struct bytes *prefs, uint8_t algo)
{
	return prefs->n > 0 && memchr(prefs->p, algo, prefs->n) != NULL;
}

uint8_t
pgp_choose_cipher(const struct pgp_recipient *to, unsigned nto)
{
	static const uint8_t strong[] = {PGP_CIPHER_AES256, PGP_CIPHER_AES192};
	unsigned c, i;

	for (c = 0; c < sizeof strong; c++) {
		for (i = 0; i < nto; i++) {
			if (to[i].cert == NULL || !prefers(&to[i].cert->ciphers, strong[c]))
				break;
		}
		if (i == nto)
			return strong[c];
	}
	/* RFC 9580, 9.3: AES-128 must be there.  Never RFC 4880's implicit TripleDES. */
	return PGP_CIPHER_AES128;
}

uint8_t
pgp_choose_hash(const struct pgp_recipient *to, unsigned nto)
{
	static const uint8_t order[] = {PGP_HASH_SHA256, PGP_HASH_SHA512, PGP_HASH_SHA384};
	unsigned c, i;

	for (c = 0; c < sizeof order; c++) {
		for (i = 0; i < nto; i++) {
			if (to[i].cert != NULL && to[i].cert->hashes.n > 0 &&
			    !prefers(&to[i].cert->hashes, order[c]))
				break;
		}
		if (i == nto)
			return order[c];
	}
	return PGP_HASH_SHA256;
}

uint8_t
pgp_signing_hash(uint8_t hash, const struct pgp_signer *signers, unsigned n)
{
	size_t min = 0, need;
	unsigned i;

	for (i = 0; i < n; i++) {
		need = pgp_key_digest_min(signers[i].key);
		min = need > min ? need : min;
	}
	if (pgp_hash_len(hash) >= min || !pgp_hash_strong(hash)) /* that is refused elsewhere */
		return hash;
	return min <= 32 ? PGP_HASH_SHA256 : min <= 48 ? PGP_HASH_SHA384 : PGP_HASH_SHA512;
}

static int
out_armor(void *ctx, const void *p, size_t n)
{
	return pgp_armor_write(&((struct pgp_encrypt *)ctx)->armor, p, n);
}

static int
out_seipd(void *ctx, const void *p, size_t n)
{
	return pgp_seipd_write(&((struct pgp_encrypt *)ctx)->seipd, p, n);
}

static int
out_deflate(void *ctx, const void *p, size_t n)
{
	return pgp_deflate_write(&((struct pgp_encrypt *)ctx)->deflate, p, n);
}

/* Plaintext as it stands in the literal packet and in the digests. */
static int
out_plain(void *ctx, const void *data, size_t n)
{
	struct pgp_encrypt *w = ctx;
	const uint8_t *p = data;
	size_t k;
	int rc;

	for (; n > 0; p += k, n -= k) {
		k = n < STEP ? n : STEP;
		if (pgp_hashing_update(&w->hashing, p, k) == -1)
			return -1;
		rc = w->fixed ? sink_write(&w->inner, p, k) : pgp_chunks_write(&w->literal, p, k);
		if (rc == -1)
			return -1;
	}
	return 0;
}

/* One packet whose body is in memory. */
static int
put_packet(const struct sink *to, enum pgp_tag tag, const struct bytes *parts, unsigned n)
{
	uint8_t head[PGP_HEAD_MAX];
	size_t len = 0;
	unsigned i;

	for (i = 0; i < n; i++)
		len += parts[i].n;
	if (sink_write(to, head, pgp_packet_head(head, tag, (uint32_t)len)) == -1)
		return -1;
	for (i = 0; i < n; i++) {
		if (sink_write(to, parts[i].p, parts[i].n) == -1)
			return -1;
	}
	return 0;
}

/* Is the key of recipient i one that an earlier recipient has, too? */
static bool
repeated(const struct pgp_encrypt_params *p, unsigned i)
{
	const struct bytes *fpr = &p->to[i].key->fpr;
	unsigned k;

	for (k = 0; k < i; k++) {
		if (p->to[k].key->fpr.n == fpr->n &&
		    memcmp(p->to[k].key->fpr.p, fpr->p, fpr->n) == 0)
			return true;
	}
	return false;
}

static int
put_pkesk(struct pgp_encrypt *w, const struct cert_key *key, const struct pgp_session_key *session,
    struct err *e)
{
	uint8_t head[10] = {3};
	struct pgp_esk esk;
	struct bytes parts[2];
	struct pgp_pk *pk;

	if ((pk = pgp_pk_kept(key, e)) == NULL)
		return -1;
	if (pgp_pk_wrap(pk, session, &esk) == -1)
		return err_sys(
		    e, "cannot encrypt to a key of algorithm %s", pgp_pk_name(key->algo));
	if (!w->p.anonymous)
		memcpy(head + 1, pgp_keyid(key->fpr.p, key->fpr.n), 8);
	head[9] = key->algo;
	parts[0] = (struct bytes){head, sizeof head};
	parts[1] = (struct bytes){esk.data, esk.n};
	if (put_packet(&w->raw, PGP_TAG_PKESK, parts, 2) == -1)
		return err_sys(e, "writing a message");
	return 0;
}

/* Session key, its packets, and the container of everything else. */
static int
open_encryption(struct pgp_encrypt *w, struct err *e)
{
	struct pgp_session_key key;
	unsigned i;
	int rc = -1;

	key.algo = w->p.cipher ? w->p.cipher : pgp_choose_cipher(w->p.to, w->p.nto);
	key.n = (uint8_t)pgp_cipher_keylen(key.algo);
	if (key.algo < PGP_CIPHER_AES128 || key.algo > PGP_CIPHER_AES256) {
		err_set(e, EINVAL, "cipher %u is not used for new messages", key.algo);
		goto out;
	}
	if (RAND_priv_bytes(key.key, key.n) != 1) {
		err_set(e, EIO, "no random numbers");
		goto out;
	}
	for (i = 0; i < w->p.nto; i++) {
		if (!repeated(&w->p, i) && put_pkesk(w, w->p.to[i].key, &key, e) == -1)
			goto out;
	}
	if (pgp_seipd_open(&w->seipd, &key, &w->raw) == -1) {
		err_sys(e, "encryption");
		goto out;
	}
	w->container = (struct sink){out_seipd, w};
	rc = 0;
out:
	explicit_bzero(&key, sizeof key);
	return rc;
}

static int
put_one_pass(struct pgp_encrypt *w)
{
	const struct pgp_signer *s = w->p.signers;
	struct bytes part;
	uint8_t b[13];
	unsigned i;

	for (i = 0; i < w->p.nsigners; i++, s++) {
		b[0] = 3;
		b[1] = w->p.text;
		b[2] = w->p.hash;
		b[3] = s->key->algo;
		memcpy(b + 4, pgp_keyid(s->key->fpr.p, s->key->fpr.n), 8);
		b[12] = i + 1 == w->p.nsigners; /* RFC 4880, 5.4: 0 when another follows */
		part = (struct bytes){b, sizeof b};
		if (put_packet(&w->inner, PGP_TAG_OPS, &part, 1) == -1)
			return -1;
	}
	return 0;
}

static int
open_literal(struct pgp_encrypt *w)
{
	size_t name = w->p.filename ? strlen(w->p.filename) : 0, n;
	uint8_t head[PGP_HEAD_MAX], fixed[2 + PGP_FILENAME_MAX + 4];

	fixed[0] = w->p.text ? (w->p.utf8 ? 'u' : 't') : 'b';
	fixed[1] = (uint8_t)name;
	if (name > 0)
		memcpy(fixed + 2, w->p.filename, name);
	put_be32(fixed + 2 + name, w->p.date);
	n = 2 + name + 4;
	/* Line ends change the size; a length has 32 bits. */
	w->fixed = w->p.size_known && !w->p.text && w->p.size < UINT32_MAX - n;
	if (w->fixed) {
		if (sink_write(&w->inner, head,
			pgp_packet_head(head, PGP_TAG_LITERAL, (uint32_t)(w->p.size + n))) == -1)
			return -1;
		return sink_write(&w->inner, fixed, n);
	}
	if (pgp_chunks_open(&w->literal, PGP_TAG_LITERAL, LITERAL_LOG2, &w->inner) == -1)
		return -1;
	return pgp_chunks_write(&w->literal, fixed, n);
}

static int
check_params(const struct pgp_encrypt_params *p, struct err *e)
{
	if (p->nto > PGP_PKESK_MAX || p->nsigners > PGP_SIGS_MAX)
		return err_set(e, EINVAL, "too many recipients or signers");
	if (p->nto == 0 && p->nsigners == 0)
		return err_set(e, EINVAL, "neither recipients nor signers");
	if (p->nsigners > 0 && (p->secret == NULL || p->secret->sign == NULL))
		return err_set(e, EINVAL, "no way to sign");
	if (p->compress > PGP_COMP_ZLIB)
		return err_set(e, EINVAL, "compression %u is not known", p->compress);
	if (p->filename != NULL && strlen(p->filename) > PGP_FILENAME_MAX)
		return err_set(e, EINVAL, "file name too long");
	return 0;
}

static int
open_layers(struct pgp_encrypt *w, struct err *e)
{
	w->raw = w->out;
	if (w->p.armor) {
		if (pgp_armor_open(&w->armor, PGP_ARMOR_MESSAGE, &w->out) == -1)
			return err_sys(e, "writing a message");
		w->raw = (struct sink){out_armor, w};
	}
	w->container = w->raw;
	if (w->p.nto > 0 && open_encryption(w, e) == -1)
		return -1;
	w->inner = w->container;
	if (w->p.compress != PGP_COMP_NONE) {
		if (pgp_deflate_open(&w->deflate, w->p.compress, &w->container) == -1)
			return err_sys(e, "compression");
		w->inner = (struct sink){out_deflate, w};
	}
	if (w->p.hash == 0)
		w->p.hash = pgp_choose_hash(w->p.to, w->p.nto);
	w->p.hash = pgp_signing_hash(w->p.hash, w->p.signers, w->p.nsigners);
	if (w->p.nsigners > 0 && pgp_hashing_add(&w->hashing, w->p.hash, w->p.text) == -1)
		return err_sys(e, "cannot sign with hash %u", w->p.hash);
	if (put_one_pass(w) == -1 || open_literal(w) == -1)
		return err_sys(e, "writing a message");
	w->plain = (struct sink){out_plain, w};
	return 0;
}

struct pgp_encrypt *
pgp_encrypt_open(const struct pgp_encrypt_params *p, const struct sink *out, struct err *e)
{
	struct pgp_encrypt *w;

	if (check_params(p, e) == -1)
		return NULL;
	if ((w = calloc(1, sizeof *w)) == NULL) {
		err_sys(e, "writing a message");
		return NULL;
	}
	w->p = *p;
	w->out = *out;
	if (open_layers(w, e) == -1) {
		pgp_encrypt_abort(w);
		return NULL;
	}
	w->p.to = NULL; /* the caller's array is not needed any more */
	return w;
}

int
pgp_encrypt_write(struct pgp_encrypt *w, const void *p, size_t n)
{
	w->written += n;
	if (w->p.size_known && w->written > w->p.size) {
		errno = EINVAL;
		return -1;
	}
	if (w->p.text)
		return pgp_crlf_feed(&w->crlf, p, n, &w->plain);
	return out_plain(w, p, n);
}

static int
put_signatures(struct pgp_encrypt *w, struct err *e)
{
	struct buf sigs;
	unsigned i;
	int rc = -1;

	buf_init(&sigs, SIGS_BUF_MAX);
	/* The last one-pass signature is the innermost (RFC 4880, 5.4). */
	for (i = w->p.nsigners; i-- > 0;) {
		if (pgp_document_sign(&w->hashing, &w->p.signers[i], w->p.hash, w->p.text, w->p.now,
			w->p.secret, &sigs, e) == -1)
			goto out;
	}
	if ((rc = sink_write(&w->inner, buf_ptr(&sigs), buf_len(&sigs))) == -1)
		err_sys(e, "writing a message");
out:
	buf_free(&sigs);
	return rc;
}

int
pgp_encrypt_close(struct pgp_encrypt *w, struct err *e)
{
	int rc = -1, code;

	if (w->p.size_known && w->written != w->p.size) {
		err_set(e, EINVAL, "%llu octets were promised, %llu came",
		    (unsigned long long)w->p.size, (unsigned long long)w->written);
		goto out;
	}
	if (!w->fixed && pgp_chunks_end(&w->literal) == -1) {
		err_sys(e, "writing a message");
		goto out;
	}
	if (w->p.nsigners > 0 && put_signatures(w, e) == -1)
		goto out;
	if ((w->p.compress != PGP_COMP_NONE && pgp_deflate_end(&w->deflate) == -1) ||
	    (w->p.nto > 0 && pgp_seipd_end(&w->seipd) == -1) ||
	    (w->p.armor && pgp_armor_close(&w->armor) == -1)) {
		err_sys(e, "writing a message");
		goto out;
	}
	rc = 0;
out:
	code = errno;
	pgp_encrypt_abort(w);
	errno = code;
	return rc;
}

void
pgp_encrypt_abort(struct pgp_encrypt *w)
{
	if (w == NULL)
		return;
	pgp_hashing_free(&w->hashing);
	pgp_chunks_free(&w->literal);
	pgp_deflate_free(&w->deflate);
	pgp_seipd_free(&w->seipd);
	free(w);
}
