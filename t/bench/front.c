/*
 * Stands where smtpd or pop3d stands, for benchmarks: started by master under one of these names,
 * in that daemon's jail and sandbox, it asks for workers as they do and gives them messages as
 * fast as they take them.  What it is to do comes on its connector's port, one client at a time:
 *
 *	LOGIN SENDER RCPT COUNT SESSIONS EACH SIZE\n	and SIZE octets: the message
 *
 * COUNT times the message is secured from SENDER to RCPT (smtpd) or opened (pop3d), in that many
 * sessions at a time, each given up after EACH messages.  EACH 0: never, and the first message of
 * each session, for which a worker must be found, is not counted.  The answer:
 *
 *	ok SECONDS SIZE FACTS\n		and SIZE octets: what came of the last
 *	no WHY\n
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "proxy/worker.h"

#define LINE_MAX_OCTETS 1200
#define SESSIONS_AT_ONCE 64
#define MESSAGE_MAX ((uint64_t)1 << 31)
#define WINDOW (64 * 1024)

struct slot {
	struct proxy_worker *worker;
	struct event *next;
	unsigned served; /* messages in this session */
	struct spool out;
};

static struct {
	enum proc_id self;
	int spooldir, fd; /* fd: the client, or -1 */
	struct event *accept;
	char connector[65];
	char login[ADDR_MAX + 1], sender[ADDR_MAX + 1], rcpt[ADDR_MAX + 1];
	unsigned count, sessions, each;
	unsigned begun, done;
	unsigned warming; /* sessions that have not had their first message */
	double start;
	struct spool in;
	char facts[512];
	struct slot slots[SESSIONS_AT_ONCE];
	struct slot *last; /* of which the result is sent */
} f = {.spooldir = -1, .fd = -1};

static void
finish(const char *why)
{
	unsigned i;

	if (why != NULL && f.fd != -1)
		(void)dprintf(f.fd, "no %s\n", why);
	for (i = 0; i < f.sessions; i++) {
		proxy_worker_free(f.slots[i].worker);
		event_free(f.slots[i].next);
		spool_free(&f.slots[i].out);
	}
	f.sessions = 0;
	spool_free(&f.in);
	if (f.fd != -1)
		close(f.fd);
	f.fd = -1;
	(void)event_add(f.accept, NULL);
}

static double
now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int
to_client(void *ctx, const void *p, size_t n)
{
	const uint8_t *at = p;
	ssize_t k;

	(void)ctx;
	for (; n > 0; n -= (size_t)k, at += k)
		if ((k = write(f.fd, at, n)) <= 0)
			return -1;
	return 0;
}

static void
report(void)
{
	double took = now() - f.start;
	struct sink out = {to_client, NULL};
	struct octets o;

	if (spool_octets(&f.last->out, &o) == -1) {
		finish(strerror(errno));
		return;
	}
	(void)dprintf(f.fd, "ok %.9f %llu %s\n", took, (unsigned long long)o.size, f.facts);
	(void)sink_copy(&out, &o, 0, o.size);
	finish(NULL);
}

static int
on_ready(struct chan *c, uint64_t id, void *arg)
{
	struct secure_req s = {.sender = f.sender, .eightbit = 1};
	struct mailbox rcpt = {.addr = f.rcpt};
	struct open_req o = {0};
	struct blob b;
	int fd;

	(void)arg;
	if (spool_send(&f.in, &b, &fd) == -1)
		return -1;
	o.message.v = s.message.v = &b;
	o.message.n = s.message.n = 1;
	s.rcpts.v = &rcpt;
	s.rcpts.n = 1;
	if (f.self == P_SMTPD)
		return chan_send(c, M_secure_req, id, &s, fd);
	return chan_send(c, M_open_req, id, &o, fd);
}

static void
take_message(struct slot *s, const struct blob *b, struct ipc_msg *m, const char *facts)
{
	spool_free(&s->out);
	if (spool_receive(&s->out, b, m->fd, MESSAGE_MAX) == -1)
		return;
	m->fd = -1;
	f.last = s;
	(void)strlcpy(f.facts, facts, sizeof f.facts);
}

static void
start_all(void)
{
	unsigned i;

	f.start = now();
	for (i = 0; i < f.sessions; i++)
		event_active(f.slots[i].next, EV_TIMEOUT, 0);
}

static int
on_message(struct ipc_msg *m, void *arg)
{
	const struct secure_out *copy = m->body;
	const struct open_rep *opened = m->body;
	const struct secure_rep *end = m->body;
	struct slot *s = arg;

	if (m->def->type == M_secure_out) {
		if (copy->message.n == 1)
			take_message(s, copy->message.v, m, copy->facts);
		return 0;
	}
	if (m->def->type == M_open_rep && opened->result == OPEN_VIRTUAL)
		take_message(s, opened->message.v, m, opened->facts);
	else if (m->def->type == M_open_rep || end->result != SECURE_OK)
		(void)snprintf(f.facts, sizeof f.facts, "%s",
		    m->def->type == M_open_rep ? opened->text : end->text);
	s->served++;
	if (f.warming == 0) {
		f.done++;
		event_active(s->next, EV_TIMEOUT, 0);
	} else if (--f.warming == 0)
		start_all();
	return 1;
}

static void
on_failed(const char *why, void *arg)
{
	struct slot *s = arg;

	(void)snprintf(f.facts, sizeof f.facts, "%s", why);
	f.done = f.count;
	f.warming = 0;
	f.last = NULL;
	event_active(s->next, EV_TIMEOUT, 0);
}

static const struct proxy_worker_ops ops = {on_ready, on_message, on_failed};

static struct proxy_worker *
new_session(void)
{
	const struct conf_connector *k = proxy_connector(f.connector);
	struct proxy_route r;

	if (k == NULL)
		return NULL;
	proxy_route_set(&r, k, CONF_TLS_NONE, proc_env()->conf);
	return proxy_worker_new(&r, "", f.login, 0, "127.0.0.1");
}

/* The slot's next message, if one is left to do. */
static void
on_next(evutil_socket_t fd, short what, void *arg)
{
	struct slot *s = arg;

	(void)fd;
	(void)what;
	if (f.warming == 0 && f.done >= f.count) {
		if (f.last == NULL)
			finish(f.facts);
		else
			report();
		return;
	}
	if (f.warming == 0 && f.begun >= f.count)
		return;
	if (f.each != 0 && s->served >= f.each) {
		proxy_worker_free(s->worker);
		s->worker = NULL;
		s->served = 0;
	}
	f.begun += f.warming == 0;
	if ((s->worker == NULL && (s->worker = new_session()) == NULL) ||
	    proxy_worker_ask(s->worker, &ops, s) == -1)
		finish(strerror(errno));
}

/* The rest of a request is awaited: there is one client, and nothing else to do. */
static int
read_line(char *line)
{
	size_t n;

	for (n = 0; n + 1 < LINE_MAX_OCTETS; n++) {
		if (read(f.fd, line + n, 1) != 1)
			return -1;
		if (line[n] == '\n') {
			line[n] = '\0';
			return 0;
		}
	}
	return -1;
}

static int
read_message(unsigned long long size)
{
	static uint8_t window[WINDOW];
	ssize_t n;

	spool_init(&f.in, MESSAGE_MAX, f.spooldir);
	for (; size > 0; size -= (unsigned long long)n) {
		n = read(f.fd, window, size < sizeof window ? (size_t)size : sizeof window);
		if (n <= 0 || spool_write(&f.in, window, (size_t)n) == -1)
			return -1;
	}
	return spool_finish(&f.in);
}

static int
begin(void)
{
	char line[LINE_MAX_OCTETS];
	unsigned long long size;
	unsigned i, n;

	if (read_line(line) == -1 ||
	    sscanf(line, "%320s %320s %320s %u %u %u %llu", f.login, f.sender, f.rcpt, &f.count, &n,
		&f.each, &size) != 7 ||
	    f.count == 0 || n == 0 || n > SESSIONS_AT_ONCE || read_message(size) == -1)
		return -1;
	f.begun = f.done = 0;
	f.last = NULL;
	f.facts[0] = '\0';
	for (i = 0; i < n; i++) {
		memset(&f.slots[i], 0, sizeof f.slots[i]);
		spool_init(&f.slots[i].out, 0, -1);
		if ((f.slots[i].next = event_new(proc_env()->base, -1, 0, on_next, &f.slots[i])) ==
		    NULL)
			return -1;
		f.sessions++;
	}
	f.warming = f.each == 0 ? n : 0;
	start_all();
	return 0;
}

static void
on_client(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	(void)arg;
	if ((f.fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) == -1)
		return;
	(void)event_del(f.accept);
	if (begin() == -1)
		finish("a request that cannot be understood");
}

static int
front_open(const struct proc_env *env, struct err *e)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof path, "%s/%s", env->conf->node.spool_dir, proc_name(env->self));
	if ((f.spooldir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return err_sys(e, "%s", path);
	return sandbox_allow(path, 1, e);
}

static int
front_listener(const struct conf_connector *k, const char *address, int fd, struct err *e)
{
	(void)address;
	(void)strlcpy(f.connector, k->name, sizeof f.connector);
	f.accept = event_new(proc_env()->base, fd, EV_READ | EV_PERSIST, on_client, NULL);
	if (f.accept == NULL || event_add(f.accept, NULL) == -1)
		return err_sys(e, "listener");
	return 0;
}

static void
front_plumbed(enum proc_id peer, unsigned instance, struct chan *c)
{
	(void)instance;
	proxy_worker_plumbed(peer, c);
}

static const struct chan_handler handlers[] = {{0, NULL}};

static const struct sandbox sandbox = {
    .calls = SB_NET | SB_MEMFD | SB_TMPFILE,
};

int
main(int argc, char *argv[])
{
	struct proc p = {
	    .self = P_SMTPD,
	    .sandbox = &sandbox,
	    .handlers = handlers,
	    .open = front_open,
	    .listener = front_listener,
	    .plumbed = front_plumbed,
	};

	if (argc > 0 && strcmp(argv[0], "pop3d") == 0)
		p.self = P_POP3D;
	f.self = p.self;
	return proc_main(&p, argc, argv);
}
