#ifndef FILTERD_WORKER_H
#define FILTERD_WORKER_H

#include "filterd/ask.h"
#include "ipc/messages.h"

/*
 * A worker: one process, one session, then it ends.  It sees the messages of that session and
 * nothing else: no network, no files but unnamed ones in the spool folder, no keys.
 */
#define WORKER_MESSAGE_MAX                                                                         \
	((uint64_t)2 << 30) /* octets of a message; proxies have their own limit */

struct worker {
	struct ipc control; /* the dispatcher */
	struct ipc proxy, policyd, cryptod;
	struct ask ask;
	int spooldir;
};

/*
 * Serve until the proxy closes its end.
 *
 * control	socket to the dispatcher, taken over
 * spooldir	descriptor of the folder for unnamed files
 *
 * Returns an exit code of sysexits.h.
 */
int worker_run(int control, int spooldir);

/* Answer one request of the proxy. 0, or -1: the channel is no use any more. */
int secure_message(struct worker *w, const struct secure_req *q, uint64_t id, int fd);
int open_message(struct worker *w, const struct open_req *q, uint64_t id, int fd);

#endif
