#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "ipc/messages.h"
#include "master/services.h"
#include "proc/chan.h"

/* What the files of master share. */

#define CHILDREN_MAX 160 /* two proxies of 64 processes, and the others */
#define LISTENERS_MAX 512
#define SOURCES_PER_S 500 /* sockets for keep_source that one process gets */
#define SOURCES_BURST 1000
#define NOTE_MAX 256 /* as in struct ctl_proc, with its NUL */

enum phase {
	STARTING, /* until every process was ready once: a failure ends it all */
	RUNNING,
	STOPPING
};

/* How many sockets a process may ask for: a bucket that fills itself. */
struct source_rate {
	uint64_t at; /* clock_ms up to which it was filled; 0: never asked */
	unsigned left;
};

/* One process of one service, or the place for it while there is none. */
struct child {
	const struct service *svc;
	unsigned instance;
	uid_t uid;
	gid_t gid;
	pid_t pid; /* 0: not running */
	struct chan *chan; /* NULL: not running, or about to die */
	int state; /* PROC_* */
	int started; /* start was sent */
	int retired; /* drained for good: the configuration wants fewer */
	unsigned restarts; /* all in all */
	unsigned quick; /* deaths in a row soon after the start */
	uint64_t since_ms; /* of the fork; clock_ms */
	uint64_t since; /* the same in seconds since the epoch */
	unsigned wait_s; /* until the next attempt */
	int fail_code; /* it said why it cannot start: sysexits.h */
	uint32_t reload_asked; /* serial of a reload that it has not answered yet, or 0 */
	uint32_t reload_serial; /* of the last configuration that it took */
	char fail_text[ERR_TEXT_MAX];
	char note[NOTE_MAX];
	uint32_t serials[CHILDREN_MAX]; /* of its channels, by the neighbour's place */
	struct source_rate sources;
	struct event timer; /* next attempt, or the kill when draining took too long */
};

/* A bound socket. */
struct listener_fd {
	char connector[65];
	struct netaddr addr;
	char text[NETADDR_TEXT_MAX];
	enum conf_service service;
	int fd;
	int fresh; /* bound by the reload under way */
	int transparent; /* IP_TRANSPARENT is set */
};

struct listeners {
	struct listener_fd v[LISTENERS_MAX];
	size_t n;
};

struct master {
	struct event_base *base;
	const char *conf_path; /* absolute */
	struct conf *conf;
	int conf_fd; /* sealed memfd with its text */
	struct files *files; /* that it names */
	int debug;
	int background;
	int privileged;
	enum phase phase;
	int exit_code;
	uint64_t started;
	struct child children[CHILDREN_MAX];
	size_t nchildren;
	struct listeners listeners;
	int seal_fd; /* cryptod's sealing key, or -1 */
	int locked; /* keyctl lock: a key file must not open the key store again */
	int ready_fd; /* the waiting parent of a background start, or -1 */
};

extern struct master M;

/* child.c */
int child_add_all(struct err *e); /* places for every process that the configuration wants */
void child_spawn(struct child *c);
void child_reap(void); /* SIGCHLD */
struct child *child_find(enum proc_id role, unsigned instance);
void child_drain(struct child *c, unsigned seconds);
void child_retire(struct child *c);
void child_kill(struct child *c);
void child_give_listeners(struct child *c, int only_fresh);

/* link.c: messages between master and its children, and their plumbing */
int link_boot(struct child *c, int fd);
void link_plumb(struct child *c);
void link_start(struct child *c);
void link_forget(struct child *c);
int link_reopen(struct err *e); /* the log file, or the way to syslog */

/* listen.c */
int listen_bind(struct listeners *l, const struct conf *c, struct err *e);
void listen_settle(struct listeners *l, const struct conf *c);
void listen_undo(struct listeners *l);
int listen_transparent(int fd, int family, int on); /* setsockopt; 0, or -1 with errno */

/* reload.c: re-read the configuration; done is called once, ok 0 with what was wrong. */
typedef void (*reload_done_fn)(void *arg, int ok, const char *text);
void reload_begin(reload_done_fn done, void *arg);
int reload_active(void);
void reload_answer(struct child *c, const struct reload_done *m);
void reload_lost(struct child *c);

/* confd.c: the configuration on its way to the daemons. */
int confd_seal(const struct conf *c, struct err *e);

/*
 * files.c: the files that a configuration names (conf_files), as they are now, in sealed memfds.
 *
 * report	gets a line for each that is needed and cannot be read, and a warning for each that
 *		can be done without; may be NULL
 * e		gets the first error, with the number of the others; may be NULL
 *
 * Returns what files_free frees, or NULL.
 */
struct files;
struct files *files_load(const struct conf *c, const struct conf_report *report, struct err *e);
void files_free(struct files *f);
/* All of them to a daemon that may have them.  -1 with errno: no descriptors, or it is dying. */
int files_send(const struct files *f, struct chan *to);

/* tickets.c: keys of session tickets (RFC 8446, 4.6.1), for all proxies the same */
int tickets_init(struct err *e); /* the first one, and the timer for the others */
int tickets_rotate(void); /* one more, the oldest may go; -1 with errno */
void tickets_renew(void); /* the same, and all proxies get them */
int tickets_send(struct chan *to); /* if it is a proxy; -1: it is dying */
void tickets_wipe(void);

/*
 * source.c: sockets for keep_source.
 *
 * source_check	may a process of s have that, and what address is it?  0, or -1 with e
 * source_open	a TCP socket bound to the address and no port, or -1 with e
 * source_rate	0, or -1: more than SOURCES_PER_S; now is clock_ms
 */
void source_answer(struct child *c, const struct ipc_msg *m);
int source_check(const struct conf *c, const struct service *s, const struct source_req *q,
    struct netaddr *a, struct err *e);
int source_open(const struct netaddr *a, struct err *e);
int source_rate(struct source_rate *r, uint64_t now);

/*
 * sasl.c: the socket that checks logins of a connector, which takes of the same allowance.
 *
 * sasl_open	may a process of s have it?  A connection, or -1 with e
 */
void sasl_answer(struct child *c, const struct ipc_msg *m);
int sasl_open(const struct conf *c, const struct service *s, const char *connector, struct err *e);

/* control.c: the socket of the tools */
int control_listen(struct err *e);
void control_close(void);

/* folders.c */
int folders_make(struct err *e);
int folders_user(const char *user, uid_t *uid, gid_t *gid, struct err *e);
int folders_lock(struct err *e);
int folders_check(const struct conf *c, struct err *e); /* programs and users that it wants */

/* notify.c: systemd's notification protocol, sd_notify(3) */
void notify_init(void);
void notify_send(const char *text);

/* stop.c */
void stop_begin(int code, const char *why);
void stop_gone(void); /* a child is gone: go on to the next stage */

/* master.c */
struct master_options {
	const char *conf_path;
	int foreground, debug, check;
};
int master_run(const struct master_options *o);
void master_check_started(void); /* after a child got ready */
void master_status(void); /* tell systemd how things are */

#endif
