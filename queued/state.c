/* States on their way to the disk: lazily, those of one round in one group. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "queued/queued.h"

#define BATCH 128 /* states in one group */
#define BATCH_RCPTS 2000 /* recipients in them */
#define MANY_RCPTS 100 /* of a message whose states are gathered for a while */
#define GATHER_MS 100
#define RETRY_MS 1000 /* after a failure to write */
#define FULL_MS 50 /* while too much waits for the disk */
#define REASONS_MAX (64 * 1024) /* octets of reasons in one record */

TAILQ_HEAD(dirty_list, msg);

static struct dirty_list now_list = TAILQ_HEAD_INITIALIZER(now_list);
static struct dirty_list later_list = TAILQ_HEAD_INITIALIZER(later_list); /* of many recipients */
static struct wake wake;
static uint64_t gathered; /* the later list becomes the present one then */
static uint64_t held_back; /* nothing is written before */

int
life_start(void)
{
	return wake_init(&wake, WAKE_DIRTY);
}

void
life_free(void)
{
	wake_end(&wake);
	TAILQ_INIT(&now_list);
	TAILQ_INIT(&later_list);
	gathered = held_back = 0;
}

static void
look_at(uint64_t at)
{
	if (wake.at > at)
		wake_set(&wake, at);
}

void
life_dirty(struct msg *m)
{
	if (m->dirty != DIRTY_NOT || m->gone)
		return;
	if (m->settling) {
		m->dirty = DIRTY_WAITS;
		return;
	}
	if (m->nrcpts <= MANY_RCPTS || m->left == 0) {
		m->dirty = DIRTY_NOW;
		TAILQ_INSERT_TAIL(&now_list, m, dirty_link);
		kick();
		return;
	}
	if (TAILQ_EMPTY(&later_list)) {
		gathered = Q.now + GATHER_MS;
		look_at(gathered);
	}
	m->dirty = DIRTY_LATER;
	TAILQ_INSERT_TAIL(&later_list, m, dirty_link);
}

static unsigned
disk_state(const struct rcpt *r)
{
	switch ((enum rcpt_state)r->state) {
	case R_TASK:
		return r->hold ? QS_HELD + 1 : QS_WAITING + 1;
	case R_FAILED: /* known to nobody yet: after a crash it is tried once more */
		return QS_WAITING + 1;
	case R_DELIVERED: /* after a crash the sender is told, and it is not tried */
		return QS_ACTIVE + 1;
	case R_DEFERRED:
		return QS_DEFERRED + 1;
	case R_HELD:
		return QS_HELD + 1;
	default:
		return 0;
	}
}

void
life_settling(struct msg *m)
{
	size_t i;

	if (m->dirty == DIRTY_NOW)
		TAILQ_REMOVE(&now_list, m, dirty_link);
	else if (m->dirty == DIRTY_LATER)
		TAILQ_REMOVE(&later_list, m, dirty_link);
	m->dirty = DIRTY_NOT;
	m->settling = 1;
	m->ends = 1;
	for (i = 0; i < m->nrcpts; i++)
		if (disk_state(&m->rcpts[i]) != 0)
			m->ends = 0;
}

int
life_unsettling(struct msg *m, int ok)
{
	int was = m->dirty;

	m->settling = 0;
	m->dirty = DIRTY_NOT;
	if (ok && m->ends)
		return DIRTY_NOT; /* whatever came meanwhile: nothing is left to be written */
	if (was != DIRTY_NOT || !ok)
		life_dirty(m);
	return was;
}

void
life_state(const struct msg *m, struct qstore_state *s)
{
	static struct qstore_rcpt rcpts[RCPTS_MAX];
	static char texts[REASONS_MAX + RCPTS_MAX];
	size_t i, room = REASONS_MAX / m->nrcpts, n = 0;
	const struct rcpt *r;

	*s = (struct qstore_state){
	    .attempts = m->attempts, .next = m->next, .rcpts = {rcpts, m->nrcpts}};
	for (i = 0; i < m->nrcpts; i++) {
		r = &m->rcpts[i];
		rcpts[i] = (struct qstore_rcpt){.state = (uint8_t)disk_state(r)};
		if (rcpts[i].state == 0)
			continue;
		/* 2: in a group that makes it so. */
		rcpts[i].told = r->state == R_DELIVERED ? r->relayed : r->told != 0;
		if (r->diag == NULL)
			continue;
		rcpts[i].dsn = r->diag->dsn;
		rcpts[i].mta = strlen(diag_mta(r->diag)) <= 255 ? diag_mta(r->diag) : "";
		rcpts[i].text = diag_text(r->diag);
		if (strlen(rcpts[i].text) <= room)
			continue;
		rcpts[i].text = texts + n;
		(void)strlcpy(texts + n, diag_text(r->diag), room + 1);
		n += room + 1;
	}
}

/* One group. How many, or -1: not now. */
static int
write_batch(void)
{
	struct msg *batch[BATCH], *m;
	struct qstore_state s;
	size_t rcpts = 0;
	int i, n = 0;

	if (qstore_begin(Q.store) == -1)
		return -1;
	TAILQ_FOREACH (m, &now_list, dirty_link) {
		if (n == BATCH || (n > 0 && rcpts + m->nrcpts > BATCH_RCPTS))
			break;
		rcpts += m->nrcpts;
		life_state(m, &s);
		if (qstore_change(Q.store, m->id, &s) == -1)
			goto fail;
		batch[n++] = m;
	}
	if (qstore_commit(Q.store, 1, NULL, NULL) == -1)
		goto fail;
	for (i = 0; i < n; i++) {
		TAILQ_REMOVE(&now_list, batch[i], dirty_link);
		batch[i]->dirty = DIRTY_NOT;
		if (batch[i]->left == 0)
			life_forget(batch[i]);
	}
	return n;
fail:
	i = errno;
	qstore_abort(Q.store);
	if ((errno = i) != EINVAL || m == NULL)
		return -1;
	/* It must not keep the others from the disk. */
	log_err("%s: its state is refused by the store", msg_text(m, MT_QID));
	TAILQ_REMOVE(&now_list, m, dirty_link);
	m->dirty = DIRTY_NOT;
	return 0;
}

void
life_write(void)
{
	static uint64_t complained;
	struct msg *m;

	if (!TAILQ_EMPTY(&later_list) && (gathered <= Q.now || Q.draining))
		while ((m = TAILQ_FIRST(&later_list)) != NULL) {
			TAILQ_REMOVE(&later_list, m, dirty_link);
			m->dirty = DIRTY_NOW;
			TAILQ_INSERT_TAIL(&now_list, m, dirty_link);
		}
	if (TAILQ_EMPTY(&now_list))
		return;
	if (held_back > Q.now) {
		look_at(held_back);
		return;
	}
	held_back = 0;
	while (!TAILQ_EMPTY(&now_list))
		if (write_batch() == -1) {
			held_back = Q.now + (errno == EAGAIN ? FULL_MS : RETRY_MS);
			if (errno != EAGAIN && Q.now - complained > 60000) {
				log_err("states of messages cannot be written: %s; what was "
					"delivered could be delivered again after a crash",
				    strerror(errno));
				complained = Q.now;
			}
			look_at(held_back);
			return;
		}
}

void
life_write_now(void)
{
	gathered = held_back = 0;
	kick();
}

int
life_unwritten(void)
{
	return !TAILQ_EMPTY(&now_list) || !TAILQ_EMPTY(&later_list);
}
