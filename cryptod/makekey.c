#include "cryptod/makekey.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"

struct makekey {
	LIST_ENTRY(makekey) next;
	struct event ev;
	pid_t pid;
	int fd;
	struct buf got; /* the encoded key */
	makekey_fn done;
	void *arg;
};

static LIST_HEAD(, makekey) all = LIST_HEAD_INITIALIZER(all);
static unsigned count;

static void __attribute__((noreturn)) child(int fd, enum pgp_keytype type, uint64_t created)
{
	struct pgp_skey *k;
	struct err e = {0};
	struct buf b;
	ssize_t n;

	/* The daemon's sockets must close when the daemon dies. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fd > 3)
		(void)close_range(3, (unsigned)fd - 1, 0);
	(void)close_range((unsigned)fd + 1, ~0U, 0);
	buf_init(&b, PGP_SKEY_ENC_MAX);
	if ((k = pgp_skey_generate(type, 0, created, &e)) == NULL || pgp_skey_encode(k, &b) == -1)
		_exit(1);
	pgp_skey_free(k);
	/* It fits the pipe: one write. */
	n = write(fd, buf_ptr(&b), buf_len(&b));
	_exit(n == (ssize_t)buf_len(&b) ? 0 : 1);
}

static void
finish(struct makekey *m, int error)
{
	struct pgp_skey *k = NULL;
	struct err e = {0};
	int status;

	if (error != 0)
		(void)kill(m->pid, SIGKILL);
	while (waitpid(m->pid, &status, 0) == -1 && errno == EINTR)
		;
	if (error != 0)
		(void)err_set(&e, error, "making a key was ended: %s", strerror(error));
	else if (buf_len(&m->got) == 0)
		(void)err_set(&e, EIO, "making a key failed");
	else
		k = pgp_skey_decode(buf_ptr(&m->got), buf_len(&m->got), &e);
	LIST_REMOVE(m, next);
	count--;
	(void)event_del(&m->ev);
	close(m->fd);
	buf_wipe_free(&m->got);
	m->done(m->arg, k, &e);
	free(m);
}

static void
on_pipe(evutil_socket_t fd, short what, void *arg)
{
	struct makekey *m = arg;
	uint8_t *to;
	ssize_t n;

	if (what & EV_TIMEOUT) {
		finish(m, ETIMEDOUT);
		return;
	}
	if ((to = buf_reserve(&m->got, 4096)) == NULL) {
		finish(m, errno);
		return;
	}
	if ((n = read(fd, to, 4096)) > 0)
		buf_added(&m->got, (size_t)n);
	else if (n == 0)
		finish(m, 0);
	else if (errno != EAGAIN && errno != EINTR)
		finish(m, errno);
}

struct makekey *
makekey_begin(struct event_base *base, enum pgp_keytype type, uint64_t created, makekey_fn done,
    void *arg, struct err *e)
{
	const struct timeval most = {.tv_sec = MAKEKEY_SECONDS};
	int fds[2] = {-1, -1};
	struct makekey *m;

	if (count >= MAKEKEY_MAX) {
		(void)err_set(e, EBUSY, "%u keys are being made: try again", count);
		return NULL;
	}
	if ((m = calloc(1, sizeof *m)) == NULL || pipe2(fds, O_CLOEXEC | O_NONBLOCK) == -1 ||
	    (m->pid = fork()) == -1) {
		(void)err_sys(e, "making a key");
		goto fail;
	}
	if (m->pid == 0)
		child(fds[1], type, created);
	close(fds[1]);
	m->fd = fds[0];
	m->done = done;
	m->arg = arg;
	buf_init(&m->got, PGP_SKEY_ENC_MAX + 4096);
	LIST_INSERT_HEAD(&all, m, next);
	count++;
	(void)event_assign(&m->ev, base, m->fd, EV_READ | EV_PERSIST, on_pipe, m);
	(void)event_add(&m->ev, &most);
	return m;
fail:
	if (fds[0] != -1) {
		close(fds[0]);
		close(fds[1]);
	}
	free(m);
	return NULL;
}

void
makekey_stop(void)
{
	while (!LIST_EMPTY(&all))
		finish(LIST_FIRST(&all), ECANCELED);
}
