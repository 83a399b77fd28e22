#ifndef IPC_IPC_H
#define IPC_IPC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/rec.h"

/*
 * Messages between processes over Unix stream sockets.
 *
 * Every message is declared once (msg_*.h: record, number, who may send it to whom, whether it
 * carries a descriptor); messages.h makes the rest.  A frame is 16 octets of header and the
 * encoded record:
 *
 *	0	4	length of the whole frame, header included
 *	4	2	message number
 *	6	1	1 if a descriptor travels with this frame
 *	7	1	0
 *	8	8	request id: chosen by the asker, copied into the answer; 0 when nobody asked
 *
 * Both ends of a channel know who the other is: master made the socketpair, or the dispatcher of
 * filterd did.  A frame that the table does not allow between these two, in this direction, is
 * refused before its record is looked at.
 */
enum proc_id {
	P_NONE,
	P_MASTER,
	P_SMTPD,
	P_POP3D,
	P_IMAPD,
	P_FILTERD, /* the dispatcher */
	P_ZYGOTE,
	P_WORKER,
	P_CRYPTOD,
	P_POLICYD,
	P_DNSD,
	P_LOGD,
	P_KEYD,
	P_QUEUED,
	P_DELIVERD,
	P_ANVILD, /* what is counted and remembered of clients, over all smtpd */
	P_GWCTL,
	P_KEYCTL,
	P_MAX
};

#define PM(p) (1u << (p)) /* a set of processes, to be or-ed */
#define PM_PROXIES (PM(P_SMTPD) | PM(P_POP3D) | PM(P_IMAPD))
#define PM_DAEMONS                                                                                 \
	(PM_PROXIES | PM(P_FILTERD) | PM(P_CRYPTOD) | PM(P_POLICYD) | PM(P_DNSD) | PM(P_LOGD) |    \
	    PM(P_KEYD) | PM(P_QUEUED) | PM(P_DELIVERD) | PM(P_ANVILD))
#define PM_TOOLS (PM(P_GWCTL) | PM(P_KEYCTL))

/* "smtpd", "policyd"...; "?" when p is out of range. */
const char *proc_name(enum proc_id p);

#define IPC_HEADER 16
#define IPC_FRAME_MAX (256 * 1024) /* a message of 128 KiB inline and room for its envelope */
/* Octets queued for a peer that does not read; then it is dropped. */
#define IPC_OUT_MAX (8 * 1024 * 1024)
#define IPC_FDS_MAX 32 /* descriptors received ahead of their frames */

enum ipc_fd_rule { FD_NONE, FD_ONE, FD_MAYBE };

struct ipc_msgdef {
	uint16_t type;
	const char *name;
	const struct rec *rec;
	uint32_t from, to; /* PM() sets */
	enum ipc_fd_rule fd;
};

/* All messages, in the order of their numbers; *n receives how many. */
const struct ipc_msgdef *ipc_messages(size_t *n);

/* By number, or NULL. */
const struct ipc_msgdef *ipc_message(uint16_t type);

/* May from send this to to? */
int ipc_allowed(const struct ipc_msgdef *d, enum proc_id from, enum proc_id to);

/* A received message.  body points into the channel's buffer: valid until ipc_done. */
struct ipc_msg {
	const struct ipc_msgdef *def;
	uint64_t id;
	void *body; /* struct of def->rec */
	int fd; /* -1, or the descriptor; ipc_done closes it unless the taker sets it to -1 */
	size_t frame;
};

struct ipc_outfd {
	STAILQ_ENTRY(ipc_outfd) next;
	uint64_t at; /* stream position of the frame's first octet */
	int fd;
};

struct ipc {
	int fd;
	enum proc_id self, peer;
	struct buf in, out;
	uint64_t sent; /* stream position of the first unsent octet */
	STAILQ_HEAD(, ipc_outfd) outfds;
	int infds[IPC_FDS_MAX];
	unsigned ninfds;
};

/* A connected pair, close-on-exec, non-blocking. 0, or -1 with errno. */
int ipc_pair(int fds[2]);

/* Take over the socket fd (made non-blocking): self speaks here, peer there. */
void ipc_init(struct ipc *c, int fd, enum proc_id self, enum proc_id peer);

/* Close the socket and every queued descriptor; wipe the buffers. c->fd is -1 afterwards. */
void ipc_close(struct ipc *c);

/*
 * Queue a message.
 *
 * type	M_*		id	the request id		body	struct of the message's record
 * fd	-1, or a descriptor that the channel takes over: it is closed once sent, and on failure
 *
 * Returns 0, or -1 with errno: EPERM (the table does not allow it: a bug here), EINVAL (a field
 * out of bounds, a descriptor too many or missing), EMSGSIZE (frame too large), ENOBUFS (the
 * peer does not read), ENOMEM.
 */
int ipc_queue(struct ipc *c, uint16_t type, uint64_t id, const void *body, int fd);

/* Write what is queued. 1 all is sent, 0 the socket is full, -1 with errno (EPIPE...). */
int ipc_flush(struct ipc *c);

/* Octets still to be sent. */
size_t ipc_pending(const struct ipc *c);

/*
 * Read once from the socket into the buffer.
 *
 * Returns 1 something came, 0 nothing there now, -1 with errno: ECONNRESET at the end of the
 * stream, EBADMSG for descriptors that broke a rule.
 */
int ipc_fill(struct ipc *c);

/*
 * Take the next complete message out of the buffer.
 *
 * Returns 1 and fills m; 0 when more must be read; -1 with errno EBADMSG (framing lost: close
 * the channel) or EPROTO (this frame was refused and is gone; the channel is still in step).
 * After 1, call ipc_done before the next ipc_next.
 */
int ipc_next(struct ipc *c, struct ipc_msg *m);
void ipc_done(struct ipc *c, struct ipc_msg *m);

/*
 * For processes without an event loop (workers, tools): send a message, or wait for one, or
 * both.  timeout in milliseconds for the whole, -1 for ever.
 *
 * Return 0, or -1 with errno: ETIMEDOUT, ECONNRESET, EBADMSG, or as ipc_queue.
 * ipc_call wants an answer of the type want with its own request id; anything else is EBADMSG.
 */
int ipc_send(struct ipc *c, uint16_t type, uint64_t id, const void *body, int fd, int timeout);
int ipc_recv(struct ipc *c, struct ipc_msg *m, int timeout);
int ipc_call(struct ipc *c, uint16_t type, const void *body, int fd, uint16_t want,
    struct ipc_msg *m, int timeout);

#endif
