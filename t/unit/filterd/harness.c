#include "t/unit/filterd/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "openpgp/cert.h"
#include "t/unit/filterd/peers.h"

struct world world;

void
harness_reset(void)
{
	memset(&world, 0, sizeof world);
	world.consumer = ALICE;
	world.opening = OPENING_GRANTED;
}

void
outcome_free(struct outcome *o)
{
	while (o->ncopies > 0)
		buf_free(&o->copies[--o->ncopies].octets);
	free(o->copies);
	o->copies = NULL;
	buf_free(&o->octets);
}

static void
keep_message(struct buf *to, const struct blob *b, struct ipc_msg *m)
{
	struct spool s;
	struct octets o;
	struct sink out;

	buf_init(to, 256 << 20);
	out = sink_buf(to);
	ck_assert_int_eq(spool_receive(&s, b, m->fd, INT64_MAX), 0);
	m->fd = -1;
	ck_assert_int_eq(spool_octets(&s, &o), 0);
	ck_assert_int_eq(sink_copy(&out, &o, 0, o.size), 0);
	spool_free(&s);
}

static void
on_copy(struct outcome *o, struct ipc_msg *m)
{
	const struct secure_out *p = m->body;
	struct copy *c = &o->copies[o->ncopies++];
	size_t i;

	ck_assert_uint_le(o->ncopies, COPIES_MAX);
	memset(c, 0, sizeof *c);
	for (i = 0; i < p->rcpts.n; i++)
		c->rcpts[i] = p->rcpts.v[i].i;
	c->nrcpts = p->rcpts.n;
	c->unchanged = p->unchanged;
	ck_assert_int_eq(p->message.n, !p->unchanged);
	(void)strlcpy(c->facts, p->facts, sizeof c->facts);
	if (p->message.n == 1)
		keep_message(&c->octets, p->message.v, m);
}

static void
on_secured(struct outcome *o, const struct secure_rep *p)
{
	o->answered++;
	o->result = p->result;
	o->nrefusals = p->refusals.n;
	(void)strlcpy(o->dsn, p->dsn, sizeof o->dsn);
	(void)strlcpy(o->text, p->text, sizeof o->text);
	if (p->refusals.n > 0)
		(void)strlcpy(o->refusal, p->refusals.v[0].text, sizeof o->refusal);
}

static void
on_opened(struct outcome *o, struct ipc_msg *m)
{
	const struct open_rep *p = m->body;

	o->answered++;
	o->result = p->result;
	(void)strlcpy(o->facts, p->facts, sizeof o->facts);
	(void)strlcpy(o->text, p->text, sizeof o->text);
	ck_assert_int_eq(p->message.n, p->result == OPEN_VIRTUAL);
	ck_assert_uint_le(p->sticky.n, sizeof o->sticky);
	o->nsticky = p->sticky.n;
	memcpy(o->sticky, p->sticky.p, p->sticky.n);
	buf_free(&o->octets);
	if (p->message.n == 1)
		keep_message(&o->octets, p->message.v, m);
}

void
proxy_message(struct outcome *o, struct ipc_msg *m)
{
	switch (m->def->type) {
	case M_secure_out:
		on_copy(o, m);
		break;
	case M_secure_rep:
		on_secured(o, m->body);
		break;
	case M_open_rep:
		on_opened(o, m);
		break;
	default:
		ck_abort_msg("the proxy got %s", m->def->name);
	}
}

static void
no_log(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

static void
outcome_init(struct outcome *o)
{
	memset(o, 0, sizeof *o);
	buf_init(&o->octets, 256 << 20);
	o->copies = calloc(COPIES_MAX, sizeof *o->copies);
	ck_assert_ptr_nonnull(o->copies);
}

/* A worker and the thread that is its peers. */
static void
seat(struct worker *w, struct peers *p, enum proc_id proxy, struct outcome *o)
{
	int a[2], b[2], c[2];

	log_set_sink(no_log, NULL);
	outcome_init(o);
	memset(w, 0, sizeof *w);
	ck_assert(ipc_pair(a) == 0 && ipc_pair(b) == 0 && ipc_pair(c) == 0);
	ipc_init(&w->proxy, a[0], P_WORKER, proxy);
	ipc_init(&w->policyd, b[0], P_WORKER, P_POLICYD);
	ipc_init(&w->cryptod, c[0], P_WORKER, P_CRYPTOD);
	w->spooldir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ne(w->spooldir, -1);
	ask_init(&w->ask, &w->policyd, &w->cryptod);
	peers_init(p, a[1], b[1], c[1], proxy, o);
	peers_start(p);
}

static void
unseat(struct worker *w, struct peers *p, struct outcome *o)
{
	o->dead = w->ask.dead;
	ask_reset(&w->ask);
	ipc_close(&w->proxy);
	peers_join(p);
	ipc_close(&w->policyd);
	ipc_close(&w->cryptod);
	close(w->spooldir);
}

/* The message as a blob on its way to a worker. */
static void
load(struct spool *s, struct blob *b, int *fd, const void *msg, size_t n)
{
	spool_init(s, INT64_MAX, open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	ck_assert_int_eq(spool_write(s, msg, n), 0);
	ck_assert_int_eq(spool_send(s, b, fd), 0);
	close(s->dirfd);
}

void
secure(struct outcome *o, const char *sender, const char *const *rcpts, const void *msg, size_t n,
    uint64_t max_size)
{
	static struct mailbox boxes[RCPTS_MAX];
	struct secure_req q = {.sender = sender, .max_size = max_size, .eightbit = 1};
	struct worker w;
	struct peers p;
	struct spool s;
	struct blob b;
	int fd;

	seat(&w, &p, P_SMTPD, o);
	load(&s, &b, &fd, msg, n);
	for (; rcpts[q.rcpts.n] != NULL; q.rcpts.n++)
		boxes[q.rcpts.n].addr = rcpts[q.rcpts.n];
	q.rcpts.v = boxes;
	q.message.v = &b;
	q.message.n = 1;
	o->served = secure_message(&w, &q, 1, fd);
	spool_free(&s);
	unseat(&w, &p, o);
}

void
open_as(struct outcome *o, enum who reader, const void *msg, size_t n)
{
	struct open_req q = {.banner = (uint8_t)world.banner};
	struct worker w;
	struct peers p;
	struct spool s;
	struct blob b;
	int fd;

	world.consumer = reader;
	q.sticky = (struct bytes){world.sticky, world.nsticky};
	seat(&w, &p, P_POP3D, o);
	load(&s, &b, &fd, msg, n);
	q.message.v = &b;
	q.message.n = 1;
	o->served = open_message(&w, &q, 1, fd);
	spool_free(&s);
	unseat(&w, &p, o);
}

void
opens(struct outcome *o, const struct buf *m, const char *want)
{
	open_as(o, ALICE, buf_ptr(m), buf_len(m));
	ck_assert_int_eq(o->served, 0);
	ck_assert_msg(o->result == OPEN_VIRTUAL, "result %d, %s", o->result, o->text);
	ck_assert_str_eq(verdict(&o->octets), want);
}

struct running {
	int control, spooldir, rc;
};

static void *
run_worker(void *arg)
{
	struct running *r = arg;

	r->rc = worker_run(r->control, r->spooldir);
	return NULL;
}

static void
give_seat(struct ipc *control, enum proc_id who, int *theirs)
{
	struct worker_seat s = {.peer = (uint8_t)who};
	int fds[2];

	ck_assert_int_eq(ipc_pair(fds), 0);
	ck_assert_int_eq(ipc_send(control, M_worker_seat, 0, &s, fds[0], 1000), 0);
	*theirs = fds[1];
}

void
through_control(struct outcome *o, int fd, const void *msg, size_t n, unsigned times)
{
	struct worker_go go = {.deadline = 60};
	struct open_req q = {0};
	struct ipc control;
	struct peers p;
	struct spool s;
	struct blob b;
	int proxy, policyd, cryptod;

	log_set_sink(no_log, NULL);
	outcome_init(o);
	ipc_init(&control, fd, P_FILTERD, P_WORKER);
	give_seat(&control, P_CRYPTOD, &cryptod);
	give_seat(&control, P_POLICYD, &policyd);
	give_seat(&control, P_POP3D, &proxy);
	ck_assert_int_eq(ipc_send(&control, M_worker_go, 0, &go, -1, 1000), 0);
	peers_init(&p, proxy, policyd, cryptod, P_POP3D, o);
	q.message.v = &b;
	q.message.n = 1;
	for (; times > 0; times--) {
		load(&s, &b, &fd, msg, n);
		peers_request(&p, M_open_req, &q, fd);
		spool_free(&s);
	}
	peers_start(&p);
	peers_join(&p);
	ipc_close(&control);
}

int
through_worker(struct outcome *o, const void *msg, size_t n, unsigned times)
{
	struct running r = {.spooldir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	pthread_t thread;
	int fds[2];

	ck_assert_int_eq(ipc_pair(fds), 0);
	r.control = fds[1];
	ck_assert_int_eq(pthread_create(&thread, NULL, run_worker, &r), 0);
	through_control(o, fds[0], msg, n, times);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	close(r.spooldir);
	return r.rc;
}

int
holds(const struct buf *b, const char *text)
{
	return memmem(buf_ptr(b), buf_len(b), text, strlen(text)) != NULL;
}

const char *
verdict(const struct buf *b)
{
	static char out[64];
	char dec[16], sig[32];
	const char *p = memmem(buf_ptr(b), buf_len(b), "X-Postern-Verdict:", 18), *end, *next;

	if (p == NULL)
		return "-";
	end = (const char *)buf_ptr(b) + buf_len(b);
	next = memmem(p + 1, (size_t)(end - p - 1), "X-Postern-Verdict:", 18);
	ck_assert_msg(next == NULL, "two verdicts");
	ck_assert_int_eq(
	    sscanf(p, "X-Postern-Verdict: v=1; decrypted=%15[^ ;] ; signature=%31[^ ;]", dec, sig),
	    2);
	(void)snprintf(out, sizeof out, "%s %s", dec, sig);
	return out;
}
