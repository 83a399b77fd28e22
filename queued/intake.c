/* What comes in: groups of messages from smtpd and anvild, into the store, answered when durable.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "queued/queued.h"

/* Begun and not complete, of all channels: one for each session at most. */
#define GROUPS_MAX 16384
#define BUCKETS 256
#define PARTS_MAX 1000 /* messages of one group: one for each recipient at most */
#define HELD_MAX (64 * 1024 * 1024) /* octets of parts whose group is not complete */
#define FILES_MAX 512 /* descriptors of such parts */
#define OLD_MS (24 * 3600 * 1000ULL) /* nobody holds a message so long before it is queued */
#define GROWTH (4 * 1024 * 1024) /* octets that encryption and trace fields may add */

/* A part that waits for the next ones: a copy, for its frame goes. */
struct part {
	STAILQ_ENTRY(part) next;
	struct queue_put_req *q; /* strings point into mem */
	struct buf mem;
	int fd, has_file;
};

/* A group that has begun. */
struct open_group {
	LIST_ENTRY(open_group) next;
	enum proc_id peer;
	unsigned instance;
	struct chan *chan;
	uint64_t id;
	unsigned n;
	int refused;
	STAILQ_HEAD(, part) parts;
};

/* A group on its way to the disk, and afterwards its answer. */
struct group {
	TAILQ_ENTRY(group) next;
	enum proc_id peer;
	unsigned instance;
	uint32_t life; /* of the channel: a new one gets no answers for the old */
	uint64_t id;
	int ok;
	char why[256];
	unsigned n;
	struct msg *msgs[];
};

static LIST_HEAD(, open_group) groups[BUCKETS]; /* by their ids */
static TAILQ_HEAD(, group) to_disk = TAILQ_HEAD_INITIALIZER(to_disk);
static TAILQ_HEAD(, group) answers = TAILQ_HEAD_INITIALIZER(answers);
static unsigned ngroups, waiting, files;
static size_t held;
static uint32_t lives[P_MAX][INSTANCES];
static uint8_t confused[P_MAX][INSTANCES]; /* a part was lost: nothing of that channel is taken */

unsigned
intake_waiting(void)
{
	return waiting;
}

static void
reply(struct chan *c, uint64_t id, enum queue_status status, const char *text)
{
	struct queue_put_rep p = {.status = (uint8_t)status, .text = text};

	Q.tally.refused += status != QUEUE_OK;
	(void)chan_send(c, M_queue_put_rep, id, &p, -1);
}

/* ---- groups that are not complete ---- */

static void
part_free(struct part *p)
{
	files -= p->has_file;
	if (p->fd != -1)
		close(p->fd);
	held -= p->mem.size;
	free(p->q);
	buf_free(&p->mem);
	free(p);
}

static void
empty(struct open_group *g)
{
	struct part *p;

	while ((p = STAILQ_FIRST(&g->parts)) != NULL) {
		STAILQ_REMOVE_HEAD(&g->parts, next);
		part_free(p);
	}
}

static void
group_drop(struct open_group *g)
{
	empty(g);
	LIST_REMOVE(g, next);
	ngroups--;
	free(g);
}

static struct open_group *
group_of(struct chan *c, uint64_t id)
{
	struct open_group *g;

	LIST_FOREACH (g, &groups[id % BUCKETS], next)
		if (g->chan == c && g->id == id)
			return g;
	return NULL;
}

static struct open_group *
group_new(struct chan *c, uint64_t id)
{
	struct open_group *g;

	if (ngroups >= GROUPS_MAX || (g = calloc(1, sizeof *g)) == NULL)
		return NULL;
	STAILQ_INIT(&g->parts);
	g->peer = chan_peer(c);
	g->instance = chan_instance(c);
	g->chan = c;
	g->id = id;
	LIST_INSERT_HEAD(&groups[id % BUCKETS], g, next);
	ngroups++;
	return g;
}

/* Keep a part; it fails for want of room only. */
static int
keep(struct open_group *g, struct ipc_msg *m)
{
	struct part *p;

	if (g->n >= PARTS_MAX || held > HELD_MAX || (m->fd != -1 && files >= FILES_MAX) ||
	    (p = calloc(1, sizeof *p)) == NULL)
		return -1;
	p->fd = -1;
	buf_init(&p->mem, IPC_FRAME_MAX);
	if (rec_encode(&rec_queue_put_req, m->body, &p->mem) == -1 ||
	    (p->q = rec_decode(&rec_queue_put_req, buf_ptr(&p->mem), buf_len(&p->mem))) == NULL) {
		buf_free(&p->mem);
		free(p);
		return -1;
	}
	held += p->mem.size;
	p->fd = m->fd;
	p->has_file = m->fd != -1;
	files += (unsigned)p->has_file;
	m->fd = -1;
	STAILQ_INSERT_TAIL(&g->parts, p, next);
	g->n++;
	return 0;
}

/* ---- into the store ---- */

static int
is_clean(const char *s)
{
	for (; *s != '\0'; s++)
		if ((uint8_t)*s < ' ' || *s == 0x7f)
			return 0;
	return 1;
}

/* What no honest smtpd sends: whoever reads it later need not look again. NULL, or what it is. */
static const char *
wrong(const struct queue_put_req *q)
{
	const struct envelope *e = q->envelope.v;
	size_t i;

	if (strspn(e->qid, "0123456789ABCDEF") != strlen(e->qid) ||
	    strspn(e->tx, "0123456789ABCDEF") != strlen(e->tx))
		return "a queue id is not hexadecimal";
	if (!is_clean(e->sender) || !is_clean(e->envid) || !is_clean(e->tenant) ||
	    !is_clean(e->connector))
		return "controls in the envelope";
	for (i = 0; i < q->rcpts.n; i++)
		if (!is_clean(q->rcpts.v[i].addr) || !is_clean(q->rcpts.v[i].orcpt))
			return "controls in a recipient";
	return msg_find(e->qid) != NULL ? "its queue id is in use" : NULL;
}

/* One message into the group that is open in the store. 0, or -1 with errno and why. */
static int
store_one(struct group *g, const struct queue_put_req *q, int *fd, const char **why)
{
	const struct conf_limits *limits = &Q.conf->limits;
	struct envelope e = q->envelope.v[0];
	struct qstore_entry entry = {.envelope = {&e, 1}, .rcpts = {q->rcpts.v, q->rcpts.n}};
	struct spool s;
	struct msg *m;
	int rc = -1;

	if ((*why = wrong(q)) != NULL) {
		errno = EINVAL;
		return -1;
	}
	if (e.arrived > Q.now || Q.now - e.arrived > OLD_MS)
		e.arrived = Q.now;
	if (spool_receive(&s, &q->message.v[0], *fd, 2 * limits->message_size + GROWTH) == -1) {
		*why = "its octets are not what it says";
		return -1;
	}
	*fd = -1;
	entry.size = s.size;
	if ((m = msg_new(&e, q->rcpts.v, q->rcpts.n, s.size, NULL)) == NULL)
		goto out;
	m->before = (uint32_t)(Q.now - e.arrived);
	if (qstore_add_spool(Q.store, &entry, &s, &m->id) == -1) {
		msg_free(m);
		goto out;
	}
	g->msgs[g->n++] = m;
	rc = 0;
out:
	*why = rc == -1 ? strerror(errno) : NULL;
	spool_free(&s);
	return rc;
}

static void
group_free(struct group *g)
{
	while (g->n > 0)
		msg_free(g->msgs[--g->n]);
	free(g);
}

static void
on_durable(void *arg, int ok, const char *why)
{
	struct group *g = arg;

	g->ok = ok;
	(void)strlcpy(g->why, why != NULL ? why : "", sizeof g->why);
	TAILQ_REMOVE(&to_disk, g, next);
	TAILQ_INSERT_TAIL(&answers, g, next);
	kick();
}

static enum queue_status
status_of(int error)
{
	return error == ENOSPC ? QUEUE_FULL : error == EAGAIN ? QUEUE_BUSY : QUEUE_FAILED;
}

/* The parts of og, if there are any, and then q, whose descriptor is *fd. */
static void
take(struct chan *c, uint64_t id, struct open_group *og, const struct queue_put_req *q, int *fd)
{
	unsigned n = 1 + (og != NULL ? og->n : 0);
	struct group *g = calloc(1, sizeof *g + n * sizeof g->msgs[0]);
	const char *why = NULL;
	struct part *p;
	int error;

	if (g == NULL || qstore_begin(Q.store) == -1) {
		error = g == NULL ? ENOMEM : errno;
		free(g);
		reply(c, id, status_of(error), strerror(error));
		return;
	}
	g->peer = chan_peer(c);
	g->instance = chan_instance(c);
	g->life = lives[g->peer][g->instance % INSTANCES];
	g->id = id;
	if (og != NULL)
		STAILQ_FOREACH (p, &og->parts, next)
			if (store_one(g, p->q, &p->fd, &why) == -1)
				goto fail;
	if (store_one(g, q, fd, &why) == -1)
		goto fail;
	if (qstore_commit(Q.store, 0, on_durable, g) == 0) {
		TAILQ_INSERT_TAIL(&to_disk, g, next);
		waiting++;
		return;
	}
fail:
	error = errno;
	qstore_abort(Q.store);
	if (status_of(error) == QUEUE_FAILED)
		log_warn("a message from %s is refused: %s", proc_name(chan_peer(c)),
		    why != NULL ? why : strerror(error));
	reply(c, id, status_of(error), why != NULL ? why : strerror(error));
	group_free(g);
}

static void
confuse(struct chan *c)
{
	uint8_t *is = &confused[chan_peer(c)][chan_instance(c) % INSTANCES];

	if (!*is)
		log_err("%s %u has begun too many groups of messages: nothing more is taken of it",
		    proc_name(chan_peer(c)), chan_instance(c));
	*is = 1;
}

void
on_put(struct chan *c, struct ipc_msg *m)
{
	const struct queue_put_req *q = m->body;
	struct open_group *g = group_of(c, m->id);
	char why[256];

	if (Q.store == NULL || Q.draining) {
		if (!q->more)
			reply(c, m->id, QUEUE_BUSY, "the queue is closing");
		return;
	}
	round_begin();
	if (q->more) {
		/* What cannot be kept is refused with the last one. */
		if (g == NULL && (g = group_new(c, m->id)) == NULL)
			confuse(c);
		else if (!g->refused && keep(g, m) == -1) {
			g->refused = 1;
			empty(g);
		}
		return;
	}
	if (confused[chan_peer(c)][chan_instance(c) % INSTANCES])
		reply(c, m->id, QUEUE_FAILED, "a part of a message was lost");
	else if (qstore_full(Q.store, why, sizeof why))
		reply(c, m->id, QUEUE_FULL, why);
	else if (g != NULL && g->refused)
		reply(c, m->id, QUEUE_BUSY, "too much of unfinished groups waits");
	else
		take(c, m->id, g, q, &m->fd);
	if (g != NULL)
		group_drop(g);
}

/* ---- afterwards ---- */

/* A queue id that was given twice: the later one gets a new name, for the log. */
static struct msg *
rename_it(struct msg *m)
{
	struct queue_rcpt *rcpts = calloc(m->nrcpts, sizeof *rcpts);
	struct envelope e;
	char qid[QID_LEN];
	struct msg *fresh;
	size_t i;

	if (rcpts == NULL)
		return NULL;
	qid_new(qid);
	log_warn("queue id %s was given twice: one is %s now", msg_text(m, MT_QID), qid);
	msg_envelope(m, &e);
	e.qid = qid;
	for (i = 0; i < m->nrcpts; i++)
		rcpts[i] = (struct queue_rcpt){rcpt_addr(m, &m->rcpts[i]),
		    rcpt_orcpt(m, &m->rcpts[i]), m->rcpts[i].notify, ""};
	if ((fresh = msg_new(&e, rcpts, m->nrcpts, m->size, NULL)) != NULL) {
		fresh->id = m->id;
		fresh->before = m->before;
		fresh->attempts = m->attempts;
		fresh->next = m->next;
		fresh->settle_at = m->settle_at;
		fresh->left = m->left;
		for (i = 0; i < m->nrcpts; i++) {
			fresh->rcpts[i].state = m->rcpts[i].state;
			fresh->rcpts[i].told = m->rcpts[i].told;
			fresh->rcpts[i].relayed = m->rcpts[i].relayed;
			rcpt_diag(&fresh->rcpts[i], m->rcpts[i].diag);
		}
		msg_free(m);
	}
	free(rcpts);
	return fresh;
}

struct msg *
intake_link(struct msg *m)
{
	struct msg *fresh;

	if (msg_link(m) == 0)
		return m;
	if (errno == EEXIST && (fresh = rename_it(m)) != NULL) {
		if (msg_link(fresh) == 0)
			return fresh;
		m = fresh;
	}
	/* It is on the disk: the next start finds it. */
	log_err("%s cannot be delivered before a restart: no memory", msg_text(m, MT_QID));
	msg_free(m);
	return NULL;
}

static void
welcome(struct msg *m)
{
	size_t i;

	if ((m = intake_link(m)) == NULL)
		return;
	Q.tally.queued++;
	log_msg(m, EV_QUEUED, "");
	for (i = 0; i < m->nrcpts; i++)
		if (m->rcpts[i].state == R_HELD)
			log_rcpt(m, &m->rcpts[i], ES_NONE, "",
			    m->rcpts[i].diag != NULL ? diag_text(m->rcpts[i].diag) : "");
	life_begin(m);
}

void
intake_answer(void)
{
	struct group *g;
	struct chan *c;
	unsigned i;

	if (TAILQ_EMPTY(&answers))
		return;
	TAILQ_FOREACH (g, &answers, next)
		if (g->ok)
			for (i = 0; i < g->n; i++) {
				welcome(g->msgs[i]);
				g->msgs[i] = NULL;
			}
	/* Once somebody was told 250, the log can say to whom. */
	proc_log_push();
	while ((g = TAILQ_FIRST(&answers)) != NULL) {
		TAILQ_REMOVE(&answers, g, next);
		waiting--;
		c = proc_chan(g->peer, g->instance);
		if (c != NULL && lives[g->peer][g->instance % INSTANCES] == g->life)
			reply(c, g->id, g->ok ? QUEUE_OK : QUEUE_FAILED, g->why);
		if (g->ok)
			g->n = 0;
		group_free(g);
	}
}

static void
tell_room(struct chan *c)
{
	char why[256] = "";
	struct queue_room r = {.full = 0, .text = why};

	r.full = (uint8_t)qstore_full(Q.store, why, sizeof why);
	(void)chan_send(c, M_queue_room, 0, &r, -1);
}

void
intake_room(void *arg)
{
	struct chan *c;
	char why[256];
	unsigned i;

	(void)arg;
	if (qstore_full(Q.store, why, sizeof why))
		log_warn("the queue takes no more messages: %s", why);
	else
		log_info("the queue takes messages again");
	for (i = 0; i < INSTANCES; i++)
		if ((c = proc_chan(P_SMTPD, i)) != NULL)
			tell_room(c);
}

void
intake_plumbed(enum proc_id peer, unsigned instance, struct chan *c)
{
	struct open_group *g, *next;
	unsigned i;

	if (instance >= INSTANCES)
		return;
	lives[peer][instance]++;
	confused[peer][instance] = 0;
	/* Groups that the one before has not finished: nothing of them was promised. */
	for (i = 0; i < BUCKETS; i++)
		LIST_FOREACH_SAFE (g, &groups[i], next, next)
			if (g->peer == peer && g->instance == instance && g->chan != c)
				group_drop(g);
	if (c != NULL && peer == P_SMTPD && Q.store != NULL)
		tell_room(c);
}

void
intake_free(void)
{
	struct group *g;
	unsigned i;

	for (i = 0; i < BUCKETS; i++)
		while (!LIST_EMPTY(&groups[i]))
			group_drop(LIST_FIRST(&groups[i]));
	TAILQ_CONCAT(&answers, &to_disk, next);
	while ((g = TAILQ_FIRST(&answers)) != NULL) {
		TAILQ_REMOVE(&answers, g, next);
		group_free(g);
	}
	waiting = 0;
}
