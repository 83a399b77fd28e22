#include "policyd/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

RB_HEAD(session_tree, session);

static int
by_id(struct session *a, struct session *b)
{
	return memcmp(a->id, b->id, SESSION_ID);
}

RB_PROTOTYPE(session_tree, session, node, by_id)
RB_GENERATE(session_tree, session, node, by_id)

static struct session_tree sessions = RB_INITIALIZER(&sessions);
static unsigned nsessions;

/* Make room by dropping what nobody has used for long. */
static void
expire(void)
{
	struct session *s, *next;
	uint64_t now = clock_ms();

	RB_FOREACH_SAFE(s, session_tree, &sessions, next)
	if (now - s->used > SESSION_IDLE_MAX)
		session_free(s);
}

struct session *
session_new(enum proc_id proxy, unsigned instance)
{
	struct session *s;

	if (nsessions >= SESSIONS_MAX)
		expire();
	if (nsessions >= SESSIONS_MAX) {
		errno = EAGAIN;
		return NULL;
	}
	if ((s = calloc(1, sizeof *s)) == NULL)
		return NULL;
	s->proxy = proxy;
	s->instance = instance;
	s->used = clock_ms();
	do
		arc4random_buf(s->id, sizeof s->id);
	while (RB_INSERT(session_tree, &sessions, s) != NULL);
	nsessions++;
	return s;
}

struct session *
session_find(const uint8_t *id)
{
	struct session key, *s;

	memcpy(key.id, id, SESSION_ID);
	if ((s = RB_FIND(session_tree, &sessions, &key)) != NULL)
		s->used = clock_ms();
	return s;
}

void
session_free(struct session *s)
{
	RB_REMOVE(session_tree, &sessions, s);
	nsessions--;
	free(s);
}

void
session_forget(enum proc_id proxy, unsigned instance)
{
	struct session *s, *next;

	RB_FOREACH_SAFE(s, session_tree, &sessions, next)
	if (s->proxy == proxy && s->instance == instance)
		session_free(s);
}

unsigned
session_count(void)
{
	return nsessions;
}
