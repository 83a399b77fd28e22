#include "ipc/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "ipc/messages.h"

#define READ_STEP (64 * 1024)
#define CMSG_FDS 8 /* descriptors taken in one read */

int
ipc_pair(int fds[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds);
}

void
ipc_init(struct ipc *c, int fd, enum proc_id self, enum proc_id peer)
{
	int flags;

	memset(c, 0, sizeof *c);
	c->fd = fd;
	c->self = self;
	c->peer = peer;
	buf_init(&c->in, 2 * IPC_FRAME_MAX);
	buf_init(&c->out, IPC_OUT_MAX);
	STAILQ_INIT(&c->outfds);
	if ((flags = fcntl(fd, F_GETFL)) != -1)
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

void
ipc_close(struct ipc *c)
{
	struct ipc_outfd *o;

	while ((o = STAILQ_FIRST(&c->outfds)) != NULL) {
		STAILQ_REMOVE_HEAD(&c->outfds, next);
		close(o->fd);
		free(o);
	}
	while (c->ninfds > 0)
		close(c->infds[--c->ninfds]);
	buf_wipe_free(&c->in);
	buf_wipe_free(&c->out);
	if (c->fd != -1)
		close(c->fd);
	c->fd = -1;
}

static int
queue_check(const struct ipc *c, const struct ipc_msgdef *d, int fd)
{
	if (c->fd == -1) {
		errno = EPIPE;
		return -1;
	}
	if (d == NULL || !ipc_allowed(d, c->self, c->peer)) {
		errno = EPERM;
		return -1;
	}
	if ((d->fd == FD_NONE && fd != -1) || (d->fd == FD_ONE && fd == -1)) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

static int
queue_frame(struct ipc *c, const struct ipc_msgdef *d, uint64_t id, const void *body, int has_fd)
{
	size_t start = buf_len(&c->out), len;
	uint8_t head[IPC_HEADER] = {0};

	if (buf_put(&c->out, head, sizeof head) == -1)
		goto full;
	if (rec_encode(d->rec, body, &c->out) == -1) {
		c->out.end = c->out.off + start;
		goto full;
	}
	len = buf_len(&c->out) - start;
	if (len > IPC_FRAME_MAX) {
		c->out.end = c->out.off + start;
		errno = EMSGSIZE;
		return -1;
	}
	put_be32(head, (uint32_t)len);
	put_be16(head + 4, d->type);
	head[6] = (uint8_t)has_fd;
	put_be64(head + 8, id);
	memcpy(c->out.data + c->out.off + start, head, sizeof head);
	return 0;
full:
	if (errno == EMSGSIZE)
		errno = ENOBUFS;
	return -1;
}

int
ipc_queue(struct ipc *c, uint16_t type, uint64_t id, const void *body, int fd)
{
	const struct ipc_msgdef *d = ipc_message(type);
	struct ipc_outfd *o = NULL;
	uint64_t at = c->sent + buf_len(&c->out);
	int saved;

	if (queue_check(c, d, fd) == -1)
		goto fail;
	if (fd != -1 && (o = malloc(sizeof *o)) == NULL)
		goto fail;
	if (queue_frame(c, d, id, body, fd != -1) == -1)
		goto fail;
	if (o != NULL) {
		o->at = at;
		o->fd = fd;
		STAILQ_INSERT_TAIL(&c->outfds, o, next);
	}
	return 0;
fail:
	saved = errno;
	free(o);
	if (fd != -1)
		close(fd);
	errno = saved;
	return -1;
}

/* One sendmsg: up to the next descriptor, or from it up to the one after. */
static ssize_t
send_some(struct ipc *c)
{
	struct ipc_outfd *o = STAILQ_FIRST(&c->outfds), *stop;
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {c->out.data + c->out.off, buf_len(&c->out)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *h;
	ssize_t n;
	int carries = o != NULL && o->at == c->sent;

	stop = carries ? STAILQ_NEXT(o, next) : o;
	if (stop != NULL)
		iov.iov_len = (size_t)(stop->at - c->sent);
	if (carries) {
		memset(&control, 0, sizeof control);
		m.msg_control = control.space;
		m.msg_controllen = sizeof control.space;
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &o->fd, sizeof(int));
	}
	do
		n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
	while (n == -1 && errno == EINTR);
	if (n > 0) {
		if (carries) {
			STAILQ_REMOVE_HEAD(&c->outfds, next);
			close(o->fd);
			free(o);
		}
		c->sent += (uint64_t)n;
		buf_drain(&c->out, (size_t)n);
	}
	return n;
}

int
ipc_flush(struct ipc *c)
{
	while (buf_len(&c->out) > 0)
		if (send_some(c) == -1)
			return errno == EAGAIN ? 0 : -1;
	return 1;
}

size_t
ipc_pending(const struct ipc *c)
{
	return buf_len(&c->out);
}

/* Put received descriptors into the queue; all of them are owned or closed afterwards. */
static int
take_fds(struct ipc *c, struct msghdr *m)
{
	struct cmsghdr *h;
	size_t i, n;
	int fd, bad = (m->msg_flags & MSG_CTRUNC) != 0;

	for (h = CMSG_FIRSTHDR(m); h != NULL; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
			if (c->ninfds == IPC_FDS_MAX) {
				close(fd);
				bad = 1;
			} else
				c->infds[c->ninfds++] = fd;
		}
	}
	if (bad)
		errno = EBADMSG;
	return bad ? -1 : 0;
}

int
ipc_fill(struct ipc *c)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(CMSG_FDS * sizeof(int))];
	} control;
	struct iovec iov;
	struct msghdr m = {
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.space,
	    .msg_controllen = sizeof control.space,
	};
	size_t want = READ_STEP;
	ssize_t n;

	/* The rest of a frame that has begun, in one read. */
	if (buf_len(&c->in) >= 4 && get_be32(buf_ptr(&c->in)) > want &&
	    get_be32(buf_ptr(&c->in)) <= IPC_FRAME_MAX)
		want = get_be32(buf_ptr(&c->in));
	if ((iov.iov_base = buf_reserve(&c->in, want)) == NULL)
		return -1;
	iov.iov_len = want;
	do
		n = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return errno == EAGAIN ? 0 : -1;
	if (take_fds(c, &m) == -1)
		return -1;
	if (n == 0) {
		errno = ECONNRESET;
		return -1;
	}
	buf_added(&c->in, (size_t)n);
	return 1;
}

static int
pop_fd(struct ipc *c)
{
	int fd;

	if (c->ninfds == 0)
		return -1;
	fd = c->infds[0];
	memmove(c->infds, c->infds + 1, --c->ninfds * sizeof c->infds[0]);
	return fd;
}

int
ipc_next(struct ipc *c, struct ipc_msg *m)
{
	const uint8_t *p = buf_ptr(&c->in);
	size_t have = buf_len(&c->in), len;

	memset(m, 0, sizeof *m);
	m->fd = -1;
	if (have < IPC_HEADER)
		return 0;
	len = get_be32(p);
	if (len < IPC_HEADER || len > IPC_FRAME_MAX || p[6] > 1 || p[7] != 0)
		goto lost;
	if (have < len)
		return 0;
	/* A frame that says it carries a descriptor and brings none, or the other way round,
	 * would shift every later descriptor to another message. */
	if (p[6] == 1 && (m->fd = pop_fd(c)) == -1)
		goto lost;
	m->def = ipc_message(get_be16(p + 4));
	m->id = get_be64(p + 8);
	m->frame = len;
	if (m->def == NULL || !ipc_allowed(m->def, c->peer, c->self) ||
	    (m->def->fd == FD_NONE && m->fd != -1) || (m->def->fd == FD_ONE && m->fd == -1) ||
	    (m->body = rec_decode(m->def->rec, p + IPC_HEADER, len - IPC_HEADER)) == NULL) {
		ipc_done(c, m);
		errno = EPROTO;
		return -1;
	}
	return 1;
lost:
	errno = EBADMSG;
	return -1;
}

void
ipc_done(struct ipc *c, struct ipc_msg *m)
{
	if (m->fd != -1)
		close(m->fd);
	free(m->body);
	m->fd = -1;
	m->body = NULL;
	/* Frames carry session keys and clear text. */
	explicit_bzero(c->in.data + c->in.off, m->frame);
	buf_drain(&c->in, m->frame);
	m->frame = 0;
}

/* Wait for events until the deadline (clock_ms, 0: for ever). */
static int
wait_for(struct ipc *c, short events, uint64_t deadline)
{
	struct pollfd p = {.fd = c->fd, .events = events};
	uint64_t now;
	int n, ms = -1;

	for (;;) {
		if (deadline != 0) {
			now = clock_ms();
			ms = deadline <= now ? 0 : (int)(deadline - now);
		}
		n = poll(&p, 1, ms);
		if (n > 0)
			return 0;
		if (n == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		if (errno != EINTR)
			return -1;
	}
}

static uint64_t
deadline_of(int timeout)
{
	return timeout < 0 ? 0 : clock_ms() + (uint64_t)timeout;
}

static int
flush_until(struct ipc *c, uint64_t deadline)
{
	int rc;

	while ((rc = ipc_flush(c)) == 0)
		if (wait_for(c, POLLOUT, deadline) == -1)
			return -1;
	return rc == 1 ? 0 : -1;
}

int
ipc_send(struct ipc *c, uint16_t type, uint64_t id, const void *body, int fd, int timeout)
{
	if (ipc_queue(c, type, id, body, fd) == -1)
		return -1;
	return flush_until(c, deadline_of(timeout));
}

static int
recv_until(struct ipc *c, struct ipc_msg *m, uint64_t deadline)
{
	int rc;

	for (;;) {
		if ((rc = ipc_next(c, m)) == 1)
			return 0;
		if (rc == -1)
			return -1;
		/* Try first: the answer is often there already, and a poll costs as much. */
		if ((rc = ipc_fill(c)) == -1)
			return -1;
		if (rc == 0 && wait_for(c, POLLIN, deadline) == -1)
			return -1;
	}
}

int
ipc_recv(struct ipc *c, struct ipc_msg *m, int timeout)
{
	return recv_until(c, m, deadline_of(timeout));
}

int
ipc_call(struct ipc *c, uint16_t type, const void *body, int fd, uint16_t want, struct ipc_msg *m,
    int timeout)
{
	static uint64_t last;
	uint64_t id = ++last, deadline = deadline_of(timeout);

	if (ipc_queue(c, type, id, body, fd) == -1 || flush_until(c, deadline) == -1)
		return -1;
	/* The answer cannot be there yet: a look would cost a system call and find nothing. */
	if (buf_len(&c->in) == 0 && wait_for(c, POLLIN, deadline) == -1)
		return -1;
	if (recv_until(c, m, deadline) == -1)
		return -1;
	if (m->id != id || m->def->type != want) {
		ipc_done(c, m);
		errno = EBADMSG;
		return -1;
	}
	return 0;
}
