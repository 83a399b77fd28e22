/* Sockets that master alone can make: with a client's address as their source; to where logins are
 * checked. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "proc/internal.h"

#define SOURCE_MS 5000 /* master makes it at once, or is stuck */

struct proc_source {
	LIST_ENTRY(proc_source) next;
	struct chan_req *asked;
	proc_source_fn fn;
	void *arg;
};

static LIST_HEAD(, proc_source) sources = LIST_HEAD_INITIALIZER(sources);

static void
drop(struct proc_source *s)
{
	LIST_REMOVE(s, next);
	free(s);
}

/* source_rep and sasl_rep are the same but for their names. */
static void
on_answer(void *arg, struct ipc_msg *m, int error)
{
	const struct source_rep *p = m != NULL ? m->body : NULL;
	struct proc_source *s = arg;
	proc_source_fn fn = s->fn;
	const char *why = "";
	int fd = -1;

	arg = s->arg;
	drop(s);
	if (m == NULL)
		why = error == ETIMEDOUT ? "no answer from master" : strerrordesc_np(error);
	else if (!p->ok)
		why = p->text;
	else if (m->fd == -1)
		why = "master sent no socket";
	else {
		fd = m->fd;
		m->fd = -1;
	}
	fn(fd, why, arg);
}

static struct proc_source *
ask(uint16_t type, const void *q, proc_source_fn fn, void *arg)
{
	struct chan *master = proc_master();
	struct proc_source *s;

	if (master == NULL) {
		errno = EPIPE;
		return NULL;
	}
	if ((s = calloc(1, sizeof *s)) == NULL)
		return NULL;
	s->fn = fn;
	s->arg = arg;
	s->asked = chan_request(master, type, q, -1, SOURCE_MS, on_answer, s);
	if (s->asked == NULL) {
		free(s);
		return NULL;
	}
	LIST_INSERT_HEAD(&sources, s, next);
	return s;
}

struct proc_source *
proc_source(const char *connector, const uint8_t *ip, size_t n, proc_source_fn fn, void *arg)
{
	struct source_req q = {.connector = connector, .ip = {ip, n}};

	return ask(M_source_req, &q, fn, arg);
}

struct proc_source *
proc_sasl(const char *connector, proc_source_fn fn, void *arg)
{
	struct sasl_req q = {.connector = connector};

	return ask(M_sasl_req, &q, fn, arg);
}

void
proc_source_cancel(struct proc_source *s)
{
	if (s == NULL)
		return;
	chan_cancel(s->asked);
	drop(s);
}

void
sources_free(void)
{
	while (!LIST_EMPTY(&sources))
		proc_source_cancel(LIST_FIRST(&sources));
}
