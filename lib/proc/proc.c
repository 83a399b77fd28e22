#include "proc/internal.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/version.h"
#include "proc/sink.h"

#define MASTER_FD 3
#define BOOT_MS 30000 /* for each message until start; master sends them at once */
#define EARLY_MAX 512 /* channels and listeners given before start */

/* A channel or listener that came before the daemon was ready for it. */
struct early {
	int fd;
	struct plumb plumb; /* no peer: a listener */
	char *connector, *address;
};

static const struct proc *proc;
static struct proc_env env;
static struct chan *master;
static struct early early[EARLY_MAX];
static size_t nearly;
static char *note;
static int served, drained, exit_code;
static struct event drain_timer;

static struct fact facts[STATUS_FACTS_MAX];
static size_t nfacts;

const struct proc_env *
proc_env(void)
{
	return &env;
}

struct chan *
proc_master(void)
{
	return master;
}

/* Tell everybody why this process ends. */
static int
fail(struct ipc *raw, int code, const char *text)
{
	struct failed m = {.code = (uint8_t)code, .text = text};

	log_err("%s", text);
	if (raw != NULL)
		(void)ipc_send(raw, M_failed, 0, &m, -1, 1000);
	else if (master != NULL && chan_send(master, M_failed, 0, &m, -1) == 0)
		chan_flush(master, 1000);
	return code;
}

/* What an error of open, start or serve means in sysexits.h. */
static int
code_of(const struct err *e)
{
	switch (e->code) {
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return EX_OSERR;
	case ENOSPC:
	case EIO:
		return EX_IOERR;
	case EBUSY:
	case EAGAIN:
	case ETIMEDOUT:
		return EX_TEMPFAIL;
	default:
		return EX_CONFIG;
	}
}

static struct conf *
read_conf(int fd, struct err *e)
{
	struct conf *c = NULL;
	struct err why = {0};
	uint8_t *text;
	size_t n;

	if (sealed_read(fd, 4 * CONF_FILE_MAX, &text, &n, &why) == -1) {
		err_set(e, why.code, "the configuration from master: %s", why.text);
		return NULL;
	}
	c = conf_load_mem(text, n, "configuration", NULL, e);
	free(text);
	return c;
}

static void
set_note(const char *text)
{
	char *copy = strndup(text, 255);

	if (copy == NULL)
		return;
	free(note);
	note = copy;
}

void
proc_note(const char *text)
{
	struct ready m;

	set_note(text);
	m.note = note != NULL ? note : "";
	if (served && master != NULL)
		(void)chan_send(master, M_ready, 0, &m, -1);
}

void
proc_log_push(void)
{
	sink_push();
}

void
proc_drained(void)
{
	drained = 1;
	event_base_loopbreak(env.base);
}

static void
leave(int code)
{
	exit_code = code;
	drained = 1;
	event_base_loopbreak(env.base);
}

static const struct conf_connector *
connector_of(const char *name, const char *address)
{
	const struct conf_connector *k = conf_connector_find(env.conf, name);

	return k != NULL && conf_listener_find(k, address) != NULL ? k : NULL;
}

static void
take_listener(const char *connector, const char *address, int fd)
{
	const struct conf_connector *k = connector_of(connector, address);
	struct err e = {0};

	if (k == NULL || proc->listener == NULL) {
		log_warn("listener %s of connector %s is not in the configuration", address,
		    log_str(connector));
		close(fd);
	} else if (proc->listener(k, address, fd, &e) == -1)
		log_err(
		    "connector %s cannot listen on %s: %s", log_str(connector), address, e.text);
}

static void
on_plumb(struct chan *c, struct ipc_msg *m)
{
	const struct plumb *p = m->body;
	int fd = m->fd;

	(void)c;
	m->fd = -1;
	if (neighbours_plumb(p, fd) == -1)
		log_warn("no channel to %s: %s", proc_name(p->peer), strerror(errno));
}

static void
on_listener(struct chan *c, struct ipc_msg *m)
{
	const struct listener *l = m->body;
	int fd = m->fd;

	(void)c;
	m->fd = -1;
	take_listener(l->connector, l->address, fd);
}

/* Listeners of the old configuration that the new one does not have. */
static void
unlisten_gone(const struct conf *old)
{
	char text[NETADDR_TEXT_MAX];
	const struct conf_connector *k;
	size_t i, j;

	for (i = 0; proc->unlisten != NULL && i < old->nconnectors; i++) {
		k = &old->connectors[i];
		for (j = 0; j < k->nbound; j++) {
			(void)netaddr_format(text, sizeof text, ':', &k->bound[j].addr);
			if (connector_of(k->name, text) == NULL)
				proc->unlisten(k->name, text);
		}
	}
}

static void
on_reload(struct chan *c, struct ipc_msg *m)
{
	const struct reload *r = m->body;
	struct reload_done done = {.serial = r->serial, .ok = 0, .text = ""};
	struct conf *old = (struct conf *)env.conf, *fresh;
	struct err e = {0};

	if ((fresh = read_conf(m->fd, &e)) == NULL)
		files_unstage();
	else if (files_switch(&e) == -1)
		conf_free(fresh);
	else {
		env.conf = fresh;
		done.ok = proc->reload == NULL || proc->reload(&env, &e) == 0;
		files_settle(done.ok);
		if (done.ok) {
			log_init(getprogname(), fresh->log.level);
			unlisten_gone(old);
			conf_free(old);
		} else {
			env.conf = old;
			conf_free(fresh);
		}
	}
	/* One octet more would make the answer itself invalid. */
	e.text[500 - 1] = '\0';
	if (!done.ok)
		done.text = e.text;
	(void)chan_send(c, M_reload_done, m->id, &done, -1);
}

static void
on_drain_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	log_warn("not all work was finished when the time to drain was over");
	proc_drained();
}

static void
on_drain(struct chan *c, struct ipc_msg *m)
{
	const struct drain *d = m->body;
	struct timeval tv = {.tv_sec = d->seconds};

	(void)c;
	if (proc->drain == NULL) {
		proc_drained();
		return;
	}
	if (!evtimer_initialized(&drain_timer))
		(void)evtimer_assign(&drain_timer, env.base, on_drain_timeout, NULL);
	(void)evtimer_add(&drain_timer, &tv);
	proc->drain(d->seconds);
}

static void
on_seal_key(struct chan *c, struct ipc_msg *m)
{
	int fd = m->fd;

	(void)c;
	m->fd = -1;
	if (proc->seal_key != NULL)
		proc->seal_key(fd);
	else
		close(fd);
}

static void
on_config_file(struct chan *c, struct ipc_msg *m)
{
	(void)c;
	/* What is wrong with it is told when the reload comes that it belongs to. */
	(void)files_stage(m->body, m->fd, NULL);
}

static void
on_ticket_keys(struct chan *c, struct ipc_msg *m)
{
	(void)c;
	if (proc->ticket_keys != NULL)
		proc->ticket_keys(m->body);
}

static void
on_reopen(struct chan *c, struct ipc_msg *m)
{
	(void)c;
	if (proc->reopen == NULL)
		return;
	proc->reopen(m->fd);
	m->fd = -1;
}

void
proc_fact(const char *name, const char *fmt, ...)
{
	char *value = NULL;
	va_list ap;

	if (nfacts == STATUS_FACTS_MAX)
		return;
	va_start(ap, fmt);
	if (vasprintf(&value, fmt, ap) == -1)
		value = NULL;
	va_end(ap);
	if (value == NULL)
		return;
	if (strlen(value) > 500)
		value[500] = '\0';
	facts[nfacts].name = name;
	facts[nfacts++].value = value;
}

static void
on_status(struct chan *c, struct ipc_msg *m)
{
	struct status_rep rep = {0};
	size_t i;

	nfacts = 0;
	if (proc->status != NULL)
		proc->status();
	rep.facts.v = facts;
	rep.facts.n = nfacts;
	(void)chan_send(c, M_status_rep, m->id, &rep, -1);
	for (i = 0; i < nfacts; i++)
		free((char *)facts[i].value);
	nfacts = 0;
}

static void
on_master_closed(struct chan *c, void *arg)
{
	(void)c;
	(void)arg;
	master = NULL;
	/* Nobody would notice this process any more, nor restart its neighbours. */
	log_err("master is gone: leaving");
	leave(EX_UNAVAILABLE);
}

/* Our own handlers, then the daemon's. They serve for as long as the process runs. */
static struct chan_handler *
join_handlers(const struct chan_handler *own, size_t n)
{
	struct chan_handler *all;
	size_t more = 0;

	while (proc->handlers != NULL && proc->handlers[more].type != 0)
		more++;
	if ((all = calloc(n + more + 1, sizeof *all)) == NULL)
		return NULL;
	memcpy(all, own, n * sizeof *all);
	if (more > 0)
		memcpy(all + n, proc->handlers, more * sizeof *all);
	return all;
}

static int
keep_early(const struct ipc_msg *m, int fd, struct err *e)
{
	const struct listener *l = m->body;
	const struct plumb *p = m->body;
	struct early *y = &early[nearly];

	if (nearly == EARLY_MAX) {
		close(fd);
		return err_set(e, EMSGSIZE, "more than %d channels and listeners", EARLY_MAX);
	}
	memset(y, 0, sizeof *y);
	y->fd = fd;
	nearly++;
	if (m->def->type == M_plumb) {
		y->plumb = *p;
		return 0;
	}
	y->connector = strdup(l->connector);
	y->address = strdup(l->address);
	return y->connector != NULL && y->address != NULL ? 0 : err_sys(e, "listener");
}

/* Channel of the logger first: what the start says is then in the log. */
static int
take_early_message(struct ipc_msg *m, struct err *e)
{
	const struct plumb *p = m->body;
	int fd = m->fd;

	m->fd = -1;
	if (m->def->type == M_seal_key) {
		if (proc->seal_key != NULL)
			proc->seal_key(fd);
		else
			close(fd);
		return 0;
	}
	if (m->def->type == M_plumb && p->peer == P_LOGD)
		return neighbours_plumb(p, fd) == -1 ? err_sys(e, "channel to logd") : 0;
	return keep_early(m, fd, e);
}

/* Everything up to start. 0, 1 when master wants no start any more (drain), or -1 with e. */
static int
await_start(struct ipc *raw, struct err *e)
{
	struct ipc_msg m;
	int rc;

	for (;;) {
		if (ipc_recv(raw, &m, -1) == -1)
			return err_sys(e, "waiting for master");
		switch (m.def->type) {
		case M_seal_key:
		case M_plumb:
		case M_listener:
			rc = take_early_message(&m, e);
			ipc_done(raw, &m);
			if (rc == -1)
				return -1;
			break;
		case M_config_file:
			rc = files_stage(m.body, m.fd, e);
			ipc_done(raw, &m);
			if (rc == -1)
				return -1;
			break;
		case M_ticket_keys:
			on_ticket_keys(NULL, &m);
			ipc_done(raw, &m);
			break;
		case M_start:
		case M_drain:
			rc = m.def->type == M_drain;
			ipc_done(raw, &m);
			return rc;
		default:
			ipc_done(raw, &m);
			return err_set(e, EBADMSG, "unexpected message from master");
		}
	}
}

static int
set_sandbox(struct err *e)
{
	struct sandbox s = *proc->sandbox;
	const struct conf *c = env.conf;

	/* A session has a client, a peer, a worker and a spool file. */
	if (s.files == 0)
		s.files = (unsigned)(c->limits.sessions * 4 + c->workers.max * 4 + 256);
	s.calls |= s.starting;
	return sandbox_enter(&s, e);
}

static int
enter_jail(const struct boot *b, struct err *e)
{
	struct drop d = {.privileged = b->privileged, .uid = b->uid, .gid = b->gid};

	if (chdir(b->jail) == -1)
		return err_sys(e, "cannot enter %s", b->jail);
	if (proc->open != NULL && proc->open(&env, e) == -1)
		return -1;
	/* Whatever open did, this becomes the root. */
	if (chdir(b->jail) == -1)
		return err_sys(e, "cannot enter %s", b->jail);
	if (drop_enter(&d, e) == -1)
		return -1;
	return proc->sandbox != NULL ? set_sandbox(e) : 0;
}

static int
check_boot(const struct ipc_msg *m, struct err *e)
{
	const struct boot *b = m->body;

	if (m->def->type != M_boot)
		return err_set(e, EBADMSG, "the first message from master is not boot");
	if (b->role != proc->self)
		return err_set(e, EINVAL, "started as %s, but this program is %s",
		    proc_name(b->role), proc_name(proc->self));
	if (strcmp(b->version, POSTERN_VERSION) != 0)
		return err_set(e, EINVAL,
		    "this program is of version %s, master of %s: install both from one build",
		    POSTERN_VERSION, b->version);
	return 0;
}

static struct event_base *
make_base(void)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base = NULL;

	if (cfg != NULL && event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK) == 0 &&
	    event_config_set_flag(cfg, EVENT_BASE_FLAG_IGNORE_ENV) == 0)
		base = event_base_new_with_config(cfg);
	if (cfg != NULL)
		event_config_free(cfg);
	return base;
}

static const struct chan_handler common[] = {{M_status_req, on_status}};

static const struct chan_handler from_master[] = {
    {M_plumb, on_plumb},
    {M_listener, on_listener},
    {M_reload, on_reload},
    {M_drain, on_drain},
    {M_seal_key, on_seal_key},
    {M_reopen, on_reopen},
    {M_config_file, on_config_file},
    {M_ticket_keys, on_ticket_keys},
};

#define N(a) (sizeof(a) / sizeof(a)[0])

/* From the boot message to the closed jail. */
static int
boot(struct ipc *raw, struct err *e)
{
	struct chan_handler *handlers;
	struct ipc_msg m;
	const struct boot *b;
	int rc = -1;

	if (ipc_recv(raw, &m, BOOT_MS) == -1)
		return err_sys(e, "no boot message from master");
	if (check_boot(&m, e) == -1 || (env.conf = read_conf(m.fd, e)) == NULL)
		goto out;
	b = m.body;
	env.self = proc->self;
	env.instance = b->instance;
	env.privileged = b->privileged;
	env.locked = b->locked;
	env.uid = b->uid;
	env.gid = b->gid;
	log_init(getprogname(), b->debug ? LOG_L_DEBUG : env.conf->log.level);
	if ((env.base = make_base()) == NULL ||
	    (handlers = join_handlers(common, N(common))) == NULL) {
		err_set(e, ENOMEM, "no memory for the event loop");
		goto out;
	}
	neighbours_init(&env, proc, handlers);
	sink_start(1);
	if (b->quiet) {
		/* Errors of the start reach its reader through master. */
		(void)dup2(STDIN_FILENO, STDOUT_FILENO);
		(void)dup2(STDIN_FILENO, STDERR_FILENO);
	}
	setproctitle("instance %u", env.instance);
	rc = enter_jail(b, e);
out:
	ipc_done(raw, &m);
	return rc;
}

static void
take_early(void)
{
	struct early *y;
	size_t i;

	for (i = 0; i < nearly; i++) {
		y = &early[i];
		if (y->plumb.peer != P_NONE) {
			if (neighbours_plumb(&y->plumb, y->fd) == -1)
				log_warn("no channel to %s: %s", proc_name(y->plumb.peer),
				    strerror(errno));
		} else
			take_listener(y->connector, y->address, y->fd);
		free(y->connector);
		free(y->address);
	}
	nearly = 0;
}

/* The blocking reader becomes a channel of the loop, with what it has read ahead. */
static int
hand_over(struct ipc *raw, struct err *e)
{
	struct chan_handler *handlers = join_handlers(from_master, N(from_master));

	if (handlers == NULL ||
	    (master = chan_adopt(env.base, raw, handlers, on_master_closed, NULL)) == NULL)
		return err_set(e, ENOMEM, "no memory for the channel to master");
	return 0;
}

/* From start to the loop: load, plumb, listen, serve. */
static int
serve(struct ipc *raw, struct err *e)
{
	struct ready m;

	if (files_switch(e) == -1)
		return -1;
	files_settle(1);
	if (proc->start != NULL && proc->start(&env, e) == -1)
		return -1;
	if (proc->sandbox != NULL && proc->sandbox->starting != 0 &&
	    sandbox_narrow(proc->sandbox->calls, e) == -1)
		return -1;
	if (hand_over(raw, e) == -1)
		return -1;
	take_early();
	if (proc->serve != NULL && proc->serve(&env, e) == -1)
		return -1;
	served = 1;
	m.note = note != NULL ? note : "";
	return chan_send(master, M_ready, 0, &m, -1) == -1 ? err_sys(e, "ready") : 0;
}

static void
clean_up(void)
{
	struct chan *m = master;

	sink_flush();
	log_set_sink(NULL, NULL);
	master = NULL;
	neighbours_free();
	sources_free();
	files_free();
	if (m != NULL) {
		chan_flush(m, 1000);
		chan_free(m);
	}
}

static int
run(struct ipc *raw)
{
	struct err e = {0};
	int rc;

	if (boot(raw, &e) == -1)
		return fail(raw, code_of(&e), e.text);
	rc = await_start(raw, &e);
	if (rc == 1)
		return EX_OK;
	if (rc == -1)
		return fail(raw, code_of(&e), e.text);
	if (serve(raw, &e) == -1)
		return fail(master == NULL ? raw : NULL, code_of(&e), e.text);
	while (!drained)
		if (event_base_loop(env.base, EVLOOP_NO_EXIT_ON_EMPTY) == -1)
			return fail(NULL, EX_OSERR, "the event loop failed");
	return exit_code;
}

/*
 * Each message takes some hundred KiB for a moment.  By default the heap gives them back each time,
 * and the kernel clears the same pages again and again; so a daemon may keep a little.
 */
static void
set_heap(void)
{
	(void)mallopt(M_TRIM_THRESHOLD, 4 * 1024 * 1024);
	(void)mallopt(M_MMAP_THRESHOLD, 1024 * 1024);
	(void)mallopt(M_TOP_PAD, 256 * 1024);
}

static void
set_signals(void)
{
	static const int ignored[] = {SIGPIPE, SIGHUP, SIGINT, SIGUSR1, SIGUSR2};
	sigset_t none;
	size_t i;

	for (i = 0; i < N(ignored); i++)
		(void)signal(ignored[i], SIG_IGN);
	(void)signal(SIGTERM, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

int
proc_main(const struct proc *p, int argc, char *argv[])
{
	struct stat st;
	struct ipc raw;
	int code;

	(void)argv;
	proc = p;
	setprogname(proc_name(p->self));
	log_init(getprogname(), LOG_L_INFO);
	if (argc != 1 || fstat(MASTER_FD, &st) == -1 || !S_ISSOCK(st.st_mode)) {
		(void)fprintf(stderr,
		    "%s: this is a part of Postern and is started by its master; see postern(8)\n",
		    getprogname());
		return EX_USAGE;
	}
	setproctitle_init(argc, argv, environ);
	set_signals();
	set_heap();
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	(void)umask(077);
	ipc_init(&raw, MASTER_FD, p->self, P_MASTER);
	(void)fcntl(MASTER_FD, F_SETFD, FD_CLOEXEC);
	code = run(&raw);
	clean_up();
	/* raw stays open: its end tells master that this process is gone. */
	return code;
}
