/*
 * Outbound: one message and its recipients in, one or more secured copies out, or a refusal of
 * the whole.  Nothing leaves before every recipient's fate is known.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "filterd/compose.h"
#include "filterd/mask.h"
#include "filterd/text.h"
#include "filterd/worker.h"
#include "mail/address.h"
#include "mail/header.h"
#include "mail/mime.h"
#include "openpgp/armor.h"
#include "openpgp/cert.h"
#include "openpgp/decrypt.h"
#include "policy/policy.h"

#define FACTS_MAX 500 /* octets of a line for the log, with its NUL */
#define REASON_MAX 210 /* of a reason in it; two fit */
#define SUBJECT_MAX (16 * 1024) /* octets of all Subject fields that are looked at */
#define LABELS_MAX 4096 /* octets of PGP/MIME beside its ciphertext: part headers, a preamble */
#define REFUSALS_MAX 128 /* recipients named in a refusal: the answer must fit into one frame */
#define PLANS_MAX (RCPTS_MAX + 1) /* questions to policyd for one message */
#define CERT_KEYS_USED 16 /* encryption keys taken of one certificate */
#define SEND_TIMEOUT 60000 /* milliseconds for the proxy to take an answer */

enum mode { MODE_UNCHANGED, MODE_SIGN, MODE_ENCRYPT };

struct rcpt {
	const char *addr;
	struct policy_outcome want;
	const struct plan_rcpt *plan;
	enum mode mode;
	int hidden; /* not named in the header: an encrypted copy of its own */
	int sent; /* in a copy already */
	char why[256]; /* it cannot be encrypted to, for a refusal */
};

struct job {
	struct worker *w;
	const struct secure_req *q;
	uint64_t id, now;
	struct spool spool;
	struct spool masked; /* the same without the sender's phrase, when is_masked */
	int is_masked;
	struct octets in;
	struct mail_index ix;
	struct mail_header header; /* of spool */
	char from[MAIL_ADDR_MAX + 1];
	struct buf subject, sensitivity; /* strings, once they were read */
	struct rcpt *rcpts;
	size_t n;
	struct kept *plans;
	size_t nplans, plans_room;
	const struct plan_rep *first; /* who may sign */
	char **named; /* addresses that the header tells everybody, sorted */
	size_t nnamed, named_room;
	int secured; /* the sender has encrypted it already */
	int foreign_signed; /* the sender has signed it: a signature of ours would hide that one */
	/* The answer, when it is not a plain yes. */
	struct secure_rep rep;
	char text[400], dsn[16];
	struct refusal *refusals;
	char (*refusal_text)[400];
};

/* The whole message cannot be handled now. */
static int
defer(struct job *j, const char *dsn, const char *text)
{
	j->rep.result = SECURE_DEFER;
	(void)strlcpy(j->dsn, dsn, sizeof j->dsn);
	/* What came from outside is escaped where it entered the text. */
	(void)log_clean(j->text, sizeof j->text, text, strlen(text));
	return -1;
}

static int
refuse(struct job *j, const char *dsn, const char *text)
{
	(void)defer(j, dsn, text);
	j->rep.result = SECURE_REFUSE;
	return -1;
}

/*
 * All fields of a name, decoded, one after the other: no second Subject hides the first, and no
 * charset that is not known here what is written in it.
 */
static int
all_fields(const struct mail_header *h, const char *name, struct buf *out)
{
	struct mail_field f;
	size_t pos = 0;

	while (mail_field_next(h, &pos, &f))
		if (mail_field_is(&f, name) &&
		    (mail_decode_guess(f.body, out) == -1 || buf_putc(out, '\n') == -1))
			return -1;
	return buf_putc(out, '\0');
}

static int
read_message(struct job *j, int fd)
{
	struct err e;

	if (spool_receive(&j->spool, j->q->message.v, fd, WORKER_MESSAGE_MAX) == -1) {
		if (fd != -1)
			close(fd);
		return defer(j, "4.3.0", "the message did not arrive whole inside the gateway");
	}
	if (spool_octets(&j->spool, &j->in) == -1 || mail_index_make(&j->ix, &j->in) == -1 ||
	    mail_header_load(&j->header, &j->in, 0, j->ix.parts[0].head_len) == -1)
		return defer(j, "4.3.0", "the gateway cannot read the message now");
	if (j->header.cut || (j->ix.truncated & MAIL_TRUNC_HEADER) != 0)
		return refuse(j, "5.6.0", "the header of the message is too large");
	/* Whether encryption was asked for must be known for sure. */
	if (all_fields(&j->header, "Subject", &j->subject) == -1 ||
	    all_fields(&j->header, "Sensitivity", &j->sensitivity) == -1)
		return refuse(j, "5.6.0", "the Subject or Sensitivity of the message is too long");
	/* An address too long to be asked about is nobody's. */
	if (mail_from_single(&j->header, j->from, sizeof j->from, &e) == -1 ||
	    strlen(j->from) > ADDR_MAX)
		j->from[0] = '\0';
	return 0;
}

/* Binary packets, or armour with nothing beside it that could be read. */
static int
only_ciphertext(const struct octets *o)
{
	struct pgp_block b;
	uint8_t first;

	if (o->size == 0 || octets_read(o, &first, 1, 0) == -1)
		return 0;
	if (pgp_is_binary(&first, 1))
		return 1;
	return pgp_armor_find(o, 0, &b) == 1 && b.type == PGP_ARMOR_MESSAGE &&
	       text_blank(o, 0, b.begin) && text_blank(o, b.end, o->size);
}

/* Is the message's one encrypted part really a message to somebody's key? */
static int
truly_encrypted(struct job *j, const struct mail_part *body)
{
	struct pgp_result *r = calloc(1, sizeof *r);
	struct octets o;
	struct spool s;
	struct sink to;
	struct err e;
	int yes = 0;

	if (r == NULL)
		return 0;
	spool_init(&s, WORKER_MESSAGE_MAX, j->w->spooldir);
	to = spool_sink(&s);
	if (mail_part_decode(&j->in, body, &to) == 0 && spool_octets(&s, &o) == 0 &&
	    only_ciphertext(&o)) {
		(void)pgp_recipients(&o, r, &e);
		yes = r->status == PGP_NO_KEY && r->encrypted && r->nrcpts > 0;
	}
	spool_free(&s);
	free(r);
	return yes;
}

/*
 * What the sender's own software has done already.  A label proves nothing: what does not look
 * like PGP/MIME in every respect is treated as clear text, and at worst encrypted twice.
 */
static void
look_at_structure(struct job *j)
{
	const struct mail_part *m = &j->ix.parts[0], *one, *two;

	if (mail_part_is(m, "multipart", "signed"))
		j->foreign_signed = 1;
	if (!mail_part_is(m, "multipart", "encrypted") || m->child == MAIL_NONE)
		return;
	one = &j->ix.parts[m->child];
	if (one->next == MAIL_NONE)
		return;
	two = &j->ix.parts[one->next];
	if (mail_part_is(one, "application", "pgp-encrypted") && two->next == MAIL_NONE &&
	    mail_part_is(two, "application", "octet-stream") &&
	    m->body_len - two->body_len <= LABELS_MAX)
		j->secured = truly_encrypted(j, two);
}

static int
evaluate_policy(struct job *j)
{
	struct policy_facts f = {
	    .sender = j->q->sender,
	    .subject = (const char *)buf_ptr(&j->subject),
	    .sensitivity = (const char *)buf_ptr(&j->sensitivity),
	    .consumer = 1,
	};
	struct err e;
	size_t i;

	for (i = 0; i < j->n; i++) {
		f.recipient = j->rcpts[i].addr;
		if (policy_evaluate(&f, &j->rcpts[i].want, &e) == -1)
			return defer(j, "4.7.0", "the policy of the gateway cannot be applied now");
	}
	return 0;
}

/* Room for one more answer of policyd's; NULL when there is none. */
static struct kept *
next_plan(struct job *j)
{
	size_t room = j->plans_room * 2 + 1;
	struct kept *more;

	if (j->nplans == PLANS_MAX)
		return NULL;
	if (j->nplans == j->plans_room) {
		if ((more = reallocarray(j->plans, room, sizeof *more)) == NULL)
			return NULL;
		j->plans = more;
		j->plans_room = room;
	}
	return &j->plans[j->nplans];
}

/* Ask policyd about all recipients, some at a time. */
static int
make_plan(struct job *j)
{
	const struct plan_rep *p;
	struct kept *k;
	struct err e;
	size_t at = 0, n, i;
	int sign = !j->foreign_signed && !j->secured;

	while (at < j->n) {
		n = j->n - at < PLAN_RCPTS_MAX ? j->n - at : PLAN_RCPTS_MAX;
		if ((k = next_plan(j)) == NULL ||
		    ask_plan(&j->w->ask, j->q->sender, j->from, sign && at == 0, &j->q->rcpts.v[at],
			n, k, &e) == -1)
			return defer(j, "4.3.0", "the gateway cannot look up keys now");
		j->nplans++;
		p = k->body;
		if (j->first == NULL)
			j->first = p;
		if (p->sign == SIGN_DEFER || p->rcpts.n == 0)
			return defer(j, "4.3.0", p->why[0] ? p->why : "keys cannot be used now");
		for (i = 0; i < p->rcpts.n; i++)
			j->rcpts[at++].plan = &p->rcpts.v[i];
	}
	return 0;
}

/* The keys of a recipient, valid now; 0 with r->why filled when there is none. */
static unsigned
usable_keys(const struct job *j, struct rcpt *r, struct pgp_recipient *out, unsigned max)
{
	const struct cert_key *keys[CERT_KEYS_USED];
	unsigned n = 0;
	struct err e;
	size_t i;
	int got, k;

	if (r->plan->status == KEYS_NONE)
		(void)strlcpy(r->why, "there is no key for it", sizeof r->why);
	else
		(void)strlcpy(r->why, r->plan->why, sizeof r->why);
	for (i = 0; i < r->plan->certs.n; i++) {
		got = pgp_cert_encryption_keys(
		    &r->plan->certs.v[i], j->now, keys, CERT_KEYS_USED, &e);
		if (got == -1)
			(void)strlcpy(r->why, e.text, sizeof r->why);
		for (k = 0; k < got && n < max; k++) {
			out[n].cert = &r->plan->certs.v[i];
			out[n++].key = keys[k];
		}
	}
	return n;
}

static int
by_address(const void *a, const void *b)
{
	return strcasecmp(*(char *const *)a, *(char *const *)b);
}

static int
add_named(struct job *j, const char *addr)
{
	size_t room = j->named_room * 2 + 16;
	char **more;

	if (j->nnamed == j->named_room) {
		if ((more = reallocarray(j->named, room, sizeof *more)) == NULL)
			return -1;
		j->named = more;
		j->named_room = room;
	}
	if ((j->named[j->nnamed] = strdup(addr)) == NULL)
		return -1;
	j->nnamed++;
	return 0;
}

/* Gather the addresses that all recipients get to see. */
static int
list_named(struct job *j)
{
	static const char *const fields[] = {"To", "Cc", "Resent-To", "Resent-Cc"};
	struct mail_addrs a;
	struct mail_field f;
	size_t i, k, pos = 0;
	int rc = 0;

	while (rc == 0 && mail_field_next(&j->header, &pos, &f)) {
		for (i = 0; i < sizeof fields / sizeof fields[0]; i++)
			if (mail_field_is(&f, fields[i]))
				break;
		if (i == sizeof fields / sizeof fields[0])
			continue;
		rc = mail_addrs_parse(&a, f.body);
		for (k = 0; k < a.n && rc == 0; k++)
			rc = add_named(j, a.v[k].addr);
		mail_addrs_free(&a);
	}
	if (rc == -1)
		return defer(j, "4.3.0", "the gateway is out of memory; try again later");
	if (j->nnamed > 0)
		qsort(j->named, j->nnamed, sizeof *j->named, by_address);
	return 0;
}

/* A recipient whom the header does not name must not be betrayed by a key id. */
static int
is_hidden(const struct job *j, const char *rcpt)
{
	char addr[MAIL_ADDR_MAX + 1], *key = addr;

	if (j->nnamed == 0 || mail_addr_normalise(rcpt, addr, sizeof addr) == -1)
		return 1;
	return bsearch(&key, j->named, j->nnamed, sizeof *j->named, by_address) == NULL;
}

static void
add_refusal(struct job *j, const struct rcpt *r, const char *reason)
{
	char addr[160], why[120];
	size_t k = j->rep.refusals.n;

	if (k == REFUSALS_MAX)
		return;
	j->rep.refusals.n++;
	(void)log_escape(addr, sizeof addr, r->addr, strlen(r->addr));
	(void)log_escape(why, sizeof why, r->why, strlen(r->why));
	(void)snprintf(j->refusal_text[k], sizeof j->refusal_text[k],
	    "%s: encryption is required (%.60s), but %.80s; have its OpenPGP key imported", addr,
	    reason, why);
	j->refusals[k].rcpt = (uint16_t)(r - j->rcpts);
	j->refusals[k].text = j->refusal_text[k];
}

/* Each recipient's way, or a refusal of the whole message that names all who stand in its way. */
static int
choose_modes(struct job *j)
{
	struct pgp_recipient keys[CERT_KEYS_USED];
	int ours = j->first->consumer[0] != '\0', may_sign = j->first->sign == SIGN_YES;
	enum policy_want encrypt;
	struct rcpt *r;
	size_t i;

	if (j->first->outside)
		return refuse(
		    j, "5.7.1", "the sender's address is of no domain that this gateway sends for");
	for (i = 0; i < j->n; i++) {
		r = &j->rcpts[i];
		encrypt = r->want.encrypt;
		/* A login that belongs to none of our consumers: mail passes as it is, unless its
		 * sender asked for encryption in so many words. */
		if (!ours && encrypt == POLICY_OPPORTUNISTIC)
			encrypt = POLICY_NO;
		if (j->secured)
			continue;
		if (encrypt != POLICY_NO && usable_keys(j, r, keys, CERT_KEYS_USED) > 0) {
			r->mode = MODE_ENCRYPT;
			r->hidden = is_hidden(j, r->addr);
		} else if (encrypt == POLICY_REQUIRED)
			add_refusal(j, r, r->want.reason);
		else if (may_sign && r->want.sign && !j->foreign_signed)
			r->mode = MODE_SIGN;
	}
	if (j->rep.refusals.n > 0)
		return refuse(j, "5.7.1", j->refusal_text[0]);
	return 0;
}

/* A quoted banner must not tell the phrase. */
static int
mask_quotes(struct job *j)
{
	const char *phrase;
	struct err e;

	if (j->first->consumer[0] == '\0' || j->secured)
		return 0;
	if (ask_phrase(&j->w->ask, &phrase, &e) == -1)
		return defer(j, "4.3.0", "the gateway cannot look up the sender now");
	j->is_masked = mask_phrase(&j->in, &j->ix, phrase, &j->masked);
	if (j->is_masked == -1 || (j->is_masked && spool_octets(&j->masked, &j->in) == -1))
		return defer(j, "4.3.0", "the gateway cannot read the message now");
	return 0;
}

static int
send_copy(struct job *j, struct secure_out *o, struct spool *s)
{
	struct blob b;
	int fd = -1, rc;

	if (s != NULL) {
		if (spool_send(s, &b, &fd) == -1)
			return defer(j, "4.3.0", "the gateway cannot pass the message on now");
		o->message.v = &b;
		o->message.n = 1;
	}
	/* One copy waits, so that the last one leaves together with the answer. */
	rc = ipc_pending(&j->w->proxy) == 0
		 ? ipc_queue(&j->w->proxy, M_secure_out, j->id, o, fd)
		 : ipc_send(&j->w->proxy, M_secure_out, j->id, o, fd, SEND_TIMEOUT);
	if (rc == -1)
		return defer(j, "4.3.0", "the gateway cannot pass the message on now");
	return 0;
}

/* A copy as it came, but for the phrase. */
static int
send_unchanged(struct job *j, struct secure_out *o)
{
	o->unchanged = !j->is_masked;
	return send_copy(j, o, j->is_masked ? &j->masked : NULL);
}

static int
compose_failed(struct job *j, const struct err *e)
{
	log_warn("cannot secure a message: %s", e->text);
	if (e->code == ENOSPC || e->code == EDQUOT)
		return defer(j, "4.3.1", "the gateway is out of room; try again later");
	if (e->code == ENOKEY)
		return defer(j, "4.3.0", "the sender's private key is not in the key store");
	if (e->code == EAGAIN)
		return defer(j, "4.3.0", "the key store of the gateway is locked; try again later");
	return defer(j, "4.3.0", "the gateway could not secure the message; try again later");
}

/* " (reason)" for the log, or nothing. */
static const char *
in_brackets(char out[REASON_MAX], const char *why)
{
	out[0] = '\0';
	if (why[0] != '\0')
		(void)snprintf(out, REASON_MAX, " (%.200s)", why);
	return out;
}

/* Why a copy is not encrypted although its recipient has keys: nobody should have to guess. */
static const char *
unusable_keys(const struct job *j, const struct rcpt_index *who, size_t nwho)
{
	size_t i;

	for (i = 0; i < nwho; i++)
		if (j->rcpts[who[i].i].plan->status == KEYS_UNUSABLE)
			return j->rcpts[who[i].i].why;
	return "";
}

/* What the log says of a copy that leaves as it came. */
static void
unchanged_facts(const struct job *j, const struct rcpt_index *who, size_t nwho, char out[FACTS_MAX])
{
	char keys[REASON_MAX], sign[REASON_MAX];

	if (j->secured)
		(void)strlcpy(out, "encrypted=by sender, signed=by sender", FACTS_MAX);
	else if (j->first->consumer[0] == '\0')
		(void)strlcpy(out, "encrypted=no, signed=no (not a consumer of ours)", FACTS_MAX);
	else if (j->foreign_signed)
		(void)snprintf(out, FACTS_MAX, "encrypted=no%s, signed=by sender",
		    in_brackets(keys, unusable_keys(j, who, nwho)));
	else
		(void)snprintf(out, FACTS_MAX, "encrypted=no%s, signed=no%s",
		    in_brackets(keys, unusable_keys(j, who, nwho)),
		    in_brackets(sign, j->first->why));
}

/* Secure and send one copy for these recipients. */
static int
make_copy(struct job *j, enum mode mode, const struct pgp_recipient *to, unsigned nto,
    struct rcpt_index *who, size_t nwho)
{
	struct pgp_signer signer = {0};
	struct pgp_secret secret = ask_secret(&j->w->ask);
	struct compose c = {.in = &j->in,
	    .ix = &j->ix,
	    .to = to,
	    .nto = nto,
	    .secret = &secret,
	    .now = j->now,
	    .spooldir = j->w->spooldir};
	struct secure_out o = {.rcpts = {who, nwho}};
	char facts[FACTS_MAX], hex[2 * 32 + 1] = "no", keys[REASON_MAX], sign[REASON_MAX];
	struct spool s;
	struct sink out;
	struct err e;
	int rc;

	spool_init(&s, WORKER_MESSAGE_MAX, j->w->spooldir);
	out = spool_sink(&s);
	if (j->first->sign == SIGN_YES && !j->foreign_signed) {
		signer.key =
		    pgp_cert_find(j->first->signer.v, j->first->sign_key.p, j->first->sign_key.n);
		c.signer = signer.key != NULL ? &signer : NULL;
		hex_encode(hex, j->first->sign_key.p, j->first->sign_key.n);
	}
	rc = mode == MODE_ENCRYPT ? compose_encrypted(&c, &out, &e) : compose_signed(&c, &out, &e);
	if (rc == -1 && mode == MODE_SIGN && e.code == EOPNOTSUPP) {
		spool_free(&s);
		o.facts = "encrypted=no, signed=no (a part cannot be encoded for a signature)";
		return send_unchanged(j, &o);
	}
	if (rc == -1)
		rc = compose_failed(j, &e);
	else if (j->q->max_size != 0 && s.size > j->q->max_size)
		rc =
		    refuse(j, "5.3.4", "secured, the message is larger than the mail server takes");
	else {
		(void)snprintf(facts, sizeof facts, "encrypted=%s%s, keys=%u, signed=%s%s",
		    mode == MODE_ENCRYPT ? "pgp/mime" : "no",
		    in_brackets(keys, mode == MODE_ENCRYPT ? "" : unusable_keys(j, who, nwho)), nto,
		    hex, in_brackets(sign, c.signer == NULL ? j->first->why : ""));
		o.facts = facts;
		rc = send_copy(j, &o, &s);
	}
	spool_free(&s);
	return rc;
}

/* Gather recipients that share a copy, beginning with the first that has none. */
static int
next_copy(struct job *j, size_t first, struct pgp_recipient *to, struct rcpt_index *who)
{
	struct rcpt *r = &j->rcpts[first], *x;
	enum mode mode = r->mode;
	char facts[FACTS_MAX];
	unsigned nto = 0, got;
	size_t i, n = 0;
	int again;

	for (i = first; i < j->n; i++) {
		x = &j->rcpts[i];
		/* One who is named twice needs no second copy, and no second key. */
		again = i != first && strcmp(x->addr, r->addr) == 0;
		if (x->sent || x->mode != mode ||
		    (i != first && !again && (r->hidden || x->hidden)))
			continue;
		if (mode == MODE_ENCRYPT && !again) {
			if (nto + CERT_KEYS_USED > PGP_PKESK_MAX)
				continue; /* a further copy */
			got = usable_keys(j, x, &to[nto], CERT_KEYS_USED);
			nto += got;
		}
		x->sent = 1;
		who[n++].i = (uint16_t)i;
	}
	if (mode == MODE_UNCHANGED) {
		struct secure_out o = {.rcpts = {who, n}};

		unchanged_facts(j, who, n, facts);
		o.facts = facts;
		return send_unchanged(j, &o);
	}
	return make_copy(j, mode, to, nto, who, n);
}

static int
make_copies(struct job *j)
{
	size_t i,
	    keys = j->n < PGP_PKESK_MAX / CERT_KEYS_USED ? j->n * CERT_KEYS_USED : PGP_PKESK_MAX;
	struct pgp_recipient *to = calloc(keys, sizeof *to);
	struct rcpt_index *who = calloc(j->n, sizeof *who);
	int rc = 0;

	if (to == NULL || who == NULL)
		rc = defer(j, "4.3.0", "the gateway is out of memory; try again later");
	for (i = 0; rc == 0 && i < j->n; i++)
		if (!j->rcpts[i].sent)
			rc = next_copy(j, i, to, who);
	free(to);
	free(who);
	return rc;
}

static int
job_init(struct job *j, struct worker *w, const struct secure_req *q, uint64_t id)
{
	size_t i;

	memset(j, 0, sizeof *j);
	spool_init(&j->spool, 0, -1);
	spool_init(&j->masked, WORKER_MESSAGE_MAX, w->spooldir);
	buf_init(&j->subject, SUBJECT_MAX);
	buf_init(&j->sensitivity, SUBJECT_MAX);
	j->w = w;
	j->q = q;
	j->id = id;
	j->now = clock_unix();
	j->n = q->rcpts.n;
	j->rcpts = calloc(j->n, sizeof *j->rcpts);
	j->refusals = calloc(j->n, sizeof *j->refusals);
	j->refusal_text = calloc(j->n, sizeof *j->refusal_text);
	if (j->rcpts == NULL || j->refusals == NULL || j->refusal_text == NULL)
		return defer(j, "4.3.0", "the gateway is out of memory; try again later");
	for (i = 0; i < j->n; i++)
		j->rcpts[i].addr = q->rcpts.v[i].addr;
	j->rep.refusals.v = j->refusals;
	return 0;
}

static void
job_free(struct job *j)
{
	while (j->nplans > 0)
		kept_free(&j->plans[--j->nplans]);
	mail_header_free(&j->header);
	mail_index_free(&j->ix);
	spool_free(&j->spool);
	spool_free(&j->masked);
	buf_wipe_free(&j->subject);
	buf_wipe_free(&j->sensitivity);
	while (j->nnamed > 0)
		free(j->named[--j->nnamed]);
	free(j->named);
	free(j->rcpts);
	free(j->plans);
	free(j->refusals);
	free(j->refusal_text);
}

int
secure_message(struct worker *w, const struct secure_req *q, uint64_t id, int fd)
{
	struct job j;
	int rc;

	if (job_init(&j, w, q, id) == -1) {
		if (fd != -1)
			close(fd);
	} else if (read_message(&j, fd) == 0) {
		look_at_structure(&j);
		if (evaluate_policy(&j) == 0 && make_plan(&j) == 0 && list_named(&j) == 0 &&
		    choose_modes(&j) == 0 && mask_quotes(&j) == 0)
			(void)make_copies(&j);
	}
	if (j.rep.result != SECURE_REFUSE)
		j.rep.refusals.n = 0;
	j.rep.text = j.text;
	j.rep.dsn = j.dsn;
	rc = ipc_send(&w->proxy, M_secure_rep, id, &j.rep, -1, SEND_TIMEOUT);
	job_free(&j);
	return rc;
}
