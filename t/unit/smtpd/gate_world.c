#include "t/unit/smtpd/gate_world.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "proc/internal.h"
#include "t/unit/unit.h"

struct gw gw;

static struct proc_env *env;
static struct conf conf;
static uint32_t serial;
static enum gate_verdict verdict;
const uint8_t gw_client_ip[4] = {192, 0, 2, 1};

static void
plumbed(enum proc_id peer, unsigned instance, struct chan *c)
{
	(void)instance;
	gate_plumbed(peer, c);
}

static const struct proc daemon_table = {.self = P_SMTPD, .plumbed = plumbed};

void
gw_plumb(struct ipc *peer, enum proc_id id)
{
	struct plumb p = {.peer = (uint8_t)id, .serial = ++serial};
	int fds[2];

	ck_assert_int_eq(ipc_pair(fds), 0);
	ck_assert_int_eq(neighbours_plumb(&p, fds[0]), 0);
	ipc_init(peer, fds[1], id, P_SMTPD);
}

static void
note(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)arg;
	(void)strlcat(gw.logged, line, sizeof gw.logged);
	(void)strlcat(gw.logged, "\n", sizeof gw.logged);
}

void
gw_begin(void)
{
	/* The environment of a daemon that proc_main has not begun. */
	env = (struct proc_env *)(uintptr_t)proc_env();
	memset(&conf, 0, sizeof conf);
	memset(&gw.rules, 0, sizeof gw.rules);
	memset(&gw.connector, 0, sizeof gw.connector);
	conf.node.hostname = (char *)(uintptr_t) "gw.example.org";
	env->base = event_base_new();
	env->self = P_SMTPD;
	env->conf = &conf;
	gw.rules.name = (char *)(uintptr_t) "default";
	gw.rules.exempt.v = gw.exempt;
	gw.rules.dnsbl.v = gw.lists;
	gw.rules.dnsbl_threshold = 1;
	gw.connector.name = (char *)(uintptr_t) "in";
	gw.connector.service = CONF_RELAY;
	gw.connector.gate = &gw.rules;
	gw.g = NULL;
	gw.told = 0;
	gw.logged[0] = '\0';
	log_set_sink(note, NULL);
	neighbours_init(env, &daemon_table, NULL);
	gw_plumb(&gw.anvild, P_ANVILD);
	gw_plumb(&gw.dnsd, P_DNSD);
}

void
gw_end(void)
{
	gate_close(gw.g);
	gate_renew();
	neighbours_free();
	ipc_close(&gw.anvild);
	ipc_close(&gw.dnsd);
	event_base_free(env->base);
	log_set_sink(NULL, NULL);
}

void
gw_turn(void)
{
	int i;

	for (i = 0; i < 3; i++)
		event_base_loop(env->base, EVLOOP_NONBLOCK);
}

static void
done(enum gate_verdict v, void *arg)
{
	ck_assert_ptr_eq(arg, &gw.told);
	verdict = v;
	gw.told++;
}

static const struct gate_ops ops = {.done = done};

enum gate_verdict
gw_come_as(const char *ip, const char *name, int shy)
{
	struct sockaddr_storage from;
	struct netaddr a;
	enum gate_verdict v;

	ck_assert_int_eq(netaddr_parse(ip, ':', 4711, &a), 0);
	(void)netaddr_to_sockaddr(&a, &from);
	gw.g = gate_open(&gw.connector, &from, name, shy, &ops, &gw.told, &v);
	return v;
}

enum gate_verdict
gw_come(void)
{
	return gw_come_as("192.0.2.1", NULL, 1);
}

/* The verdict that was waited for. */
enum gate_verdict
gw_after(void)
{
	uint64_t end = clock_ms() + 20000;

	while (gw.told == 0 && clock_ms() < end)
		event_base_loop(env->base, EVLOOP_ONCE);
	ck_assert_int_eq(gw.told, 1);
	gw.told = 0;
	return verdict;
}

void
gw_untold(void)
{
	gw_turn();
	ck_assert_int_eq(gw.told, 0);
}

const void *
gw_asked(struct ipc *peer, uint16_t type)
{
	gw_turn();
	ck_assert_int_eq(ipc_recv(peer, &gw.m, 5000), 0);
	ck_assert_uint_eq(gw.m.def->type, type);
	return gw.m.body;
}

void
gw_reply(struct ipc *peer, uint16_t type, const void *body)
{
	ck_assert_int_eq(ipc_send(peer, type, gw.m.id, body, -1, 5000), 0);
	ipc_done(peer, &gw.m);
	gw_turn();
}

void
gw_nothing_asked(struct ipc *peer)
{
	gw_turn();
	ck_assert_int_eq(ipc_recv(peer, &gw.m, 0), -1);
	ck_assert_int_eq(errno, ETIMEDOUT);
}

/* anvild is asked about the client, and says so. */
void
gw_count(enum client_verdict v, int passed, const char *text)
{
	const struct client_req *q = gw_asked(&gw.anvild, M_client_req);
	struct client_rep r = {.verdict = (uint8_t)v, .passed = (uint8_t)passed, .text = text};

	ck_assert_str_eq(q->gate, "default");
	ck_assert_uint_eq(q->ip.n, 4);
	ck_assert_int_eq(memcmp(q->ip.p, gw_client_ip, 4), 0);
	gw_reply(&gw.anvild, M_client_rep, &r);
}

void
gw_left(int passed, unsigned errors)
{
	const struct client_left *q = gw_asked(&gw.anvild, M_client_left);

	ck_assert_uint_eq(q->passed, (unsigned)passed);
	ck_assert_uint_eq(q->errors, errors);
	ipc_done(&gw.anvild, &gw.m);
	gw_nothing_asked(&gw.anvild);
}

void
gw_leave(void)
{
	gate_close(gw.g);
	gw.g = NULL;
}

void
gw_name_is(enum dns_status status, const char *name)
{
	const struct dns_ptr_req *q = gw_asked(&gw.dnsd, M_dns_ptr_req);
	struct dns_ptr_rep r = {.status = (uint8_t)status, .name = name, .text = ""};

	ck_assert_int_eq(memcmp(q->ip.p, gw_client_ip, 4), 0);
	gw_reply(&gw.dnsd, M_dns_ptr_rep, &r);
}
