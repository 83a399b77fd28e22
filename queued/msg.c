/* Messages in memory: made, found, counted. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "queued/queued.h"

#define BUCKETS_FIRST 1024
#define SERIAL_MARK 0xff /* of ids made here; those of smtpd end with an instance below 64 */

static int
by_number(const struct msg *a, const struct msg *b)
{
	return a->number < b->number ? -1 : a->number > b->number;
}

RB_HEAD(msg_tree, msg);
RB_GENERATE_INTERNAL(msg_tree, msg, tree, by_number, __attribute__((unused)) static)

static struct msg_tree all = RB_INITIALIZER(&all);
static struct {
	struct msg **buckets;
	uint32_t n; /* a power of 2 */
	uint32_t used;
} H;
static uint64_t last_number, count;

/* ---- reasons ---- */

struct diag *
diag_new(const char *dsn, const char *mta, const char *text)
{
	size_t nd = strlen(dsn) + 1, nm = strlen(mta) + 1, nt = strlen(text) + 1;
	struct diag *d = malloc(sizeof *d + nd + nm + nt);

	if (d == NULL)
		return NULL;
	d->refs = 1;
	d->mta = (uint16_t)nd;
	d->text = (uint16_t)(nd + nm);
	memcpy(d->dsn, dsn, nd);
	memcpy(d->dsn + nd, mta, nm);
	memcpy(d->dsn + nd + nm, text, nt);
	return d;
}

void
diag_free(struct diag *d)
{
	if (d != NULL && --d->refs == 0)
		free(d);
}

void
rcpt_diag(struct rcpt *r, struct diag *d)
{
	if (d != NULL)
		d->refs++;
	diag_free(r->diag);
	r->diag = d;
}

/* ---- the text behind the recipients ---- */

static char *
text_of(const struct msg *m)
{
	return (char *)(uintptr_t)(const void *)&m->rcpts[m->nrcpts];
}

const char *
msg_text(const struct msg *m, enum msg_text which)
{
	return text_of(m) + m->at[which];
}

const char *
rcpt_addr(const struct msg *m, const struct rcpt *r)
{
	return text_of(m) + r->off;
}

const char *
rcpt_orcpt(const struct msg *m, const struct rcpt *r)
{
	const char *addr = rcpt_addr(m, r);

	return addr + strlen(addr) + 1;
}

static size_t
octets_of(const char *s)
{
	return s != NULL ? strlen(s) + 1 : 1;
}

static size_t
put_text(struct msg *m, size_t off, const char *s)
{
	size_t n = octets_of(s);

	memcpy(text_of(m) + off, s != NULL ? s : "", n);
	return off + n;
}

void
msg_envelope(const struct msg *m, struct envelope *e)
{
	*e = (struct envelope){
	    .qid = msg_text(m, MT_QID),
	    .tx = msg_text(m, MT_TX),
	    .tenant = msg_text(m, MT_TENANT),
	    .connector = msg_text(m, MT_CONNECTOR),
	    .sender = msg_text(m, MT_SENDER),
	    .envid = msg_text(m, MT_ENVID),
	    .ret = m->ret,
	    .body = m->body,
	    .smtputf8 = m->smtputf8,
	    .requiretls = m->requiretls,
	    .conceal = m->conceal,
	    .priority = m->priority,
	    .arrived = m->arrived,
	    .msgid = msg_text(m, MT_MSGID),
	};
}

/* ---- making ---- */

/* What the disk says of a recipient; state NULL: it is new. */
static void
set_rcpt(struct msg *m, struct rcpt *r, const struct queue_rcpt *q, const struct qstore_rcpt *state)
{
	struct diag *d = NULL;
	unsigned s = state != NULL ? state->state : q->hold[0] != '\0' ? QS_HELD + 1 : 1;

	r->notify = q->notify;
	r->state = s == 0 ? R_DONE : s == QS_HELD + 1 ? R_HELD : R_DEFERRED;
	if (state != NULL && s == QS_ACTIVE + 1) {
		r->state = R_DELIVERED;
		m->settle_at = 1; /* as soon as possible */
	}
	m->left += r->state != R_DONE;
	if (state != NULL) {
		r->told = r->state != R_DELIVERED && state->told;
		r->relayed = r->state == R_DELIVERED && state->told;
		if (state->text[0] != '\0' || state->dsn[0] != '\0')
			d = diag_new(state->dsn, state->mta, state->text);
	} else if (q->hold[0] != '\0')
		d = diag_new("", "", q->hold);
	/* Without memory the reason is missing, nothing else. */
	rcpt_diag(r, d);
	diag_free(d);
}

struct msg *
msg_new(const struct envelope *e, const struct queue_rcpt *rcpts, size_t n, uint64_t size,
    const struct qstore_state *state)
{
	const char *const texts[MT_TEXTS] = {
	    e->qid, e->tx, e->tenant, e->connector, e->sender, e->envid, e->msgid};
	size_t i, text = 0, off = 0;
	int known = state != NULL && state->rcpts.n == n;
	struct msg *m;

	for (i = 0; i < MT_TEXTS; i++)
		text += octets_of(texts[i]);
	for (i = 0; i < n; i++)
		text += octets_of(rcpts[i].addr) + octets_of(rcpts[i].orcpt);
	if ((m = calloc(1, sizeof *m + n * sizeof m->rcpts[0] + text)) == NULL)
		return NULL;
	if (wake_init(&m->wake, WAKE_MSG) == -1) {
		free(m);
		return NULL;
	}
	LIST_INIT(&m->tasks);
	m->nrcpts = (uint16_t)n;
	m->packed = (uint32_t)text;
	m->size = size;
	m->arrived = e->arrived;
	m->ret = e->ret;
	m->body = e->body;
	m->priority = e->priority;
	m->smtputf8 = e->smtputf8 & 1;
	m->requiretls = e->requiretls & 1;
	m->conceal = e->conceal & 1;
	if (state != NULL) {
		m->attempts = state->attempts;
		m->next = state->next;
	}
	for (i = 0; i < MT_TEXTS; i++) {
		m->at[i] = (uint16_t)off;
		off = put_text(m, off, texts[i]);
	}
	for (i = 0; i < n; i++) {
		m->rcpts[i].off = (uint32_t)off;
		off = put_text(m, off, rcpts[i].addr);
		off = put_text(m, off, rcpts[i].orcpt);
		set_rcpt(m, &m->rcpts[i], &rcpts[i], known ? &state->rcpts.v[i] : NULL);
	}
	return m;
}

void
msg_free(struct msg *m)
{
	size_t i;

	wake_end(&m->wake);
	for (i = 0; i < m->nrcpts; i++)
		diag_free(m->rcpts[i].diag);
	free(m);
}

void
rcpt_set(struct msg *m, struct rcpt *r, enum rcpt_state state)
{
	Q.states[r->state]--;
	Q.states[state]++;
	m->left = (uint16_t)(m->left - (r->state != R_DONE) + (state != R_DONE));
	r->state = (uint8_t)state;
}

/* ---- indexes ---- */

/* FNV-1a */
static uint32_t
hash(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s != '\0'; s++)
		h = (h ^ (uint8_t)*s) * 16777619u;
	return h;
}

static int
grow(void)
{
	uint32_t n = H.n == 0 ? BUCKETS_FIRST : 2 * H.n, i;
	struct msg **fresh, *m, *next, **at;

	if (n < H.n || (fresh = calloc(n, sizeof(struct msg *))) == NULL)
		return -1;
	for (i = 0; i < H.n; i++)
		for (m = H.buckets[i]; m != NULL; m = next) {
			next = m->hash_next;
			at = &fresh[hash(msg_text(m, MT_QID)) & (n - 1)];
			m->hash_next = *at;
			*at = m;
		}
	free(H.buckets);
	H.buckets = fresh;
	H.n = n;
	return 0;
}

static struct msg **
bucket(const char *qid)
{
	return &H.buckets[hash(qid) & (H.n - 1)];
}

struct msg *
msg_find(const char *qid)
{
	struct msg *m;

	if (H.n == 0)
		return NULL;
	for (m = *bucket(qid); m != NULL; m = m->hash_next)
		if (strcmp(msg_text(m, MT_QID), qid) == 0)
			return m;
	return NULL;
}

int
msg_link(struct msg *m)
{
	struct msg **at;
	size_t i;

	/* Fuller buckets do as well, but for the first ones. */
	if (H.used >= H.n && grow() == -1 && H.n == 0) {
		errno = ENOMEM;
		return -1;
	}
	if (msg_find(msg_text(m, MT_QID)) != NULL) {
		errno = EEXIST;
		return -1;
	}
	m->number = ++last_number;
	at = bucket(msg_text(m, MT_QID));
	m->hash_next = *at;
	*at = m;
	H.used++;
	(void)RB_INSERT(msg_tree, &all, m);
	count++;
	for (i = 0; i < m->nrcpts; i++)
		Q.states[m->rcpts[i].state]++;
	return 0;
}

void
msg_unlink(struct msg *m)
{
	struct msg **at;
	size_t i;

	for (at = bucket(msg_text(m, MT_QID)); *at != m; at = &(*at)->hash_next)
		continue;
	*at = m->hash_next;
	H.used--;
	(void)RB_REMOVE(msg_tree, &all, m);
	for (i = 0; i < m->nrcpts; i++)
		Q.states[m->rcpts[i].state]--;
	count--;
}

void
msgs_free(void)
{
	struct msg *m;

	while ((m = RB_MIN(msg_tree, &all)) != NULL) {
		while (!LIST_EMPTY(&m->tasks))
			task_undo(LIST_FIRST(&m->tasks));
		msg_unlink(m);
		msg_free(m);
	}
	free(H.buckets);
	H.buckets = NULL;
	H.n = 0;
}

void
msgs_set_back(uint64_t ms)
{
	struct msg *m;

	RB_FOREACH(m, msg_tree, &all)
	life_set_back(m, ms);
}

struct msg *
msg_after(uint64_t number)
{
	struct msg key;

	key.number = number + 1;
	return RB_NFIND(msg_tree, &all, &key);
}

struct msg *
msg_last(void)
{
	return RB_MAX(msg_tree, &all);
}

uint64_t
msg_count(void)
{
	return count;
}

void
qid_new(char out[QID_LEN])
{
	static uint16_t serial;
	static int begun;

	/* Not those of the process before, in the same second. */
	if (!begun)
		serial = (uint16_t)arc4random();
	begun = 1;
	do
		(void)snprintf(out, QID_LEN, "%llX%04X%02X", (unsigned long long)clock_unix(),
		    (unsigned)serial++, SERIAL_MARK);
	while (msg_find(out) != NULL);
}
