#include "t/unit/smtpd/door.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "proc/internal.h"
#include "smtpd/put.h"
#include "smtpd/session.h"
#include "smtpd/whose.h"
#include "t/unit/unit.h"

struct door door;

static struct proc_env *env;
static struct conf conf;
static struct conf_profile profile;
static uint32_t serial;

static void
plumbed(enum proc_id peer, unsigned instance, struct chan *c)
{
	(void)instance;
	proxy_worker_plumbed(peer, c);
	if (peer == P_QUEUED)
		put_plumbed(c);
}

static const struct chan_handler handlers[] = {
    {M_queue_put_rep, put_on_answer}, {M_queue_room, put_on_room}, {0, NULL}};
static const struct proc daemon_table = {.self = P_SMTPD, .plumbed = plumbed, .handlers = handlers};

static void
plumb(struct ipc *peer, enum proc_id id)
{
	struct plumb p = {.peer = (uint8_t)id, .serial = ++serial};
	int fds[2];

	ck_assert_int_eq(ipc_pair(fds), 0);
	ck_assert_int_eq(neighbours_plumb(&p, fds[0]), 0);
	ipc_init(peer, fds[1], id, P_SMTPD);
}

/* The question in hand is done with. */
static void
drop(void)
{
	if (door.of != NULL)
		ipc_done(door.of, &door.m);
	door.of = NULL;
}

static void
drop_line(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s;
}

void
door_begin(void)
{
	static const struct {
		const char *name;
		enum conf_service service;
	} are[] = {{"in", CONF_MX}, {"out", CONF_RELAY}, {"users", CONF_SUBMISSION}};
	static struct net everybody = {.family = AF_INET};
	size_t i;

	/* The environment of a daemon that proc_main has not begun. */
	env = (struct proc_env *)(uintptr_t)proc_env();
	memset(&conf, 0, sizeof conf);
	memset(&door, 0, sizeof door);
	door.client = -1;
	profile.name = text("default");
	conf.node.hostname = text("gw.example.org");
	conf.queue.postmaster = text("");
	conf.limits = (struct conf_limits){.message_size = 100000,
	    .recipients = 1000,
	    .line_length = 2048,
	    .text_line = 2000,
	    .errors = 20,
	    .commands = 10000,
	    .headers = 20000,
	    .idle_timeout = 300,
	    .session_timeout = 7200,
	    .data_timeout = 600,
	    .peer_timeout = 10,
	    .sessions = 100,
	    .sessions_per_client = 100};
	for (i = 0; i < 3; i++) {
		door.connectors[i].name = text(are[i].name);
		door.connectors[i].service = are[i].service;
		door.connectors[i].tenant = text("one");
		door.connectors[i].login_domain = text("");
		door.connectors[i].profile = &profile;
		door.connectors[i].auth =
		    are[i].service == CONF_SUBMISSION ? CONF_AUTH_SASL : CONF_AUTH_NONE;
	}
	door.connectors[1].relay_clients = (struct conf_nets){&everybody, 1};
	conf.connectors = door.connectors;
	conf.nconnectors = 3;
	env->base = event_base_new();
	env->self = P_SMTPD;
	env->conf = &conf;
	log_set_sink(drop_line, NULL);
	neighbours_init(env, &daemon_table, handlers);
	plumb(&door.policyd, P_POLICYD);
	plumb(&door.queued, P_QUEUED);
	plumb(&door.dnsd, P_DNSD);
	plumb(&door.anvild, P_ANVILD);
	plumb(&door.filterd, P_FILTERD);
	plumb(&door.logd, P_LOGD);
	ck_assert_int_eq(proxy_limits(&conf.limits, &(struct err){0}), 0);
}

void
door_end(void)
{
	int i;

	door_leave();
	sessions_drain();
	for (i = 0; i < 100 && (sessions_count() > 0 || conn_count() > 0); i++)
		door_turn();
	ck_assert_uint_eq(sessions_count(), 0);
	drop();
	whose_forget();
	neighbours_free();
	ipc_close(&door.policyd);
	ipc_close(&door.queued);
	ipc_close(&door.dnsd);
	ipc_close(&door.anvild);
	ipc_close(&door.filterd);
	ipc_close(&door.logd);
	event_base_free(env->base);
	log_set_sink(NULL, NULL);
}

void
door_turn(void)
{
	int i;

	for (i = 0; i < 6; i++)
		event_base_loop(env->base, EVLOOP_NONBLOCK);
}

/* --- the client --- */

void
door_come(const char *connector)
{
	struct conf_listener at = {.tls = CONF_TLS_NONE};
	struct sockaddr_storage from, nobody = {.ss_family = AF_UNSPEC};
	const struct conf_connector *k = proxy_connector(connector);
	struct netaddr a;
	int fds[2];

	ck_assert_ptr_nonnull(k);
	ck_assert_int_eq(netaddr_parse("192.0.2.1", ':', 4711, &a), 0);
	(void)netaddr_to_sockaddr(&a, &from);
	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	door.client = fds[1];
	door.said[0] = '\0';
	session_begin(k, &at, fds[0], &from, &nobody);
	door_turn();
}

void
door_leave(void)
{
	if (door.client != -1)
		close(door.client);
	door.client = -1;
	door_turn();
}

void
door_send(const void *p, size_t n)
{
	const uint8_t *at = p;
	ssize_t put;

	while (n > 0) {
		if ((put = send(door.client, at, n, MSG_NOSIGNAL)) > 0) {
			at += put;
			n -= (size_t)put;
		} else
			ck_assert_int_eq(errno, EAGAIN);
		door_turn();
	}
	door_turn();
}

void
door_say(const char *s)
{
	door_send(s, strlen(s));
}

const char *
door_heard(void)
{
	static char out[sizeof door.said];
	size_t n = 0;
	ssize_t got;

	door_turn();
	while (n + 1 < sizeof out &&
	       (got = recv(door.client, out + n, sizeof out - 1 - n, MSG_DONTWAIT)) > 0) {
		n += (size_t)got;
		door_turn();
	}
	out[n] = '\0';
	return out;
}

void
door_talk(const char *s, const char *answer)
{
	door_say(s);
	ck_assert_str_eq(door_heard(), answer);
}

/* --- the others --- */

static void
take(struct ipc *peer)
{
	drop();
	door_turn();
	ck_assert_int_eq(ipc_recv(peer, &door.m, 5000), 0);
	door.of = peer;
}

const void *
door_asked(struct ipc *peer, uint16_t type)
{
	take(peer);
	ck_assert_uint_eq(door.m.def->type, type);
	return door.m.body;
}

void
door_answer(uint16_t type, const void *body)
{
	ck_assert_ptr_nonnull(door.of);
	ck_assert_int_eq(ipc_send(door.of, type, door.m.id, body, -1, 5000), 0);
	drop();
	door_turn();
}

int
door_silent(struct ipc *peer)
{
	struct ipc_msg m;

	door_turn();
	if (ipc_recv(peer, &m, 0) == -1)
		return 1;
	ipc_done(peer, &m);
	return 0;
}

void
door_whose(const char *addr, enum whose_addr whose, const char *tenant, const char *consumer)
{
	struct whose_rep p = {.whose = (uint8_t)whose, .tenant = tenant, .consumer = consumer};
	const struct whose_req *q = door_asked(&door.policyd, M_whose_req);

	ck_assert_str_eq(q->addr, addr);
	door_answer(M_whose_rep, &p);
}

void
door_whose_later(const char *addr)
{
	struct whose_rep p = {.defer = 1, .tenant = "", .consumer = ""};
	const struct whose_req *q = door_asked(&door.policyd, M_whose_req);

	ck_assert_str_eq(q->addr, addr);
	door_answer(M_whose_rep, &p);
}

void
door_screen(int worker)
{
	static const uint8_t id[SESSION_ID] = "session";
	struct session_open_rep opened = {.session = {id, SESSION_ID}, .consumer = ""};
	struct screen_rep p = {.worker = (uint8_t)worker};

	take(&door.policyd);
	if (door.m.def->type == M_session_open_req) {
		door_answer(M_session_open_rep, &opened);
		(void)door_asked(&door.policyd, M_screen_req);
	}
	ck_assert_uint_eq(door.m.def->type, M_screen_req);
	door_answer(M_screen_rep, &p);
}

void
door_queued(int there)
{
	if (!there) {
		drop();
		ipc_close(&door.queued);
	} else
		plumb(&door.queued, P_QUEUED);
	door_turn();
}
