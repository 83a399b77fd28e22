#include "filterd/reading.h"

#include <string.h>
#include <strings.h>

#include "base/enc.h"
#include "base/log.h"
#include "filterd/banner.h"
#include "mail/write.h"
#include "openpgp/decrypt.h"

enum read_result
reading_defer(struct reading *r, const char *why)
{
	(void)log_escape(r->why, sizeof r->why, why, strlen(why));
	return READ_DEFER;
}

static int
ask_keys(struct reading *r, const struct pgp_result *res, struct kept *k, struct err *e)
{
	struct key_id ids[OPENING_IDS_MAX];
	size_t i, n = res->nrcpts < OPENING_IDS_MAX ? res->nrcpts : OPENING_IDS_MAX;

	for (i = 0; i < n; i++)
		ids[i].id = (struct bytes){res->rcpts[i], sizeof res->rcpts[i]};
	return ask_opening(&r->w->ask, ids, n, k, e);
}

uint64_t
reading_plain_max(uint64_t stored)
{
	if (stored >= PLAIN_MAX / PLAIN_RATIO)
		return PLAIN_MAX;
	return stored * PLAIN_RATIO > PLAIN_FREE ? stored * PLAIN_RATIO : PLAIN_FREE;
}

/* pgp_decrypt within what is left of the message's bound. */
static int
bounded_decrypt(struct reading *r, const struct octets *msg, struct pgp_decrypt_params *p,
    struct spool *plain, struct pgp_result *res, struct err *e)
{
	struct sink out = spool_sink(plain);
	int rc;

	p->now = r->now;
	p->max_size = r->plain_left > 0 ? r->plain_left : 1; /* 0 would be no bound */
	rc = pgp_decrypt(msg, p, &out, res, e);
	if (res->status == PGP_LIMIT || plain->size > r->plain_left)
		r->plain_left = 0;
	else
		r->plain_left -= plain->size;
	return rc;
}

static enum read_result
decrypt_with(struct reading *r, const struct octets *msg, const struct opening_rep *grant,
    struct spool *plain, struct pgp_result *res)
{
	const struct cert_key *keys[OPENING_KEYS_MAX];
	struct pgp_secret secret = ask_secret(&r->w->ask);
	struct pgp_certs certs = ask_certs(&r->w->ask);
	struct pgp_decrypt_params p = {
	    .keys = keys,
	    .secret = &secret,
	    .certs = &certs,
	};
	struct err e;

	for (p.nkeys = 0; p.nkeys < grant->keys.n; p.nkeys++)
		keys[p.nkeys] = &grant->keys.v[p.nkeys];
	if (bounded_decrypt(r, msg, &p, plain, res, &e) == 0)
		return r->w->ask.dead ? reading_defer(r, "keys cannot be looked up now")
				      : READ_DONE;
	/* What came out of a message that failed is not to be looked at. */
	spool_free(plain);
	spool_init(plain, PLAIN_MAX, r->w->spooldir);
	if (res->status == PGP_TEMPORARY || r->w->ask.dead)
		return reading_defer(r, "the key store is locked or away");
	if (res->status == PGP_IO)
		return reading_defer(r, e.text);
	return res->status == PGP_NO_KEY ? READ_NOT_OURS : READ_DONE;
}

enum read_result
reading_decrypt(
    struct reading *r, const struct octets *msg, struct spool *plain, struct pgp_result *res)
{
	const struct opening_rep *grant;
	struct pgp_certs certs = ask_certs(&r->w->ask);
	struct pgp_decrypt_params p = {.certs = &certs};
	enum read_result rc;
	struct kept k;
	struct err e;

	(void)pgp_recipients(msg, res, &e);
	if (!res->encrypted) {
		/* Only signed or compressed, or no message at all. */
		(void)bounded_decrypt(r, msg, &p, plain, res, &e);
		return r->w->ask.dead ? reading_defer(r, "keys cannot be looked up now")
				      : READ_DONE;
	}
	if (res->status == PGP_IO)
		return reading_defer(r, "the message cannot be read now");
	if (res->nrcpts == 0) {
		r->foreign = 1; /* a passphrase only */
		return READ_NOT_OURS;
	}
	if (ask_keys(r, res, &k, &e) == -1)
		return reading_defer(r, e.text);
	grant = k.body;
	if (grant->result == OPENING_GRANTED)
		rc = decrypt_with(r, msg, grant, plain, res);
	else if (grant->result == OPENING_NOKEY)
		rc = READ_NOT_OURS;
	else
		rc = reading_defer(r, grant->why);
	kept_free(&k);
	if (rc == READ_NOT_OURS)
		r->foreign = 1;
	return rc;
}

/* Does the signer own the one address that the message is from? */
static enum mail_signature
judge_sender(struct reading *r, const struct pgp_signature *s)
{
	const struct signer *who = ask_signer(&r->w->ask, s->primary, s->primary_len);
	enum mail_signature v = MAIL_SIG_NOT_SENDER;
	const char *addr = "";
	size_t i;

	if (who == NULL)
		return MAIL_SIG_UNTRUSTED;
	for (i = 0; i < who->addrs.n; i++) {
		if (i == 0)
			addr = who->addrs.v[0].addr;
		/* Local parts are compared without case: an administrator bound the address, and
		 * no mail system in use tells two people apart by case. */
		if (r->from[0] != '\0' && strcasecmp(who->addrs.v[i].addr, r->from) == 0) {
			addr = who->addrs.v[i].addr;
			v = MAIL_SIG_GOOD;
			break;
		}
	}
	(void)strlcpy(r->signer, addr, sizeof r->signer);
	hex_encode(r->fingerprint, s->primary, s->primary_len);
	return v;
}

static enum mail_signature
judge(struct reading *r, const struct pgp_signature *s)
{
	switch (s->state) {
	case PGP_SIG_GOOD:
		return judge_sender(r, s);
	case PGP_SIG_BAD:
		return MAIL_SIG_BAD;
	case PGP_SIG_UNKNOWN_KEY:
		return MAIL_SIG_NO_KEY;
	case PGP_SIG_EXPIRED_KEY:
	case PGP_SIG_EXPIRED:
		return MAIL_SIG_EXPIRED;
	case PGP_SIG_REVOKED_KEY:
		return MAIL_SIG_REVOKED;
	case PGP_SIG_WEAK:
		return MAIL_SIG_UNTRUSTED;
	case PGP_SIG_UNSUPPORTED:
		break;
	}
	return MAIL_SIG_DAMAGED;
}

/* Of several signatures: a bad one counts most, then a good one of the sender, then the rest. */
static int
weight(enum mail_signature s)
{
	static const int w[] = {
	    [MAIL_SIG_BAD] = 9,
	    [MAIL_SIG_GOOD] = 8,
	    [MAIL_SIG_PART] = 7,
	    [MAIL_SIG_NOT_SENDER] = 6,
	    [MAIL_SIG_REVOKED] = 5,
	    [MAIL_SIG_EXPIRED] = 4,
	    [MAIL_SIG_UNTRUSTED] = 3,
	    [MAIL_SIG_NO_KEY] = 2,
	    [MAIL_SIG_DAMAGED] = 1,
	    [MAIL_SIG_NONE] = 0,
	};

	return w[s];
}

void
reading_signatures(struct reading *r, const struct pgp_result *res)
{
	char signer[sizeof r->signer], fingerprint[sizeof r->fingerprint];
	enum mail_signature s;
	unsigned i;

	for (i = 0; i < res->nsigs; i++) {
		(void)strlcpy(signer, r->signer, sizeof signer);
		(void)strlcpy(fingerprint, r->fingerprint, sizeof fingerprint);
		s = judge(r, &res->sigs[i]);
		if (weight(s) > weight(r->verdict.signature))
			r->verdict.signature = s;
		else {
			(void)strlcpy(r->signer, signer, sizeof r->signer);
			(void)strlcpy(r->fingerprint, fingerprint, sizeof r->fingerprint);
		}
	}
}

/* ctx: the reading. A Subject that was encrypted takes the place of the outer one. */
static bool
keep_envelope(struct bytes name, void *ctx)
{
	const struct reading *r = ctx;

	if (r->subject != NULL && name.n == 7 &&
	    strncasecmp((const char *)name.p, "Subject", 7) == 0)
		return false;
	return mail_keep_envelope(name, NULL);
}

/* What is shown, which never gets better by itself, and how long the signer's field is. */
static int
settle(struct reading *r, struct mail_verdict *v)
{
	ssize_t len;

	if (r->stuck)
		r->verdict.signature =
		    mail_signature_worse(r->verdict.signature, r->stuck_signature);
	*v = r->verdict;
	v->signer = r->signer[0] != '\0' ? r->signer : NULL;
	v->fingerprint = r->fingerprint[0] != '\0' ? r->fingerprint : NULL;
	if (r->stuck) {
		v->signer_len = &r->signer_len;
		return 0;
	}
	if ((len = mail_signer_len(v)) == -1)
		return -1;
	r->signer_len = (uint16_t)len;
	return 0;
}

/* The stored header without look-alikes of ours: all but what describes the body, then that. */
static int
put_fields(struct reading *r, const struct octets *stripped, int content,
    const struct mail_verdict *v, const struct sink *out)
{
	if (mail_header_copy(stripped, 0, stripped->size, keep_envelope, r, false, out) == -1)
		return -1;
	if (r->subject != NULL && mail_put_field(out, "Subject", r->subject) == -1)
		return -1;
	if (sink_puts(out, "MIME-Version: 1.0\r\n") == -1)
		return -1;
	if (r->phrase[0] != '\0' && banner_begin(r, v, out) == -1)
		return -1;
	if (!content)
		return 0;
	if (mail_header_copy(stripped, 0, stripped->size, mail_keep_content, NULL, false, out) ==
	    -1)
		return -1;
	return sink_puts(out, "\r\n");
}

int
reading_begin(struct reading *r, int content, const struct sink *out)
{
	const struct mail_part *m = &r->ix.parts[0];
	struct mail_verdict v;
	struct octets stripped;
	struct spool s;
	struct sink to;
	int rc = -1;

	if (settle(r, &v) == -1 || mail_put_verdict(out, &v) == -1)
		return -1;
	/* Without a banner an annotated message keeps its header as it is. */
	if (content && r->phrase[0] == '\0')
		return mail_strip_ours(&r->in, m->head_off, m->head_len, out);
	spool_init(&s, WORKER_MESSAGE_MAX, r->w->spooldir);
	to = spool_sink(&s);
	if (mail_strip_ours(&r->in, m->head_off, m->head_len, &to) == 0 &&
	    spool_octets(&s, &stripped) == 0)
		rc = put_fields(r, &stripped, content, &v, out);
	spool_free(&s);
	return rc;
}

int
reading_end(const struct reading *r, const struct sink *out)
{
	return r->phrase[0] != '\0' ? banner_end(r, out) : 0;
}
