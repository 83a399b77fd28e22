/*
 * How many messages a second the queue makes durable: SESSIONS of them put one each and wait for
 * it, COUNT in all, of SIZE octets.  "keep" leaves them in the queue and shows how long the next
 * start takes; "pass" ends each as a delivery would.
 *
 *	queue_store FOLDER SESSIONS COUNT SIZE keep|pass
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "queue/qstore.h"

static struct qstore *store;
static struct event_base *base;
static unsigned long left, waiting, found;
static size_t size;
static int pass;
static uint8_t *body;

struct session {
	qstore_id id;
};

static double
now(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void put(struct session *x);

static void
on_done(void *arg, int ok, const char *why)
{
	struct qstore_rcpt gone = {.state = 0};
	struct qstore_state st = {.rcpts = {&gone, 1}};
	struct session *x = arg;

	if (!ok)
		errx(1, "%s", why);
	waiting--;
	if (pass && (qstore_begin(store) == -1 || qstore_change(store, x->id, &st) == -1 ||
			qstore_commit(store, 1, NULL, NULL) == -1))
		err(1, "end");
	if (left > 0)
		put(x);
	else if (waiting == 0)
		event_base_loopbreak(base);
}

static void
put(struct session *x)
{
	struct envelope env = {.qid = "0123456789AB",
	    .tx = "0123456789AB",
	    .tenant = "example",
	    .connector = "in",
	    .sender = "somebody@example.org",
	    .msgid = "<20261122.1234@mail.example.org>"};
	struct queue_rcpt rcpt = {.addr = "somebody.else@partner.example"};
	struct qstore_entry e = {.envelope = {&env, 1}, .rcpts = {&rcpt, 1}};
	struct octets o = octets_mem(body, size);

	if (qstore_begin(store) == -1 || qstore_add(store, &e, &o, &x->id) == -1 ||
	    qstore_commit(store, 0, on_done, x) == -1)
		err(1, "put");
	left--;
	waiting++;
}

static void
on_found(void *arg, qstore_id id, const struct qstore_entry *e, const struct qstore_state *st)
{
	(void)arg;
	(void)id;
	(void)e;
	(void)st;
	found++;
}

static void
open_store(const char *folder)
{
	const struct conf_queue conf = {
	    .size = 64ULL << 30, .segment = 16 << 20, .memory = 32 << 20};
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err e = {0};

	found = 0;
	if (dir == -1)
		err(1, "%s", folder);
	if ((store = qstore_open_dir(dir, &conf, on_found, NULL, &e)) == NULL ||
	    qstore_start(store, base, &e) == -1)
		errx(1, "%s", e.text);
}

int
main(int argc, char *argv[])
{
	unsigned long sessions, count, i;
	struct session *x;
	struct qstore_counts n;
	struct rusage ru;
	double start, cpu;

	if (argc != 6)
		errx(64, "usage: queue_store FOLDER SESSIONS COUNT SIZE keep|pass");
	sessions = strtoul(argv[2], NULL, 10);
	count = left = strtoul(argv[3], NULL, 10);
	size = strtoul(argv[4], NULL, 10);
	pass = strcmp(argv[5], "pass") == 0;
	if (sessions == 0 || sessions > count || (base = event_base_new()) == NULL ||
	    (x = calloc(sessions, sizeof *x)) == NULL || (body = malloc(size + 1)) == NULL)
		errx(64, "what is to be done?");
	memset(body, 'x', size);
	open_store(argv[1]);
	start = now(CLOCK_MONOTONIC);
	cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	for (i = 0; i < sessions; i++)
		put(&x[i]);
	(void)event_base_dispatch(base);
	start = now(CLOCK_MONOTONIC) - start;
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	qstore_count(store, &n);
	(void)getrusage(RUSAGE_SELF, &ru);
	printf("%.0f groups/s, %.1f us CPU each, %.1f groups a sync, %lu MiB on the disk, %ld MiB "
	       "of memory\n",
	    (double)count / start, cpu / (double)count * 1e6, (double)count / (double)n.syncs,
	    (unsigned long)(n.disk >> 20), ru.ru_maxrss >> 10);
	qstore_close(store);
	start = now(CLOCK_MONOTONIC);
	open_store(argv[1]);
	printf("start: %lu messages in %.3f s\n", found, now(CLOCK_MONOTONIC) - start);
	qstore_close(store);
	event_base_free(base);
	free(body);
	free(x);
	return 0;
}
