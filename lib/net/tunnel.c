#include "net/tunnel.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

/*
 * Octets go from a socket into a pipe and from there into the other socket, and never through this
 * process (but for urgent ones).  A direction has a pipe only while octets wait in it; it takes new
 * ones when all before have left, so that what waits is bounded by a pipe, and an empty socket can
 * be told from a full pipe.
 */
#define SPLICE_MAX (1024 * 1024) /* octets of one call; the kernel's pipes hold 64 KiB */
#define TURN_MAX (512 * 1024) /* octets of one direction before others get their turn */
#define SPARE_MAX 16 /* empty pipes that are kept for whoever needs one next */
#define URGENT_MAX 512 /* octets that are read at and behind urgent ones */
#define RETRY_MS 50 /* until a pipe is tried for again where descriptors were out */

struct half {
	struct tunnel *t;
	int from, to; /* index of the side */
	struct buf ahead; /* goes out before anything else */
	int pipe[2]; /* -1: none */
	size_t held; /* octets in it */
	bool ended; /* no more will come */
	bool shut; /* and the other side was told so */
	bool starved; /* there was no pipe to be had */
	uint64_t octets;
	struct event rd, wr;
	bool rd_on, wr_on;
};

struct tunnel {
	int fd[2];
	struct half half[2];
	struct event timer;
	uint32_t idle_ms;
	uint64_t moved; /* clock_ms of the last octet */
	uint64_t total_at; /* clock_ms; 0: never */
	tunnel_done done;
	void *arg;
	bool over; /* done is being called */
};

static unsigned count;
static int spare[SPARE_MAX][2];
static unsigned nspare;

unsigned
tunnel_count(void)
{
	return count;
}

/* --- pipes --- */

static int
take_pipe(struct half *h)
{
	if (h->pipe[0] != -1)
		return 0;
	if (nspare > 0) {
		nspare--;
		memcpy(h->pipe, spare[nspare], sizeof h->pipe);
		return 0;
	}
	if (pipe2(h->pipe, O_CLOEXEC | O_NONBLOCK) == 0)
		return 0;
	h->pipe[0] = h->pipe[1] = -1;
	return -1;
}

static void
drop_pipe(struct half *h)
{
	if (h->pipe[0] == -1)
		return;
	if (h->held == 0 && nspare < SPARE_MAX) {
		memcpy(spare[nspare++], h->pipe, sizeof h->pipe);
	} else {
		(void)close(h->pipe[0]);
		(void)close(h->pipe[1]);
	}
	h->pipe[0] = h->pipe[1] = -1;
}

static void
close_spare(void)
{
	while (nspare > 0) {
		nspare--;
		(void)close(spare[nspare][0]);
		(void)close(spare[nspare][1]);
	}
}

/* --- the end --- */

static void
destroy(struct tunnel *t)
{
	struct half *h;
	int i;

	(void)event_del(&t->timer);
	for (i = 0; i < 2; i++) {
		h = &t->half[i];
		(void)event_del(&h->rd);
		(void)event_del(&h->wr);
		drop_pipe(h);
		buf_wipe_free(&h->ahead);
		if (t->fd[i] != -1)
			(void)close(t->fd[i]);
		t->fd[i] = -1;
	}
	if (--count == 0)
		close_spare();
}

void
tunnel_free(struct tunnel *t)
{
	if (t == NULL || t->over)
		return;
	destroy(t);
	free(t);
}

static void
finish(struct tunnel *t, int side, const char *text)
{
	const struct tunnel_end end = {
	    .octets = {t->half[0].octets, t->half[1].octets}, .side = side, .text = text};

	t->over = true;
	destroy(t);
	t->done(&end, t->arg);
	free(t);
}

/* --- moving octets --- */

static bool
waits(const struct half *h)
{
	return h->held > 0 || buf_len(&h->ahead) > 0;
}

static bool
is_again(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS;
}

static ssize_t
move(int from, int to, size_t n)
{
	ssize_t moved;

	while ((moved = splice(from, NULL, to, NULL, n, SPLICE_F_NONBLOCK | SPLICE_F_MOVE)) == -1 &&
	       errno == EINTR)
		;
	return moved;
}

/* Octets that left; 0: the socket takes none now; -1 with errno. */
static ssize_t
push(struct half *h)
{
	int to = h->t->fd[h->to];
	ssize_t n;

	if (buf_len(&h->ahead) > 0) {
		while ((n = send(to, buf_ptr(&h->ahead), buf_len(&h->ahead),
			    MSG_NOSIGNAL | MSG_DONTWAIT)) == -1 &&
		       errno == EINTR)
			;
		if (n > 0)
			buf_drain(&h->ahead, (size_t)n);
		if (n > 0 && buf_len(&h->ahead) == 0)
			buf_wipe_free(&h->ahead);
	} else if ((n = move(h->pipe[0], to, h->held)) > 0) {
		h->held -= (size_t)n;
	}
	if (n > 0) {
		h->octets += (uint64_t)n;
		h->t->moved = clock_ms();
		return n;
	}
	return n == 0 || is_again(errno) ? 0 : -1;
}

/*
 * splice(2) stops in front of urgent data (RFC 6093) for ever, and takes them for the end where no
 * more comes.  Octets that came past the pipe; 0: none now; -1 with errno; ended is set.
 */
static ssize_t
pull_urgent(struct half *h)
{
	uint8_t *to = buf_reserve(&h->ahead, URGENT_MAX);
	ssize_t n;

	if (to == NULL)
		return -1;
	while ((n = recv(h->t->fd[h->from], to, URGENT_MAX, MSG_DONTWAIT)) == -1 && errno == EINTR)
		;
	if (n > 0) {
		buf_added(&h->ahead, (size_t)n);
		h->t->moved = clock_ms();
		return n;
	}
	h->ended = n == 0;
	if (n == -1 && is_again(errno))
		n = 0;
	buf_free(&h->ahead);
	return n;
}

/*
 * Octets that came; 0: none now, or there was the end; -1 with errno.
 *
 * ready	the socket has something
 */
static ssize_t
pull(struct half *h, bool ready)
{
	ssize_t n;

	if (take_pipe(h) == -1) {
		h->starved = true;
		return 0;
	}
	n = move(h->t->fd[h->from], h->pipe[1], SPLICE_MAX);
	if (n > 0) {
		h->held = (size_t)n;
		h->t->moved = clock_ms();
	} else if (n == 0 || (ready && is_again(errno))) {
		n = pull_urgent(h);
	} else if (is_again(errno)) {
		n = 0;
	}
	return n;
}

/* What can be done in one direction now. 0, or the tunnel is over and freed: -1. */
static int
pump(struct half *h)
{
	size_t turn = 0;
	ssize_t n = 1;

	h->starved = false;
	while (n > 0 && turn < TURN_MAX && (waits(h) || !h->ended)) {
		bool out = waits(h);

		n = out ? push(h) : pull(h, turn == 0);
		if (n == -1) {
			finish(h->t, out ? h->to : h->from, strerrordesc_np(errno));
			return -1;
		}
		turn += out ? (size_t)n : 0;
	}
	if (h->held == 0)
		drop_pipe(h);
	if (h->ended && !h->shut && !waits(h)) {
		(void)shutdown(h->t->fd[h->to], SHUT_WR);
		h->shut = true;
	}
	return 0;
}

/* --- events --- */

static void
set_event(struct event *ev, bool *on, bool want)
{
	if (want != *on && (want ? event_add(ev, NULL) : event_del(ev)) == 0)
		*on = want;
}

static void
set_timer(struct tunnel *t)
{
	bool starved = t->half[0].starved || t->half[1].starved;
	uint64_t now = clock_ms(), at = starved ? now + RETRY_MS : 0;
	struct timeval tv;

	if (t->idle_ms > 0 && (at == 0 || t->moved + t->idle_ms < at))
		at = t->moved + t->idle_ms;
	if (t->total_at > 0 && (at == 0 || t->total_at < at))
		at = t->total_at;
	if (at == 0)
		return;
	at = at > now ? at - now : 0;
	tv.tv_sec = (time_t)(at / 1000);
	tv.tv_usec = (suseconds_t)(at % 1000 * 1000);
	(void)event_add(&t->timer, &tv);
}

/* After each turn; the timer is moved only when it must fire earlier than it would. */
static void
settle(struct tunnel *t)
{
	struct half *h;
	int i;

	if (t->half[0].shut && t->half[1].shut) {
		finish(t, -1, "");
		return;
	}
	for (i = 0; i < 2; i++) {
		h = &t->half[i];
		set_event(&h->rd, &h->rd_on, !h->ended && !h->starved && !waits(h));
		set_event(&h->wr, &h->wr_on, waits(h));
		if (h->starved)
			set_timer(t);
	}
}

static void
on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct half *h = arg;
	struct tunnel *t = h->t;

	(void)fd;
	(void)what;
	if (pump(h) == 0)
		settle(t);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct tunnel *t = arg;
	uint64_t now = clock_ms();
	int i;

	(void)fd;
	(void)what;
	if (t->total_at > 0 && now >= t->total_at) {
		finish(t, -1, "took too long");
		return;
	}
	if (t->idle_ms > 0 && now >= t->moved + t->idle_ms) {
		finish(t, -1, "idle");
		return;
	}
	for (i = 0; i < 2; i++)
		if (t->half[i].starved && pump(&t->half[i]) == -1)
			return;
	set_timer(t);
	settle(t);
}

/* --- the beginning --- */

/* Of those who have nobody to tell, a write to a lost peer would end the process. */
static void
no_sigpipe(void)
{
	struct sigaction old;

	if (sigaction(SIGPIPE, NULL, &old) == 0 && old.sa_handler == SIG_DFL)
		(void)signal(SIGPIPE, SIG_IGN);
}

static void
prepare(int fd)
{
	int flags = fcntl(fd, F_GETFL), one = 1;

	if (flags != -1)
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	/* Urgent octets are octets as any, in their place. */
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof one);
}

static void
prepare_half(struct tunnel *t, int i, struct event_base *base, size_t ahead)
{
	struct half *h = &t->half[i];

	h->t = t;
	h->from = i;
	h->to = !i;
	h->pipe[0] = h->pipe[1] = -1;
	buf_init(&h->ahead, ahead > URGENT_MAX ? ahead : URGENT_MAX);
	prepare(t->fd[i]);
	(void)event_assign(&h->rd, base, t->fd[i], EV_READ | EV_PERSIST, on_ready, h);
	(void)event_assign(&h->wr, base, t->fd[!i], EV_WRITE | EV_PERSIST, on_ready, h);
}

static int
put_ahead(struct half *h, struct bytes ahead)
{
	return ahead.n > 0 ? buf_put(&h->ahead, ahead.p, ahead.n) : 0;
}

struct tunnel *
tunnel_new(struct event_base *base, int first, int second, struct bytes to_second,
    struct bytes to_first, const struct tunnel_limits *l, tunnel_done done, void *arg)
{
	struct tunnel *t = calloc(1, sizeof *t);

	if (t == NULL) {
		(void)close(first);
		(void)close(second);
		errno = ENOMEM;
		return NULL;
	}
	no_sigpipe();
	t->fd[0] = first;
	t->fd[1] = second;
	t->idle_ms = l->idle_ms;
	t->moved = clock_ms();
	t->total_at = l->total_ms > 0 ? t->moved + l->total_ms : 0;
	t->done = done;
	t->arg = arg;
	count++;
	(void)event_assign(&t->timer, base, -1, 0, on_timer, t);
	prepare_half(t, 0, base, to_second.n);
	prepare_half(t, 1, base, to_first.n);
	if (put_ahead(&t->half[0], to_second) == -1 || put_ahead(&t->half[1], to_first) == -1) {
		tunnel_free(t);
		errno = ENOMEM;
		return NULL;
	}
	set_timer(t);
	settle(t);
	return t;
}
