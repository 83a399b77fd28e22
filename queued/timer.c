/* A heap of times, served by one timer of the loop (round.c). */
#include <errno.h>
#include <stdlib.h>

#include "queued/queued.h"

#define WAKES_AT_ONCE 1000 /* before channels get their turn */

static struct {
	struct wake **v; /* from 1 on */
	uint32_t n, room;
	uint32_t known; /* initialised ones: all of them may be in it at once */
} H;

static void
put(uint32_t pos, struct wake *w)
{
	H.v[pos] = w;
	w->pos = pos;
}

static void
up(uint32_t pos, struct wake *w)
{
	for (; pos > 1 && H.v[pos / 2]->at > w->at; pos /= 2)
		put(pos, H.v[pos / 2]);
	put(pos, w);
}

static void
down(uint32_t pos, struct wake *w)
{
	uint32_t child;

	for (; (child = 2 * pos) <= H.n; pos = child) {
		if (child < H.n && H.v[child + 1]->at < H.v[child]->at)
			child++;
		if (H.v[child]->at >= w->at)
			break;
		put(pos, H.v[child]);
	}
	put(pos, w);
}

int
wake_init(struct wake *w, enum wake_kind kind)
{
	uint32_t room = H.room == 0 ? 1024 : 2 * H.room;
	void *p;

	if (H.known + 2 > H.room) {
		if (room < H.room || (p = reallocarray(H.v, room, sizeof(struct wake *))) == NULL) {
			errno = ENOMEM;
			return -1;
		}
		H.v = p;
		H.room = room;
	}
	H.known++;
	*w = (struct wake){.at = NEVER, .kind = (uint8_t)kind};
	return 0;
}

static void
take_out(struct wake *w)
{
	uint32_t pos = w->pos;
	struct wake *last;

	if (pos == 0)
		return;
	last = H.v[H.n--];
	w->pos = 0;
	if (last == w)
		return;
	if (pos > 1 && H.v[pos / 2]->at > last->at)
		up(pos, last);
	else
		down(pos, last);
}

void
wake_end(struct wake *w)
{
	take_out(w);
	H.known--;
}

void
wake_set(struct wake *w, uint64_t at)
{
	uint64_t was = w->at;

	if (at == NEVER) {
		take_out(w);
		w->at = at;
		return;
	}
	w->at = at;
	if (w->pos == 0)
		up(++H.n, w);
	else if (at < was)
		up(w->pos, w);
	else if (at > was)
		down(w->pos, w);
	if (H.v[1] == w)
		kick(); /* the loop's timer has to be set anew */
}

void
wake_set_back(uint64_t ms)
{
	uint32_t i;

	/* Their order stays. */
	for (i = 1; i <= H.n; i++)
		H.v[i]->at -= H.v[i]->at < ms ? H.v[i]->at : ms;
	kick();
}

uint64_t
wake_next(void)
{
	return H.n > 0 ? H.v[1]->at : NEVER;
}

static void
fire(struct wake *w)
{
	switch ((enum wake_kind)w->kind) {
	case WAKE_MSG:
		life_wake((struct msg *)(void *)((char *)w - offsetof(struct msg, wake)));
		break;
	case WAKE_DEST:
		dest_wake((struct dest *)(void *)((char *)w - offsetof(struct dest, wake)));
		break;
	case WAKE_JOBS:
		jobs_overdue();
		break;
	default:
		/* The tick that follows does what waited for it. */
		break;
	}
}

void
wake_run(void)
{
	struct wake *w;
	unsigned i;

	for (i = 0; i < WAKES_AT_ONCE && H.n > 0 && H.v[1]->at <= Q.now; i++) {
		w = H.v[1];
		take_out(w);
		w->at = NEVER;
		fire(w);
	}
	kick();
}

void
wake_free(void)
{
	free(H.v);
	H.v = NULL;
	H.n = H.room = H.known = 0;
}
