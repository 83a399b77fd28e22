#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unbound-event.h>
#include <unbound.h>
#include <unistd.h>

#include "base/buf.h"
#include "proc/internal.h"
#include "t/unit/dnsd/harness.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* ---- a libunbound that answers what and when a test wants ---- */

struct question questions[QUESTIONS];
unsigned nquestions;
static struct ub_ctx contexts[10];
struct ub_ctx *current;
unsigned ncontexts;

struct ub_ctx *
ub_ctx_create_event(struct event_base *base)
{
	(void)base;
	ck_assert_uint_lt(ncontexts, 10);
	current = &contexts[ncontexts++];
	return current;
}

static void
give(unsigned i, int rcode, const uint8_t *packet, size_t n, int sec, const char *why)
{
	struct question q = questions[i];

	questions[i] = questions[--nquestions];
	q.fn(q.arg, rcode, (void *)(uintptr_t)packet, (int)n, sec, (char *)(uintptr_t)why, 0);
}

/* The real one fails what is open, in the callbacks. */
void
ub_ctx_delete(struct ub_ctx *c)
{
	(void)c;
	while (nquestions > 0)
		give(0, 2, NULL, 0, 0, NULL);
}

int
ub_ctx_set_option(struct ub_ctx *c, const char *opt, const char *val)
{
	(void)c;
	(void)opt;
	(void)val;
	return 0;
}

int
ub_ctx_set_fwd(struct ub_ctx *c, const char *addr)
{
	(void)strlcpy(c->server, addr, sizeof c->server);
	return 0;
}

int
ub_ctx_add_ta(struct ub_ctx *c, const char *ta)
{
	ck_assert_uint_lt(c->nanchors, 4);
	(void)strlcpy(c->anchors[c->nanchors++], ta, sizeof c->anchors[0]);
	return 0;
}

int
ub_ctx_zone_remove(struct ub_ctx *c, const char *name)
{
	(void)c;
	(void)name;
	return 0;
}

const char *
ub_strerror(int err)
{
	(void)err;
	return "an error of libunbound";
}

int
ub_resolve_event(struct ub_ctx *c, const char *name, int type, int class, void *arg,
    ub_event_callback_type fn, int *id)
{
	(void)class;
	(void)id;
	ck_assert_ptr_eq(c, current);
	ck_assert_uint_lt(nquestions, QUESTIONS);
	(void)strlcpy(questions[nquestions].name, name, sizeof questions[0].name);
	questions[nquestions].type = type;
	questions[nquestions].arg = arg;
	questions[nquestions++].fn = fn;
	return 0;
}

/* ---- dnsd, and somebody who asks ---- */

struct conf conf;
struct netaddr server;
struct ipc pop3d, deliverd;
char anchor_path[] = "/anchor";

struct proc_env *
env(void)
{
	return (struct proc_env *)proc_env();
}

/* The files of the next start or reload. */
void
stage(const char *path, const char *text)
{
	const struct config_file m = {.path = path};
	int fd = memfd_create("t", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
	ck_assert_int_eq(files_stage(&m, fd, NULL), 0);
	close(fd);
}

/* fn: dnsd.start or dnsd.reload, with what was staged. */
int
load(int (*fn)(const struct proc_env *, struct err *), struct err *e)
{
	int rc;

	ck_assert_int_eq(files_switch(e), 0);
	rc = fn(env(), e);
	files_settle(rc == 0);
	return rc;
}

static void
plumb(enum proc_id peer, struct ipc *other)
{
	static uint32_t serial;
	struct plumb p = {.peer = (uint8_t)peer, .serial = ++serial};
	int fds[2];

	ck_assert_int_eq(ipc_pair(fds), 0);
	ck_assert_int_eq(neighbours_plumb(&p, fds[0]), 0);
	ipc_init(other, fds[1], peer, P_DNSD);
}

void
set_up(void)
{
	struct err e = {0};

	ck_assert_int_eq(netaddr_parse_host("192.0.2.53", &server), 0);
	server.port = 53;
	conf.dns.servers = (struct conf_addrs){&server, 1};
	conf.dns.trust_anchor = anchor_path;
	env()->base = event_base_new();
	env()->conf = &conf;
	env()->self = P_DNSD;
	neighbours_init(env(), &dnsd, dnsd.handlers);
	plumb(P_POP3D, &pop3d);
	plumb(P_DELIVERD, &deliverd);
	stage(anchor_path, TEST_DS);
	ck_assert_msg(load(dnsd.start, &e) == 0, "%s", e.text);
}

void
tear_down(void)
{
	resolver_close();
	neighbours_free();
	ipc_close(&pop3d);
	ipc_close(&deliverd);
	files_free();
	event_base_free(env()->base);
}

void
turn(void)
{
	unsigned i;

	for (i = 0; i < 4; i++)
		(void)event_base_loop(env()->base, EVLOOP_NONBLOCK);
}

/* libunbound's answer to the question of this type; it must be there. */
void
resolve(int type, int rcode, const uint8_t *packet, size_t n, int sec, const char *why)
{
	unsigned i = 0;

	turn();
	while (i < nquestions && questions[i].type != type)
		i++;
	ck_assert_msg(i < nquestions, "type %d was not asked for", type);
	give(i, rcode, packet, n, sec, why);
	turn();
}

static uint8_t message[8000];
static size_t message_len;

void
packet_empty(void)
{
	memset(message, 0, sizeof message);
	message_len = 12;
}

size_t
wire(uint8_t *out, const void *data, size_t before, const char *name)
{
	size_t at = before, n;

	if (before > 0)
		memcpy(out, data, before);
	for (; *name != '\0'; name += n + (name[n] == '.')) {
		n = strcspn(name, ".");
		out[at++] = (uint8_t)n;
		memcpy(out + at, name, n);
		at += n;
	}
	out[at++] = 0;
	return at;
}

void
packet_add(unsigned type, const char *owner, const void *data, size_t len)
{
	uint8_t *p = message + message_len;

	p += wire(p, NULL, 0, owner);
	put_be16(p, (uint16_t)type);
	put_be16(p + 2, 1);
	put_be16(p + 8, (uint16_t)len);
	memcpy(p + 10, data, len);
	message_len = (size_t)(p - message) + 10 + len;
	ck_assert_uint_le(message_len, sizeof message - 300);
	put_be16(message + 6, (uint16_t)(get_be16(message + 6) + 1));
}

const uint8_t *
packet(size_t *n)
{
	*n = message_len;
	return message;
}

void
found_packet(int type, int sec)
{
	resolve(type, 0, message, message_len, sec, NULL);
}

void
found(int type, const void *data, size_t len, int sec)
{
	packet_empty();
	if (len > 0)
		packet_add((unsigned)type, "", data, len);
	found_packet(type, sec);
}

void
ask_of(struct ipc *who, uint16_t type, uint64_t id, const void *body)
{
	ck_assert_int_eq(ipc_send(who, type, id, body, -1, 1000), 0);
	turn();
}

void
ask(uint64_t id, const char *name)
{
	ask_of(&pop3d, M_dns_addr_req, id, &(struct dns_addr_req){.name = name});
}

void
ask_tlsa(uint64_t id, const char *name)
{
	ask_of(&pop3d, M_dns_tlsa_req, id, &(struct dns_tlsa_req){.name = name});
}

int
has_answer_of(struct ipc *who)
{
	struct pollfd p = {.fd = who->fd, .events = POLLIN};

	turn();
	return poll(&p, 1, 0) > 0;
}

int
has_answer(void)
{
	return has_answer_of(&pop3d);
}

static const char *
status_of(uint8_t s)
{
	static const char *const names[] = {"ok", "notfound", "tempfail", "bogus"};

	ck_assert_uint_lt(s, 4);
	return names[s];
}

static void
tell_addrs(char *out, size_t size, const struct dns_addr_rep *a)
{
	(void)snprintf(out, size, "%s %u %zu: %s%s", status_of(a->status), a->secure, a->addrs.n,
	    a->text, a->canonical);
}

static void
tell_tlsas(char *out, size_t size, const struct dns_tlsa_rep *t)
{
	(void)snprintf(out, size, "%s %u %zu%.*s: %s", status_of(t->status), t->secure,
	    t->records.n, t->records.n > 0 ? (int)t->records.v[0].data.n : 0,
	    t->records.n > 0 ? (const char *)t->records.v[0].data.p : "", t->text);
}

static void
tell_mxs(char *out, size_t size, const struct dns_mx_rep *m)
{
	size_t i, n;

	n = (size_t)snprintf(
	    out, size, "%s %u%s", status_of(m->status), m->secure, m->null_mx ? " null" : "");
	for (i = 0; i < m->records.n && n < size; i++)
		n += (size_t)snprintf(
		    out + n, size - n, " %u %s", m->records.v[i].preference, m->records.v[i].host);
	if (n < size)
		(void)snprintf(out + n, size - n, ": %s", m->text);
}

static void
tell_txts(char *out, size_t size, const struct dns_txt_rep *t)
{
	size_t i, n;

	n = (size_t)snprintf(out, size, "%s %u", status_of(t->status), t->secure);
	for (i = 0; i < t->records.n && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, " \"%.*s\"", (int)t->records.v[i].text.n,
		    (const char *)t->records.v[i].text.p);
	if (n < size)
		(void)snprintf(out + n, size - n, ": %s", t->text);
}

static void
tell_list(char *out, size_t size, const struct dns_list_rep *l)
{
	size_t i, n;

	n = (size_t)snprintf(out, size, "%s", status_of(l->status));
	for (i = 0; i < l->addrs.n && n < size; i++)
		n += (size_t)snprintf(
		    out + n, size - n, " %u.%u", l->addrs.v[i].ip.p[0], l->addrs.v[i].ip.p[3]);
	if (n < size)
		(void)snprintf(out + n, size - n, ": %s", l->text);
}

const char *
answer_of(struct ipc *who, uint64_t id)
{
	const struct dns_ptr_rep *p;
	static char text[2000];
	struct ipc_msg m;

	ck_assert_msg(has_answer_of(who), "no answer to %u", (unsigned)id);
	ck_assert_int_eq(ipc_recv(who, &m, 1000), 0);
	ck_assert_uint_eq(m.id, id);
	switch (m.def->type) {
	case M_dns_addr_rep:
		tell_addrs(text, sizeof text, m.body);
		break;
	case M_dns_tlsa_rep:
		tell_tlsas(text, sizeof text, m.body);
		break;
	case M_dns_mx_rep:
		tell_mxs(text, sizeof text, m.body);
		break;
	case M_dns_txt_rep:
		tell_txts(text, sizeof text, m.body);
		break;
	case M_dns_list_rep:
		tell_list(text, sizeof text, m.body);
		break;
	default:
		ck_assert_uint_eq(m.def->type, M_dns_ptr_rep);
		p = m.body;
		(void)snprintf(
		    text, sizeof text, "%s %s: %s", status_of(p->status), p->name, p->text);
	}
	ipc_done(who, &m);
	ck_assert(!has_answer_of(who));
	return text;
}

const char *
answer(uint64_t id)
{
	return answer_of(&pop3d, id);
}
