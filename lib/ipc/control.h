#ifndef IPC_CONTROL_H
#define IPC_CONTROL_H

#include "base/err.h"
#include "ipc/ipc.h"

/*
 * The tools' side of master's control socket (RUN_DIR/control): blocking, no event loop.  A tool
 * says hello to master, asks it for a channel to a daemon, and then talks to that directly.
 *
 *	struct ipc master, keys;
 *
 *	control_open(&master, conf->node.run_dir, P_KEYCTL, &e);
 *	control_channel(&master, P_CRYPTOD, 0, &keys, &e);
 *	control_call(&keys, M_key_list_req, &req, M_key_list_rep, &m, CONTROL_TIMEOUT, &e);
 *	... m.body ...; ipc_done(&keys, &m); ipc_close(&keys); ipc_close(&master);
 */
#define CONTROL_TIMEOUT 10000 /* milliseconds that an answer may take */
#define CONTROL_NAME "control" /* in run_dir */

/*
 * Connect to master and say hello.
 *
 * c	receives the channel (self, P_MASTER); ipc_close it
 * self	P_GWCTL or P_KEYCTL
 *
 * Returns 0, or -1 with e filled for people: ENOENT or ECONNREFUSED (Postern does not run),
 * EACCES, ENAMETOOLONG.
 */
int control_open(struct ipc *c, const char *run_dir, enum proc_id self, struct err *e);

/*
 * A channel of one's own to a daemon.
 *
 * out	receives it; ipc_close it
 *
 * Returns 0, or -1 with e filled: EHOSTDOWN (the daemon does not run, or master refused: its
 * words), or as control_call.
 */
int control_channel(
    struct ipc *master, enum proc_id peer, unsigned instance, struct ipc *out, struct err *e);

/*
 * ipc_call with an error text for people.
 *
 * Returns 0 and m (for ipc_done), or -1 with e filled: ETIMEDOUT, ECONNRESET, EBADMSG, EINVAL
 * (a field out of bounds; named), EMSGSIZE.
 */
int control_call(struct ipc *c, uint16_t type, const void *body, uint16_t want, struct ipc_msg *m,
    int timeout, struct err *e);

/*
 * Ask policyd: it answers with want, or with admin_rep, which is a change's only answer.
 *
 * Returns 0 and m (for ipc_done; an admin_rep in it is ADMIN_OK), or -1 with e filled: what
 * policyd refused with, in its words: ENOENT, EEXIST, EINVAL, ENOSPC, EIO; or as control_call.
 */
int control_admin(struct ipc *policy, uint16_t type, const void *body, uint16_t want,
    struct ipc_msg *m, int timeout, struct err *e);

/* What master says of its daemons: 0 and m (a ctl_status_rep, for ipc_done), or -1 with e. */
int control_status(struct ipc *master, struct ipc_msg *m, int timeout, struct err *e);

/* Ask master for a verb (CTL_RELOAD...). 0, or -1 with e: master's words. */
int control_verb(struct ipc *master, unsigned verb, int timeout, struct err *e);

#endif
