#ifndef PROC_PROC_H
#define PROC_PROC_H

#include <event2/event.h>

#include "base/err.h"
#include "conf/conf.h"
#include "ipc/messages.h"
#include "proc/chan.h"
#include "proc/sandbox.h"

/*
 * A daemon is a table.  master starts it with its end of a channel as descriptor 3; proc_main
 * then goes through the same steps in every daemon:
 *
 *	boot message (role, uid, jail, configuration) -> open (as root: descriptors, no parsing;
 *	the current folder is the jail) -> uid, chroot, rlimits, no dump -> sandbox -> seal_key,
 *	files, ticket keys, if there are any -> start (jailed: load) -> narrower sandbox -> plumbed
 *	and listener for each channel and socket that master gave -> serve -> loop
 *
 * Log lines go to logd as soon as it is plumbed, to stderr before.  A proxy reaches serve only
 * when the daemons behind it are ready.
 */
struct proc_env {
	struct event_base *base;
	const struct conf *conf; /* replaced by a reload: do not keep pointers into it */
	enum proc_id self;
	unsigned instance;
	int privileged; /* master is root: uid, chroot */
	int locked; /* cryptod: locked by an administrator; a key file must not unlock */
	uint32_t uid, gid; /* what this process runs as after open */
};

struct proc {
	enum proc_id self;
	const struct sandbox *sandbox; /* what this daemon may do once it has started */
	const struct chan_handler *handlers; /* of channels from other daemons and tools */

	/* Each may be NULL; int functions return 0 or -1 with e filled: the daemon then exits. */
	int (*open)(const struct proc_env *env, struct err *e);
	int (*start)(const struct proc_env *env, struct err *e);
	int (*serve)(const struct proc_env *env, struct err *e); /* all is plumbed */
	/* A listening socket of this connector (taken over); again after a reload. */
	int (*listener)(const struct conf_connector *k, const char *address, int fd, struct err *e);
	/* This listener is not in the configuration any more: close it. */
	void (*unlisten)(const char *connector, const char *address);
	/* env->conf is new; -1 keeps the old one and reports e to the administrator. */
	int (*reload)(const struct proc_env *env, struct err *e);
	/* A channel to a neighbour came (c; an older one is gone without a further call) or went
	 * (c NULL: it died or broke; its successor comes by itself).  A tool's channel comes and
	 * goes the same way; its instance is a number that no other tool at work has. */
	void (*plumbed)(enum proc_id peer, unsigned instance, struct chan *c);
	/* Finish what is under way, then call proc_drained; killed after the seconds given.
	 * NULL: nothing to finish, the daemon leaves at once. */
	void (*drain)(unsigned seconds);
	/* Facts for gwctl status, with proc_fact. */
	void (*status)(void);
	/* A descriptor from master that belongs to this daemon alone (cryptod's sealing key). */
	void (*seal_key)(int fd);
	/* Proxies: keys for session tickets, the newest first, copied if they are to stay.  Before
	 * start, and whenever master has made a new one. */
	void (*ticket_keys)(const struct ticket_keys *k);
	/* logd: the log file was rotated; the new one (taken over), or -1 with syslog. */
	void (*reopen)(int fd);
};

/* The whole life of a daemon; the exit code for main (sysexits.h). */
int proc_main(const struct proc *p, int argc, char *argv[]);

/* The running daemon's environment. */
const struct proc_env *proc_env(void);

/* The channel to a neighbour, or NULL while it is down. */
struct chan *proc_chan(enum proc_id peer, unsigned instance);

/* The channel to master. */
struct chan *proc_master(void);

/*
 * A request to a neighbour that may be asked twice (no side effect that counts): if it is down,
 * wait for it; if it dies before the answer, ask its successor; all within timeout (ms).
 * Callback and result as chan_request; fn gets ETIMEDOUT when the time is over.
 */
struct proc_req;
struct proc_req *proc_request(enum proc_id peer, uint16_t type, const void *body, unsigned timeout,
    chan_reply_fn fn, void *arg);
void proc_cancel(struct proc_req *r);

/*
 * A file that the configuration names (conf_files), as it was when that was loaded; a daemon never
 * opens one itself.  From start on; within reload the new configuration's.
 *
 * path	as in the configuration
 * n	receives the octets, 0 to CONFIG_FILE_MAX
 *
 * Returns them, with a NUL behind, until the next reload; or NULL: it was not needed and cannot be
 * read (master has warned), or the configuration has no such file.
 */
const uint8_t *proc_file(const char *path, size_t *n);

/*
 * Proxies: a TCP socket whose source is the client's address, from master: bound, not connected,
 * non-blocking.  For a connector with keep_source only.
 *
 * ip, n	4 octets, or 16 (IPv4 mapped into IPv6 gives a socket of AF_INET)
 * fn	called once within some seconds, from the loop: fd is the callee's; or fd -1, and why says
 *	what was wrong
 *
 * Returns a handle, valid until fn is called; or NULL with errno.
 */
struct proc_source;
typedef void (*proc_source_fn)(int fd, const char *why, void *arg);
struct proc_source *proc_source(
    const char *connector, const uint8_t *ip, size_t n, proc_source_fn fn, void *arg);
/* The same for a stream connected to the connector's sasl_socket. */
struct proc_source *proc_sasl(const char *connector, proc_source_fn fn, void *arg);
void proc_source_cancel(struct proc_source *s); /* fn is not called; NULL is allowed */

/* Tell master (and gwctl status) what is special: "key store is locked"; "" when nothing is. */
void proc_note(const char *note);

/*
 * What was logged so far leaves this process before the call returns, as far as logd's socket takes
 * it: for lines that must not be missing once somebody was told what they say.
 */
void proc_log_push(void);

/* All work is finished: leave the loop and exit 0. */
void proc_drained(void);

/* One line of status; only inside the status callback. */
void proc_fact(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
