#include "t/unit/proxy/world.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "proxy/route.h"
#include "t/unit/unit.h"

#define FILES_MAX 16
#define FACTS_MAX 16

bool world_cryptod_away, world_refuses;
struct proc_source *world_source;

static struct proc_env env;
static TAILQ_HEAD(, proc_req) asked = TAILQ_HEAD_INITIALIZER(asked);
static struct {
	char path[64];
	char *text;
} files[FILES_MAX];
static struct {
	char name[32], text[400];
} facts[FACTS_MAX];
static size_t nfacts;

/* --- the clock: lib/base's, but a test may let time pass --- */

static uint64_t skipped; /* milliseconds */

static uint64_t
now(clockid_t id)
{
	struct timespec t;

	(void)clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000 + skipped;
}

uint64_t
clock_ms(void)
{
	return now(CLOCK_MONOTONIC);
}

uint64_t
clock_unix(void)
{
	return now(CLOCK_REALTIME) / 1000;
}

void
world_skip(unsigned seconds)
{
	skipped += (uint64_t)seconds * 1000;
}

/* --- lib/proc's part --- */

const struct proc_env *
proc_env(void)
{
	return &env;
}

struct chan *
proc_chan(enum proc_id peer, unsigned instance)
{
	static char there;

	(void)instance;
	return peer == P_CRYPTOD && world_cryptod_away ? NULL : (struct chan *)(void *)&there;
}

struct proc_req *
proc_request(enum proc_id peer, uint16_t type, const void *body, unsigned timeout, chan_reply_fn fn,
    void *arg)
{
	const struct ipc_msgdef *d = ipc_message(type);
	struct proc_req *r;

	ck_assert_uint_gt(timeout, 0);
	ck_assert_int_eq(ipc_allowed(d, env.self, peer), 1);
	if (world_refuses) {
		errno = ENOMEM;
		return NULL;
	}
	/* As the neighbour would have it. */
	r = calloc(1, sizeof *r);
	buf_init(&r->octets, IPC_FRAME_MAX);
	ck_assert_int_eq(rec_encode(d->rec, body, &r->octets), 0);
	r->body = rec_decode(d->rec, buf_ptr(&r->octets), buf_len(&r->octets));
	ck_assert_ptr_nonnull(r->body);
	r->peer = peer;
	r->type = type;
	r->fn = fn;
	r->arg = arg;
	TAILQ_INSERT_TAIL(&asked, r, next);
	return r;
}

void
proc_cancel(struct proc_req *r)
{
	if (r == NULL)
		return;
	TAILQ_REMOVE(&asked, r, next);
	free(r->body);
	buf_free(&r->octets);
	free(r);
}

struct proc_source *
proc_source(const char *connector, const uint8_t *ip, size_t n, proc_source_fn fn, void *arg)
{
	struct proc_source *s;

	if (world_refuses) {
		errno = EPIPE;
		return NULL;
	}
	ck_assert_ptr_null(world_source);
	s = calloc(1, sizeof *s);
	(void)strlcpy(s->connector, connector, sizeof s->connector);
	memcpy(s->ip, ip, n);
	s->n = n;
	s->fn = fn;
	s->arg = arg;
	return world_source = s;
}

void
proc_source_cancel(struct proc_source *s)
{
	if (s != NULL)
		world_source = NULL;
	free(s);
}

const uint8_t *
proc_file(const char *path, size_t *n)
{
	size_t i;

	for (i = 0; i < FILES_MAX; i++)
		if (files[i].text != NULL && strcmp(files[i].path, path) == 0) {
			*n = strlen(files[i].text);
			return (const uint8_t *)files[i].text;
		}
	*n = 0;
	return NULL;
}

void
proc_fact(const char *name, const char *fmt, ...)
{
	va_list ap;

	ck_assert_uint_lt(nfacts, FACTS_MAX);
	(void)strlcpy(facts[nfacts].name, name, sizeof facts[nfacts].name);
	va_start(ap, fmt);
	(void)vsnprintf(facts[nfacts].text, sizeof facts[nfacts].text, fmt, ap);
	va_end(ap);
	nfacts++;
}

/* --- the test's --- */

void
world_conf(const char *config)
{
	const struct conf *old = env.conf;
	struct err e = {0};

	env.conf = conf_load_mem(config, strlen(config), "f", NULL, &e);
	ck_assert_msg(env.conf != NULL, "%s", e.text);
	conf_free((struct conf *)(uintptr_t)old);
	proxy_route_renew();
}

void
world_begin(const char *config)
{
	struct event_base *base = env.base;

	memset(&env, 0, sizeof env);
	env.self = P_POP3D;
	env.base = base != NULL ? base : event_base_new();
	world_conf(config);
}

void
world_end(void)
{
	size_t i;

	while (!TAILQ_EMPTY(&asked))
		proc_cancel(TAILQ_FIRST(&asked));
	proc_source_cancel(world_source);
	for (i = 0; i < FILES_MAX; i++)
		free(files[i].text);
	conf_free((struct conf *)(uintptr_t)env.conf);
	/* What lib/proxy has for the life of a process has events on it. */
	env.conf = NULL;
}

const struct conf_connector *
world_connector(const char *name)
{
	const struct conf_connector *k = conf_connector_find(env.conf, name);

	ck_assert_ptr_nonnull(k);
	return k;
}

void
world_file(const char *path, const char *text)
{
	size_t i;

	for (i = 0; i < FILES_MAX; i++)
		if (files[i].text == NULL || strcmp(files[i].path, path) == 0)
			break;
	ck_assert_uint_lt(i, FILES_MAX);
	free(files[i].text);
	files[i].text = text != NULL ? strdup(text) : NULL;
	(void)strlcpy(files[i].path, path, sizeof files[i].path);
}

unsigned
world_count(uint16_t type)
{
	struct proc_req *r;
	unsigned n = 0;

	TAILQ_FOREACH (r, &asked, next)
		n += r->type == type;
	return n;
}

struct proc_req *
world_asked(uint16_t type)
{
	struct proc_req *r;

	TAILQ_FOREACH (r, &asked, next)
		if (r->type == type)
			break;
	ck_assert_msg(r != NULL, "nobody asks %s", ipc_message(type)->name);
	return r;
}

static void
answer(uint16_t type, struct ipc_msg *m, int error)
{
	struct proc_req *r = world_asked(type);
	chan_reply_fn fn = r->fn;
	void *arg = r->arg;

	proc_cancel(r);
	fn(arg, m, error);
}

void
world_answer(uint16_t type, const void *body)
{
	struct ipc_msg m = {.body = (void *)(uintptr_t)body, .fd = -1};

	answer(type, &m, 0);
}

void
world_fail(uint16_t type, int error)
{
	answer(type, NULL, error);
}

void
world_give_source(int fd, const char *why)
{
	proc_source_fn fn = world_source->fn;
	void *arg = world_source->arg;

	proc_source_cancel(world_source);
	fn(fd, why, arg);
}

static void
turn(unsigned ms)
{
	struct timeval tv = {0, (suseconds_t)ms * 1000};

	(void)event_base_loopexit(env.base, &tv);
	(void)event_base_dispatch(env.base);
}

void
world_until(const unsigned *n, unsigned want)
{
	uint64_t end = clock_ms() + 10000;

	while (*n < want && clock_ms() < end) {
		(void)event_base_loop(env.base, EVLOOP_NONBLOCK);
		if (*n < want)
			turn(2);
	}
	ck_assert_msg(*n >= want, "waited in vain");
}

void
world_run(unsigned ms)
{
	turn(ms);
}

const char *
world_fact(const char *name)
{
	size_t i;

	for (i = nfacts; i > 0; i--)
		if (strcmp(facts[i - 1].name, name) == 0)
			return facts[i - 1].text;
	return NULL;
}

void
world_facts_clear(void)
{
	nfacts = 0;
}
