#include "openpgp/decrypt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "openpgp/algo.h"
#include "openpgp/dearmor.h"
#include "openpgp/document.h"
#include "openpgp/esk.h"
#include "openpgp/layers.h"

#define STEP 8192 /* literal data hashed while it is in the first-level cache */
#define EARLY_SIGS_MAX 65536 /* octets of all signature packets before the data */
#define INFLATE_GRACE (1024 * 1024) /* of other packets beside the literal data */
#define SCRATCH (PGP_MSG_SIG_MAX > PGP_PKESK_BODY_MAX ? PGP_MSG_SIG_MAX : PGP_PKESK_BODY_MAX)

struct reader {
	const struct pgp_decrypt_params *p;
	const struct sink *out;
	struct pgp_result *r;
	bool sink_failed;
	bool decrypting; /* from here on every failure looks the same */
	bool had_literal;
	bool peek; /* only look for whom it is */
	const struct pgp_session_key *probe; /* only look whether this key opens it */
	unsigned depth, skipped, nesk;
	struct pgp_esks esks;
	struct pgp_hashing hashing;
	unsigned nops; /* one-pass signatures whose end has not come yet */
	struct {
		uint8_t keyid[8];
		bool last; /* no other one follows over the same data */
		bool outer; /* over signatures, not over the data */
	} ops[PGP_SIGS_MAX];
	struct buf early; /* signatures before the data: length (32 bit) and body of each */
	unsigned nearly;
	struct pgp_input input;
	struct pgp_dearmor *armor;
	struct pgp_unseipd *seipd;
	struct pgp_inflate *inflate[PGP_INFLATE_MAX];
	unsigned ninflate;
	uint8_t scratch[SCRATCH];
};

static int read_packets(struct reader *rd, struct pgp_src *src);
static bool opens(const struct octets *in, const struct pgp_session_key *key);

static int
bad(void)
{
	errno = EBADMSG;
	return -1;
}

/* The whole body of a small packet in rd->scratch; octets, or -1 (EBADMSG when too long). */
static ssize_t
small_body(struct reader *rd, struct pgp_body *b, size_t max)
{
	ssize_t n = pgp_src_all(&b->src, rd->scratch, max);

	if (n == -1 && errno == EMSGSIZE)
		errno = EBADMSG;
	return n;
}

static int
read_pkesk(struct reader *rd, struct pgp_body *b)
{
	const uint8_t *p = rd->scratch;
	ssize_t n;

	if (++rd->nesk > PGP_PKESK_MAX)
		return bad();
	if ((n = small_body(rd, b, PGP_PKESK_BODY_MAX)) == -1)
		return -1;
	if (n < 1)
		return bad();
	if (p[0] != 3)
		return 0; /* a newer version, for somebody else */
	if (n < 10)
		return bad();
	memcpy(rd->r->rcpts[rd->r->nrcpts++], p + 1, 8);
	return pgp_esks_add(&rd->esks, p, (size_t)n);
}

static int
refuse(struct reader *rd, enum pgp_status status)
{
	rd->r->encrypted = true;
	rd->r->status = status;
	errno = ENOTSUP;
	return -1;
}

/* Open the container with a key; the key is not needed any more. */
static int
open_seipd(struct reader *rd, struct pgp_body *b, const struct pgp_session_key *key,
    const uint8_t prefix[PGP_PREFIX_MAX])
{
	if ((rd->seipd = malloc(sizeof *rd->seipd)) == NULL)
		return -1;
	return pgp_unseipd_open(rd->seipd, &b->src, key, prefix) == -1 ? bad() : 0;
}

/*
 * The session key to go on with.  What does not unwrap is a pseudo-random key and fails later
 * like any other.  If there are several, the right one is found by the integrity check over the
 * whole message.  How often the message is read for that tells nothing about the keys: once for
 * each of PGP_PROBES, whether their prefix matched or not, and whichever it is.
 */
static const struct pgp_session_key *
choose_key(struct reader *rd, const uint8_t prefix[PGP_PREFIX_MAX])
{
	const struct pgp_session_key *right = &rd->esks.keys[0];
	unsigned i;

	if (rd->esks.nkeys == 1)
		return right;
	pgp_esks_rank(&rd->esks, prefix);
	for (i = 0; i < rd->esks.nkeys && i < PGP_PROBES; i++) {
		if (opens(rd->input.in, &rd->esks.keys[i]))
			right = &rd->esks.keys[i];
	}
	return right;
}

static int
read_seipd(struct reader *rd, struct pgp_body *b)
{
	uint8_t version, prefix[PGP_PREFIX_MAX];
	const struct pgp_session_key *key;
	int rc;

	if (rd->seipd != NULL || rd->nops + rd->nearly > 0)
		return bad();
	rd->r->encrypted = true;
	if (pgp_src_exact(&b->src, &version, 1) == -1)
		return -1;
	if (version != 1)
		return refuse(rd, PGP_UNSUPPORTED);
	if (rd->probe == NULL) {
		pgp_esks_unwrap(&rd->esks);
		if (rd->esks.nkeys == 0)
			return refuse(rd, rd->esks.temporary ? PGP_TEMPORARY : PGP_NO_KEY);
	}
	rd->decrypting = true;
	if (pgp_src_exact(&b->src, prefix, sizeof prefix) == -1)
		return -1;
	key = rd->probe != NULL ? rd->probe : choose_key(rd, prefix);
	rd->r->cipher = key->algo;
	rc = open_seipd(rd, b, key, prefix);
	explicit_bzero(rd->esks.keys, sizeof rd->esks.keys);
	if (rc == -1)
		return -1;
	if (rd->probe != NULL)
		return pgp_src_drain(&rd->seipd->src);
	rc = read_packets(rd, &rd->seipd->src);
	/* Whatever went wrong inside: the time until the answer depends on the size alone, and
	 * what we say about a message that is authentic may be more exact. */
	if (rc == -1 && !rd->sink_failed) {
		int code = errno;
		if (pgp_src_drain(&rd->seipd->src) == 0)
			rd->r->integrity = true;
		errno = code;
	} else if (rc == 0) {
		rd->r->integrity = rd->seipd->good;
		rc = rd->seipd->good ? 0 : bad();
	}
	return rc;
}

static int
read_compressed(struct reader *rd, struct pgp_body *b)
{
	struct pgp_inflate *in;
	uint8_t algo;

	rd->r->compressed = true;
	if (pgp_src_exact(&b->src, &algo, 1) == -1)
		return -1;
	if (algo == PGP_COMP_NONE)
		return read_packets(rd, &b->src);
	if (rd->ninflate == PGP_INFLATE_MAX)
		return bad();
	if ((in = malloc(sizeof *in)) == NULL)
		return -1;
	rd->inflate[rd->ninflate++] = in;
	if (pgp_inflate_open(in, &b->src, algo) == -1)
		return -1;
	in->max_ratio = rd->p->max_ratio;
	in->max_out = rd->p->max_size ? rd->p->max_size + INFLATE_GRACE : 0;
	if (read_packets(rd, &in->src) == -1)
		return -1;
	return pgp_src_drain(&b->src);
}

static int
literal_head(struct reader *rd, struct pgp_body *b)
{
	struct pgp_result *r = rd->r;
	uint8_t head[2], date[4];

	if (pgp_src_exact(&b->src, head, 2) == -1 ||
	    pgp_src_exact(&b->src, r->filename, head[1]) == -1 ||
	    pgp_src_exact(&b->src, date, 4) == -1)
		return -1;
	r->mode = head[0];
	r->filename_len = head[1];
	r->filename[head[1]] = '\0';
	r->date = get_be32(date);
	return 0;
}

static int
add_signature(struct reader *rd, const uint8_t *body, size_t n)
{
	if (rd->r->nsigs == PGP_SIGS_MAX)
		return bad();
	pgp_document_check(
	    &rd->hashing, body, n, rd->p->certs, rd->p->now, &rd->r->sigs[rd->r->nsigs++]);
	return 0;
}

/* Old style: the signatures came before the data (RFC 4880, 11.3). */
static int
check_early(struct reader *rd)
{
	size_t n;

	for (; buf_len(&rd->early) > 0; buf_drain(&rd->early, n)) {
		n = get_be32(buf_ptr(&rd->early));
		buf_drain(&rd->early, 4);
		if (add_signature(rd, buf_ptr(&rd->early), n) == -1)
			return -1;
	}
	return 0;
}

static int
read_literal(struct reader *rd, struct pgp_body *b)
{
	struct pgp_src *s = &b->src;
	size_t k;
	int rc;

	if (rd->had_literal)
		return bad();
	rd->had_literal = true;
	if (literal_head(rd, b) == -1)
		return -1;
	while ((rc = pgp_src_fill(s)) == 1) {
		k = s->n < STEP ? s->n : STEP;
		rd->r->size += k;
		if (rd->p->max_size != 0 && rd->r->size > rd->p->max_size) {
			errno = EMSGSIZE;
			return -1;
		}
		if (pgp_hashing_update(&rd->hashing, s->p, k) == -1)
			return -1;
		if (rd->out != NULL && sink_write(rd->out, s->p, k) == -1) {
			rd->sink_failed = true;
			return -1;
		}
		pgp_src_take(s, k);
	}
	return rc == -1 ? -1 : check_early(rd);
}

/* One-pass signature: says what will have to be hashed (RFC 4880, 5.4). */
static int
read_one_pass(struct reader *rd, struct pgp_body *b)
{
	const uint8_t *p = rd->scratch;
	unsigned i;
	ssize_t n;

	if (rd->had_literal || rd->nops + rd->nearly == PGP_SIGS_MAX)
		return bad();
	if ((n = small_body(rd, b, SCRATCH)) == -1)
		return -1;
	if (n < 1)
		return bad();
	/* RFC 9580, 5.4: what begins behind the last one of a group is what the group signs. */
	for (i = 0; rd->nops > 0 && rd->ops[rd->nops - 1].last && i < rd->nops; i++)
		rd->ops[i].outer = true;
	memset(&rd->ops[rd->nops], 0, sizeof rd->ops[0]);
	if (p[0] == 3) {
		if (n != 13)
			return bad();
		memcpy(rd->ops[rd->nops].keyid, p + 4, 8);
		rd->ops[rd->nops].last = p[12] != 0;
		if (p[1] <= 1 && pgp_hashing_add(&rd->hashing, p[2], p[1] == 1) == -1 &&
		    errno != ENOTSUP)
			return -1;
	}
	rd->nops++;
	return 0;
}

static int
read_signature(struct reader *rd, struct pgp_body *b)
{
	uint8_t len[4];
	ssize_t n;

	if ((n = small_body(rd, b, PGP_MSG_SIG_MAX)) == -1)
		return -1;
	if (rd->had_literal) {
		if (add_signature(rd, rd->scratch, (size_t)n) == -1)
			return -1;
		/* A notarisation is of a kind that we do not verify. */
		if (rd->nops > 0 && rd->ops[--rd->nops].outer)
			rd->r->sigs[rd->r->nsigs - 1].state = PGP_SIG_UNSUPPORTED;
		return 0;
	}
	if (rd->nops + rd->nearly == PGP_SIGS_MAX)
		return bad();
	rd->nearly++;
	put_be32(len, (uint32_t)n);
	if (buf_put(&rd->early, len, 4) == -1 || buf_put(&rd->early, rd->scratch, (size_t)n) == -1)
		return errno == EMSGSIZE ? bad() : -1;
	return pgp_document_expect(&rd->hashing, rd->scratch, (size_t)n);
}

static int
skip_packet(struct reader *rd, struct pgp_body *b)
{
	/* RFC 9580, 4.3.1: what is critical and unknown ends the message. */
	if (!pgp_tag_skippable(b->tag) || ++rd->skipped > PGP_SKIP_MAX)
		return bad();
	return pgp_src_drain(&b->src);
}

/*
 * May a packet of this kind stand here?  RFC 4880, 11.3: session keys and the container at the
 * outside only, and nothing behind the data but signatures.
 */
static bool
in_place(const struct reader *rd, uint8_t tag)
{
	bool outside = rd->depth == 1 && (rd->nesk > 0 || rd->seipd != NULL);

	switch (tag) {
	case PGP_TAG_PKESK:
	case PGP_TAG_SKESK:
	case PGP_TAG_SEIPD:
	case PGP_TAG_SED:
	case PGP_TAG_OCB:
		return rd->depth == 1 && !rd->had_literal && rd->seipd == NULL;
	case PGP_TAG_SIG:
		/* The outside of an encrypted message is nobody's statement. */
		return !outside;
	default:
		/* Beside a container nothing has its protection: what stands there in clear must
		 * not be taken for what was encrypted. */
		return (!rd->had_literal && !outside) || pgp_tag_skippable(tag);
	}
}

static bool
is_message(uint8_t tag)
{
	return tag == PGP_TAG_LITERAL || tag == PGP_TAG_COMPRESSED || tag == PGP_TAG_OPS ||
	       tag == PGP_TAG_SIG;
}

static int
read_packet(struct reader *rd, struct pgp_body *b)
{
	if (!in_place(rd, b->tag))
		return bad();
	if (rd->peek && is_message(b->tag)) {
		/* Seen enough; as PGP_OK it is no failure. */
		rd->r->status = rd->r->encrypted ? PGP_MALFORMED : PGP_OK;
		return -1;
	}
	switch (b->tag) {
	case PGP_TAG_PKESK:
		rd->r->encrypted = true;
		return read_pkesk(rd, b);
	case PGP_TAG_SKESK: /* for who has the password */
		rd->r->encrypted = true;
		if (++rd->nesk > PGP_PKESK_MAX)
			return bad();
		return pgp_src_drain(&b->src);
	case PGP_TAG_SEIPD:
		return read_seipd(rd, b);
	case PGP_TAG_SED:
		return refuse(rd, PGP_NO_INTEGRITY);
	case PGP_TAG_OCB:
		return refuse(rd, PGP_UNSUPPORTED);
	case PGP_TAG_COMPRESSED:
		return read_compressed(rd, b);
	case PGP_TAG_LITERAL:
		return read_literal(rd, b);
	case PGP_TAG_OPS:
		return read_one_pass(rd, b);
	case PGP_TAG_SIG:
		return read_signature(rd, b);
	default:
		return skip_packet(rd, b);
	}
}

/* All packets of src, up to its end. */
static int
read_packets(struct reader *rd, struct pgp_src *src)
{
	struct pgp_body b;
	int rc;

	if (++rd->depth > PGP_DEPTH_MAX)
		return bad();
	while ((rc = pgp_body_open(&b, src)) == 1) {
		if (read_packet(rd, &b) == -1 || pgp_src_drain(&b.src) == -1)
			return -1;
	}
	rd->depth--;
	return rc;
}

/* A signature that was announced and did not come is a bad one. */
static void
missing_signatures(struct reader *rd)
{
	struct pgp_signature *s;

	while (rd->nops > 0 && rd->r->nsigs < PGP_SIGS_MAX) {
		s = &rd->r->sigs[rd->r->nsigs++];
		memset(s, 0, sizeof *s);
		s->state = PGP_SIG_BAD;
		s->has_keyid = true;
		memcpy(s->keyid, rd->ops[--rd->nops].keyid, 8);
	}
}

static struct pgp_src *
open_armor(struct reader *rd, struct err *e)
{
	if ((rd->armor = malloc(sizeof *rd->armor)) == NULL) {
		err_sys(e, "message");
		return NULL;
	}
	pgp_dearmor_open(rd->armor, &rd->input.src);
	if (pgp_dearmor_begin(rd->armor) != 1) {
		err_set(e, EBADMSG, "not an OpenPGP message");
		return NULL;
	}
	if (rd->armor->type != PGP_ARMOR_MESSAGE) {
		err_set(e, EBADMSG, "not an OpenPGP message but a %s",
		    pgp_armor_label(rd->armor->type));
		return NULL;
	}
	return &rd->armor->src;
}

/* What errno says about a failure that has no status yet. */
static enum pgp_status
status_of(const struct reader *rd, int code)
{
	if (rd->sink_failed || code == EIO || code == ENOMEM)
		return PGP_IO;
	/* Of an authentic message one may say why it cannot be read. */
	if (rd->decrypting && !rd->r->integrity)
		return rd->esks.temporary ? PGP_TEMPORARY : PGP_FAILED;
	if (code == EMSGSIZE)
		return PGP_LIMIT;
	if (code == ENOTSUP)
		return PGP_UNSUPPORTED;
	return rd->decrypting ? PGP_FAILED : PGP_MALFORMED;
}

/* A failure tells nothing but why, that it was encrypted, and to whom. */
static int
fail(struct reader *rd, enum pgp_status status, struct err *e)
{
	static const struct {
		int code;
		const char *text;
	} texts[] = {
	    [PGP_MALFORMED] = {EBADMSG, "not a well-formed OpenPGP message"},
	    [PGP_NO_KEY] = {ENOKEY, "not encrypted to a key that is here"},
	    [PGP_TEMPORARY] = {EAGAIN, "the private key cannot be used now"},
	    [PGP_FAILED] = {EBADMSG, "decryption failed"},
	    [PGP_NO_INTEGRITY] = {EPERM, "encrypted without integrity protection"},
	    [PGP_UNSUPPORTED] = {ENOTSUP, "a kind of OpenPGP message that is not supported"},
	    [PGP_LIMIT] = {EMSGSIZE, "expands beyond the limit"},
	};
	struct pgp_result *r = rd->r;
	bool encrypted = r->encrypted;

	memset(r, 0, offsetof(struct pgp_result, nrcpts));
	r->status = status;
	r->encrypted = encrypted;
	if (status == PGP_IO)
		return err_sys(e, "reading a message");
	return err_set(e, texts[status].code, "%s", texts[status].text);
}

static void
close_reader(struct reader *rd)
{
	pgp_hashing_free(&rd->hashing);
	pgp_esks_free(&rd->esks);
	buf_free(&rd->early);
	while (rd->ninflate > 0) {
		pgp_inflate_close(rd->inflate[--rd->ninflate]);
		free(rd->inflate[rd->ninflate]);
	}
	if (rd->seipd != NULL)
		pgp_unseipd_close(rd->seipd);
	free(rd->seipd);
	free(rd->armor);
	pgp_input_close(&rd->input);
	explicit_bzero(rd, sizeof *rd);
	free(rd);
}

static int
read_message(struct reader *rd, const struct octets *in, struct err *e)
{
	struct pgp_result *r = rd->r;
	struct pgp_src *src;

	if (pgp_input_open(&rd->input, in, 0, in->size) == -1 || pgp_src_fill(&rd->input.src) == -1)
		return fail(rd, PGP_IO, e);
	src = &rd->input.src;
	if (!pgp_is_binary(src->p, src->n) && (src = open_armor(rd, e)) == NULL) {
		r->status = errno == EBADMSG ? PGP_MALFORMED : PGP_IO;
		return -1;
	}
	if (read_packets(rd, src) == -1)
		return r->status == PGP_OK
			   ? 0
			   : fail(rd, r->status != PGP_IO ? r->status : status_of(rd, errno), e);
	if (!rd->had_literal)
		return fail(rd, rd->decrypting ? PGP_FAILED : PGP_MALFORMED, e);
	missing_signatures(rd);
	r->status = PGP_OK;
	return 0;
}

static struct reader *
open_reader(const struct pgp_decrypt_params *p, struct pgp_result *r, struct err *e)
{
	struct reader *rd = calloc(1, sizeof *rd);

	memset(r, 0, sizeof *r);
	r->status = PGP_IO; /* until it is known */
	if (rd == NULL) {
		err_sys(e, "reading a message");
		return NULL;
	}
	rd->p = p;
	rd->r = r;
	pgp_esks_init(&rd->esks, p);
	buf_init(&rd->early, EARLY_SIGS_MAX);
	return rd;
}

/* Does a session key open the message?  All of it is read, whatever is found. */
static bool
opens(const struct octets *in, const struct pgp_session_key *key)
{
	static const struct pgp_decrypt_params none;
	struct pgp_result *r = malloc(sizeof *r);
	struct reader *rd = r != NULL ? open_reader(&none, r, NULL) : NULL;
	bool good = false;

	if (rd != NULL) {
		rd->probe = key;
		(void)read_message(rd, in, NULL);
		good = rd->seipd != NULL && rd->seipd->good;
		close_reader(rd);
	}
	free(r);
	return good;
}

int
pgp_decrypt(const struct octets *in, const struct pgp_decrypt_params *p, const struct sink *out,
    struct pgp_result *r, struct err *e)
{
	struct reader *rd = open_reader(p, r, e);
	int rc, code;

	if (rd == NULL)
		return -1;
	rd->out = out != NULL && out->write != NULL ? out : NULL;
	rc = read_message(rd, in, e);
	code = errno;
	close_reader(rd);
	errno = code;
	return rc;
}

int
pgp_recipients(const struct octets *in, struct pgp_result *r, struct err *e)
{
	static const struct pgp_decrypt_params none;
	struct reader *rd = open_reader(&none, r, e);

	if (rd == NULL)
		return -1;
	rd->peek = true;
	(void)read_message(rd, in, e);
	close_reader(rd);
	return r->status == PGP_MALFORMED || r->status == PGP_IO ? -1 : 0;
}
