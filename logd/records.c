#include "logd/records.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define AT_ONCE (4 * 1024 * 1024) /* octets that do not wait for the timer */
#define TRIM_ROUNDS 8 /* behind a commit */
#define AGAIN_S 30 /* between two attempts to open the archive */
#define TRIM_S 3600 /* records age also when none come */

enum state { CHECKING, OPENING, OPEN, FAILED };

struct records {
	char *dir, *name;
	uint64_t keep_ms, size;
	enum state state;
	struct thread *thread;
	struct event flush, again, told; /* told: of the child that checks */
	int told_fd;
	struct chunk_list held; /* the last one is being filled */
	size_t octets; /* held and under way */
	unsigned searches; /* under way */
	LIST_HEAD(, ask) asks;
	struct records_counts n;
	uint64_t unsaid; /* lost since the trouble began */
	void (*stop)(void *arg); /* to be done when the archive has been opened, or was not */
	void *stop_arg;
	struct archive *archive; /* the thread's */
};

/* What the thread is to do. */
struct task {
	struct job job; /* first */
	struct records *r;
	int aside; /* open: the old one is damaged */
	uint64_t size; /* open */
	struct chunk_list chunks; /* put */
	size_t octets;
	uint64_t oldest, count;
	struct archive_facts facts;
	int rc;
	struct err e;
	void (*fn)(void *arg); /* stop */
	void *arg;
};

struct ask {
	struct job job; /* first */
	LIST_ENTRY(ask) of_all;
	struct records *r;
	struct buf req, rep; /* encoded */
	uint64_t id;
	records_fn fn; /* NULL: nobody waits */
	void *arg;
	int rc;
	struct err e;
};

static void open_later(evutil_socket_t fd, short what, void *arg);
static void on_flush(evutil_socket_t fd, short what, void *arg);

struct records *
records_new(const struct records_options *o)
{
	struct records *r = calloc(1, sizeof *r);

	if (r == NULL)
		return NULL;
	STAILQ_INIT(&r->held);
	LIST_INIT(&r->asks);
	r->told_fd = -1;
	r->keep_ms = o->keep_ms;
	r->size = o->size;
	r->dir = strdup(o->dir);
	r->name = strdup(o->name);
	if (r->dir == NULL || r->name == NULL) {
		records_free(r);
		errno = ENOMEM;
		return NULL;
	}
	return r;
}

static void
trouble(struct records *r, const struct err *e)
{
	if (strcmp(r->n.trouble, e->text) != 0)
		log_warn("what happens is not recorded: %s", e->text);
	(void)strlcpy(r->n.trouble, e->text, sizeof r->n.trouble);
}

static void
well_again(struct records *r)
{
	if (r->unsaid > 0)
		log_warn("%llu events were not recorded", (unsigned long long)r->unsaid);
	r->unsaid = 0;
	r->n.trouble[0] = '\0';
}

static void
lose(struct records *r, uint64_t count)
{
	r->n.lost += count;
	r->unsaid += count;
}

static void
drop_chunks(struct chunk_list *l)
{
	struct chunk *c;

	while ((c = STAILQ_FIRST(l)) != NULL) {
		STAILQ_REMOVE_HEAD(l, next);
		chunk_free(c);
	}
}

/* Everything that is held, out of the list. Returns how many events. */
static uint64_t
take_held(struct records *r, struct chunk_list *to)
{
	struct chunk *c;
	uint64_t n = 0;

	STAILQ_FOREACH (c, &r->held, next)
		n += c->count;
	STAILQ_CONCAT(to, &r->held);
	(void)event_del(&r->flush);
	return n;
}

static struct task *
task_new(struct records *r, void (*work)(struct job *), void (*done)(struct job *))
{
	struct task *t = calloc(1, sizeof *t);

	if (t == NULL)
		return NULL;
	STAILQ_INIT(&t->chunks);
	t->job.work = work;
	t->job.done = done;
	t->r = r;
	return t;
}

/* ---- opening ---- */

static void
open_work(struct job *j)
{
	struct task *t = (struct task *)j;
	struct records *r = t->r;

	archive_close(r->archive);
	r->archive = NULL;
	if (t->aside && archive_set_aside(r->dir, &t->e) == -1)
		return;
	r->archive = archive_open(r->dir, r->name, t->size, &t->e);
	if (r->archive != NULL)
		(void)archive_facts(r->archive, &t->facts, NULL);
	t->rc = r->archive != NULL;
}

/* All that is held is lost, for who knows how long. */
static void
fail(struct records *r, const struct err *e)
{
	struct timeval tv = {AGAIN_S, 0};
	struct chunk_list l = STAILQ_HEAD_INITIALIZER(l);

	r->state = FAILED;
	lose(r, take_held(r, &l));
	drop_chunks(&l);
	r->octets = 0;
	trouble(r, e);
	(void)event_add(&r->again, &tv);
	if (r->stop != NULL)
		records_stop(r, r->stop, r->stop_arg);
}

static void
open_done(struct job *j)
{
	struct task *t = (struct task *)j;
	struct records *r = t->r;
	struct timeval tv = {0, RECORDS_FLUSH_MS * 1000};

	if (t->rc) {
		if (t->aside)
			log_warn("%s: it was damaged: put aside as damaged.mdb, a new one is begun",
			    r->name);
		r->state = OPEN;
		r->n.archive = t->facts;
		well_again(r);
		(void)event_add(&r->flush, &tv);
		if (r->stop != NULL)
			records_stop(r, r->stop, r->stop_arg);
	} else
		fail(r, &t->e);
	free(t);
}

static void
open_archive(struct records *r, int aside)
{
	struct task *t = task_new(r, open_work, open_done);
	struct err e;

	if (t == NULL) {
		(void)err_sys(&e, "%s", r->name);
		fail(r, &e);
		return;
	}
	r->state = OPENING;
	t->aside = aside;
	t->size = r->size;
	thread_do(r->thread, &t->job);
}

static void
open_later(evutil_socket_t fd, short what, void *arg)
{
	struct records *r = arg;

	(void)fd;
	(void)what;
	if (r->state == FAILED && r->thread != NULL)
		open_archive(r, 0);
}

/* The child has looked at everything. */
static void
on_told(evutil_socket_t fd, short what, void *arg)
{
	struct records *r = arg;
	struct err e = {0};

	(void)what;
	if (read(fd, &e, sizeof e) != sizeof e)
		(void)err_set(&e, EINTR, "%s: the check of it was ended", r->name);
	e.text[sizeof e.text - 1] = '\0';
	(void)event_del(&r->told);
	close(r->told_fd);
	r->told_fd = -1;
	if (e.code == EUCLEAN)
		log_warn("%s", e.text);
	if (e.code == 0 || e.code == EUCLEAN)
		open_archive(r, e.code == EUCLEAN);
	else
		fail(r, &e);
}

static void __attribute__((noreturn)) check_child(const struct records *r, int fd)
{
	struct err e = {0};

	/* No other process is to wait for the end of channels that this one inherited. */
	(void)close_range(3, (unsigned)fd - 1, 0);
	(void)close_range((unsigned)fd + 1, ~0U, 0);
	(void)signal(SIGCHLD, SIG_DFL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (archive_check(r->dir, r->name, r->size, &e) == 0)
		e.code = 0;
	(void)!write(fd, &e, sizeof e);
	_exit(0);
}

int
records_check(struct records *r, struct event_base *base, struct err *e)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) == -1)
		return err_sys(e, "%s: pipe", r->name);
	/* Nobody waits for it. */
	(void)signal(SIGCHLD, SIG_IGN);
	switch (fork()) {
	case -1:
		(void)err_sys(e, "%s: fork", r->name);
		close(p[0]);
		close(p[1]);
		return -1;
	case 0:
		check_child(r, p[1]);
	default:
		close(p[1]);
	}
	r->told_fd = p[0];
	if (evtimer_assign(&r->flush, base, on_flush, r) == -1 ||
	    evtimer_assign(&r->again, base, open_later, r) == -1 ||
	    event_assign(&r->told, base, r->told_fd, EV_READ, on_told, r) == -1)
		return err_sys(e, "%s: events", r->name);
	return 0;
}

int
records_start(struct records *r, struct event_base *base, struct err *e)
{
	if ((r->thread = thread_new(base, e)) == NULL)
		return -1;
	return event_add(&r->told, NULL) == -1 ? err_sys(e, "%s: events", r->name) : 0;
}

/* ---- storing ---- */

static void
put_work(struct job *j)
{
	struct task *t = (struct task *)j;
	struct archive *a = t->r->archive;
	unsigned i;

	if (a == NULL) {
		t->rc = err_set(&t->e, EBADF, "%s: it is not open", t->r->name);
		return;
	}
	t->rc = archive_put(a, &t->chunks, &t->e);
	for (i = 0; t->rc == 0 && i < TRIM_ROUNDS; i++)
		if (archive_trim(a, t->oldest, NULL) != 1)
			break;
	if (t->rc == 0)
		(void)archive_facts(a, &t->facts, NULL);
}

static void
put_done(struct job *j)
{
	struct task *t = (struct task *)j;
	struct records *r = t->r;
	const struct chunk *c;
	uint64_t lost = 0;

	r->octets -= t->octets < r->octets ? t->octets : r->octets;
	STAILQ_FOREACH (c, &t->chunks, next)
		lost += c->count;
	r->n.stored += t->count - lost;
	if (t->rc == 0) {
		r->n.archive = t->facts;
		if (t->count > 0)
			well_again(r);
	} else {
		lose(r, lost);
		trouble(r, &t->e);
		if (t->e.code == EUCLEAN && r->state == OPEN)
			open_archive(r, 1);
	}
	drop_chunks(&t->chunks);
	free(t);
}

static void
hand_over(struct records *r)
{
	struct timeval tv = {TRIM_S, 0};
	uint64_t now = clock_unix_ms();
	struct chunk *c;
	struct task *t;

	if (r->state != OPEN)
		return;
	/* They wait for the next attempt, as far as there is room. */
	if ((t = task_new(r, put_work, put_done)) != NULL) {
		t->count = take_held(r, &t->chunks);
		STAILQ_FOREACH (c, &t->chunks, next)
			t->octets += buf_len(&c->events);
		t->oldest = now > r->keep_ms ? now - r->keep_ms : 0;
		thread_do(r->thread, &t->job);
	}
	(void)event_add(&r->flush, &tv);
}

static void
on_flush(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	hand_over(arg);
}

/* The chunk that has room for one more; NULL without memory. */
static struct chunk *
chunk_of(struct records *r)
{
	const struct timeval tv = {0, RECORDS_FLUSH_MS * 1000};
	struct chunk *c = STAILQ_LAST(&r->held, chunk, next);

	if (c != NULL && buf_len(&c->events) < CHUNK_MAX)
		return c;
	if (c == NULL)
		(void)event_add(&r->flush, &tv);
	if ((c = chunk_new(clock_unix_ms())) != NULL)
		STAILQ_INSERT_TAIL(&r->held, c, next);
	return c;
}

void
records_event(struct records *r, struct bytes event)
{
	struct chunk *c;

	if (r->state == FAILED || r->octets > RECORDS_HELD_MAX || (c = chunk_of(r)) == NULL ||
	    buf_put(&c->events, event.p, event.n) == -1) {
		lose(r, 1);
		return;
	}
	c->count++;
	r->octets += event.n;
	if (r->octets > AT_ONCE && buf_len(&c->events) >= CHUNK_MAX)
		hand_over(r);
}

void
records_limits(struct records *r, uint64_t keep_ms, uint64_t size)
{
	r->keep_ms = keep_ms;
	if (size == r->size)
		return;
	r->size = size;
	if (r->state == OPEN)
		open_archive(r, 0);
}

/* ---- searching ---- */

static void
ask_work(struct job *j)
{
	struct ask *a = (struct ask *)j;
	struct log_search_req *q =
	    rec_decode(&rec_log_search_req, buf_ptr(&a->req), buf_len(&a->req));

	if (q == NULL)
		a->rc = err_sys(&a->e, "search");
	else if (a->r->archive == NULL)
		a->rc = err_set(&a->e, EBADF, "%s: it is not open", a->r->name);
	else
		a->rc = archive_search(a->r->archive, q, &a->rep, &a->e);
	free(q);
}

static void
refuse(const char *text, uint64_t id, records_fn fn, void *arg)
{
	char cut[256];
	const struct log_search_rep rep = {.end = 1, .text = cut};

	(void)strlcpy(cut, text, sizeof cut);
	fn(&rep, id, arg);
}

static void
ask_done(struct job *j)
{
	struct ask *a = (struct ask *)j;
	struct log_search_rep *rep = NULL;

	LIST_REMOVE(a, of_all);
	a->r->searches--;
	if (a->rc == 0 && a->fn != NULL) {
		rep = rec_decode(&rec_log_search_rep, buf_ptr(&a->rep), buf_len(&a->rep));
		if (rep == NULL)
			(void)err_sys(&a->e, "search");
	}
	if (rep != NULL)
		a->fn(rep, a->id, a->arg);
	else if (a->fn != NULL)
		refuse(a->e.text, a->id, a->fn, a->arg);
	free(rep);
	buf_free(&a->req);
	buf_free(&a->rep);
	free(a);
}

void
records_search(
    struct records *r, const struct log_search_req *q, uint64_t id, records_fn fn, void *arg)
{
	struct ask *a;

	if (r->state != OPEN) {
		refuse(r->state == FAILED
			   ? r->n.trouble
			   : "the records are still being checked, try again in a moment",
		    id, fn, arg);
		return;
	}
	if (r->searches >= RECORDS_SEARCHES || (a = calloc(1, sizeof *a)) == NULL) {
		refuse("too many searches at once", id, fn, arg);
		return;
	}
	a->job.work = ask_work;
	a->job.done = ask_done;
	a->r = r;
	a->id = id;
	a->fn = fn;
	a->arg = arg;
	buf_init(&a->req, IPC_FRAME_MAX);
	buf_init(&a->rep, IPC_FRAME_MAX);
	if (rec_encode(&rec_log_search_req, q, &a->req) == -1) {
		free(a);
		refuse("no memory", id, fn, arg);
		return;
	}
	LIST_INSERT_HEAD(&r->asks, a, of_all);
	r->searches++;
	r->n.searches++;
	if (!STAILQ_EMPTY(&r->held))
		hand_over(r);
	thread_do(r->thread, &a->job);
}

void
records_forget(struct records *r, const void *arg)
{
	struct ask *a;

	LIST_FOREACH (a, &r->asks, of_all)
		if (a->arg == arg)
			a->fn = NULL;
}

/* ---- the end ---- */

static void
stop_work(struct job *j)
{
	struct task *t = (struct task *)j;

	archive_close(t->r->archive);
	t->r->archive = NULL;
}

static void
stop_done(struct job *j)
{
	struct task *t = (struct task *)j;
	void (*fn)(void *) = t->fn;
	void *arg = t->arg;

	free(t);
	fn(arg);
}

void
records_stop(struct records *r, void (*fn)(void *arg), void *arg)
{
	struct task *t;

	r->stop = NULL;
	if (r->thread != NULL && (r->state == CHECKING || r->state == OPENING)) {
		r->stop = fn;
		r->stop_arg = arg;
		return;
	}
	hand_over(r);
	r->state = FAILED;
	(void)event_del(&r->flush);
	(void)event_del(&r->again);
	if (r->thread == NULL || (t = task_new(r, stop_work, stop_done)) == NULL) {
		fn(arg);
		return;
	}
	t->fn = fn;
	t->arg = arg;
	thread_do(r->thread, &t->job);
}

void
records_free(struct records *r)
{
	if (r == NULL)
		return;
	thread_free(r->thread);
	archive_close(r->archive);
	if (r->told_fd != -1) {
		(void)event_del(&r->told);
		close(r->told_fd);
	}
	if (event_initialized(&r->flush))
		(void)event_del(&r->flush);
	if (event_initialized(&r->again))
		(void)event_del(&r->again);
	drop_chunks(&r->held);
	free(r->dir);
	free(r->name);
	free(r);
}

void
records_count(const struct records *r, struct records_counts *n)
{
	*n = r->n;
}
