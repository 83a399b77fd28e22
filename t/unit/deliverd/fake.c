#include "t/unit/deliverd/fake.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "t/unit/unit.h"

const char *const alice[] = {"a@x.example", NULL};

static void step(struct fake *f);

/* --- the server --- */

static void
flush(struct fake *f)
{
	size_t n = buf_len(&f->pending);
	struct timeval now = {0, 0};

	if (n > 0 && f->drip)
		n = 1;
	if (n > f->budget)
		n = f->budget;
	if (f->c != NULL && n > 0)
		(void)conn_write(f->c, buf_ptr(&f->pending), n);
	buf_drain(&f->pending, n);
	f->budget -= n;
	f->said += n;
	if (f->budget == 0 && f->c != NULL) {
		conn_finish(f->c);
		f->c = NULL;
	}
	if (buf_len(&f->pending) > 0 && f->c != NULL)
		evtimer_add(f->timer, &now);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct fake *f = arg;

	(void)fd;
	(void)what;
	if (buf_len(&f->pending) > 0)
		flush(f);
	else if (f->c != NULL && *f->at != NULL && **f->at == 'W') {
		f->at++;
		step(f);
	}
}

static void
say(struct fake *f, const char *text, const char *end)
{
	int times = f->line == f->twice ? 2 : f->line == f->never ? 0 : 1;

	if (*end != '\0')
		f->line++;
	else
		times = 1;
	for (; times > 0; times--) {
		buf_puts(&f->pending, text);
		buf_puts(&f->pending, end);
	}
	flush(f);
}

/* Octets up to and with the end of a line, or of a message's text; 0: it has not come yet. */
static size_t
upto(const struct fake *f, bool text)
{
	const char *mark = text ? "\r\n.\r\n" : "\r\n";
	const uint8_t *p;

	if (text && buf_len(&f->in) >= 3 && memcmp(buf_ptr(&f->in), ".\r\n", 3) == 0)
		return 3;
	p = memmem(buf_ptr(&f->in), buf_len(&f->in), mark, strlen(mark));
	return p != NULL ? (size_t)(p - buf_ptr(&f->in)) + strlen(mark) : 0;
}

/* One line of the script; false: it has to wait. */
static bool
one(struct fake *f)
{
	const char *s = *f->at, *arg = s[0] != '\0' && s[1] == ' ' ? s + 2 : s + 1;
	struct timeval soon = {0, 20000};
	struct linger hard = {1, 0};
	struct err e;
	size_t n;

	switch (*s) {
	case 'S':
		say(f, arg, "\r\n");
		break;
	case 'R':
		say(f, arg, "");
		break;
	case 'C':
	case 'D':
		if ((n = upto(f, *s == 'D')) == 0)
			return false;
		if (*s == 'C' && strncmp((const char *)buf_ptr(&f->in), arg, strlen(arg)) != 0)
			(void)snprintf(f->wrong, sizeof f->wrong, "%.*s, not %s", (int)n - 2,
			    (const char *)buf_ptr(&f->in), arg);
		buf_drain(&f->in, n);
		break;
	case 'B':
		n = (size_t)atoi(arg);
		if (buf_len(&f->in) < n)
			return false;
		buf_drain(&f->in, n);
		break;
	case 'T':
		if (!f->shaking) {
			f->shaking = true;
			ck_assert_int_eq(conn_accept_tls(f->c, f->tls, true, &e), 0);
		}
		if (!conn_is_tls(f->c))
			return false;
		break;
	case 'W':
		evtimer_add(f->timer, &soon);
		return false;
	case 'H':
		conn_pause(f->c);
		break;
	case 'X':
		conn_finish(f->c);
		f->c = NULL;
		break;
	default:
		ck_assert(*s == 'Z');
		(void)setsockopt(conn_fd(f->c), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
		conn_free(f->c);
		f->c = NULL;
	}
	return true;
}

static void
step(struct fake *f)
{
	while (f->c != NULL && f->wrong[0] == '\0' && *f->at != NULL && one(f))
		f->at++;
}

static void
on_readable(struct conn *c, void *arg)
{
	struct fake *f = arg;
	size_t n;
	const uint8_t *p = conn_in(c, &n);

	f->reads++;
	buf_put(&f->in, p, n);
	buf_put(&f->got, p, n);
	conn_consume(c, n);
	step(f);
}

static void
on_secured(struct conn *c, void *arg)
{
	(void)c;
	step(arg);
}

static void
on_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	struct fake *f = arg;

	(void)why;
	(void)text;
	conn_free(c);
	if (f->c == c)
		f->c = NULL;
}

static const struct conn_handlers handlers = {
    .readable = on_readable, .secured = on_secured, .closed = on_closed};

static void
on_accept(evutil_socket_t lfd, short what, void *arg)
{
	const struct conn_limits limits = {
	    .in_max = 65536, .out_max = 1024 * 1024, .out_low = 1024};
	struct fake *f = arg;
	int fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	ck_assert_int_ne(fd, -1);
	conn_free(f->c);
	ck_assert_uint_lt(f->conns, FAKE_SCRIPTS_MAX);
	f->at = f->scripts[f->conns++];
	ck_assert_ptr_nonnull(f->at);
	buf_reset(&f->in);
	buf_reset(&f->pending);
	f->shaking = false;
	f->c = conn_new(f->base, fd, &limits, &handlers, f);
	ck_assert_ptr_nonnull(f->c);
	step(f);
}

static void
fake_start(struct fake *f, struct event_base *base)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof sin;

	f->base = base;
	f->budget = SIZE_MAX;
	f->twice = f->never = -1;
	buf_init(&f->in, 8 * 1024 * 1024);
	buf_init(&f->got, 16 * 1024 * 1024);
	buf_init(&f->pending, 4 * 1024 * 1024);
	f->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(f->fd, (struct sockaddr *)&sin, sizeof sin), 0);
	ck_assert_int_eq(listen(f->fd, 8), 0);
	ck_assert_int_eq(getsockname(f->fd, (struct sockaddr *)&sin, &n), 0);
	f->port = ntohs(sin.sin_port);
	f->accept = event_new(base, f->fd, EV_READ | EV_PERSIST, on_accept, f);
	f->timer = evtimer_new(base, on_timer, f);
	event_add(f->accept, NULL);
}

/* --- the client --- */

static void
on_ready(struct client *c, void *arg)
{
	struct world *w = arg;

	(void)c;
	w->ready++;
}

static void
on_gone(struct client *c, const struct client_failure *why, void *arg)
{
	struct world *w = arg;

	(void)c;
	w->closed++;
	w->failure = *why;
}

static void
on_tls(struct client *c, const struct client_tls_try *t, void *arg)
{
	struct world *w = arg;

	(void)c;
	w->tls++;
	(void)snprintf(w->tls_result, sizeof w->tls_result, "%s", t->result);
	(void)snprintf(w->tls_reason, sizeof w->tls_reason, "%s", t->reason);
	ck_assert_str_eq(t->ip, "127.0.0.1");
	ck_assert_str_eq(t->our_ip, "127.0.0.1");
}

static const struct client_ops ops = {.ready = on_ready, .closed = on_gone, .tls = on_tls};

static void
on_done(struct client *c, struct client_mail *m, void *arg)
{
	struct world *w = arg;
	const char *again = w->again;
	size_t i;

	w->done++;
	w->site = m->site;
	w->stale = m->stale;
	for (i = 0; i < m->n; i++)
		(void)snprintf(w->texts[i], sizeof w->texts[i], "%s", m->rcpts[i].text);
	if (again != NULL && client_idle(c)) {
		w->again = NULL;
		w->body = octets_mem(again, strlen(again));
		client_send(c, m);
	} else if (w->close_in_done) {
		client_close(c);
		w->client = NULL;
	}
}

void
world_start(struct world *w, const char *const *first, const char *const *second)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)(void *)&w->addr;

	memset(w, 0, sizeof *w);
	w->base = event_base_new();
	fake_start(&w->fake, w->base);
	w->fake.scripts[0] = first;
	w->fake.scripts[1] = second;
	sin->sin_family = AF_INET;
	sin->sin_port = htons(w->fake.port);
	sin->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	w->how = (struct client_how){.base = w->base,
	    .host = "mx.example",
	    .addrs = &w->addr,
	    .naddrs = 1,
	    .helo = "gw.example",
	    .spooldir = -1,
	    .connect_ms = 2000,
	    .reply_ms = 2000};
	w->env = (struct envelope){.qid = "Q", .tx = "Q", .sender = "s@y.example"};
}

void
world_stop(struct world *w)
{
	client_close(w->client);
	conn_free(w->fake.c);
	event_free(w->fake.accept);
	event_free(w->fake.timer);
	close(w->fake.fd);
	buf_free(&w->fake.in);
	buf_free(&w->fake.got);
	buf_free(&w->fake.pending);
	/* What is finishing. */
	while (conn_count() > 0)
		event_base_loop(w->base, EVLOOP_ONCE);
	event_base_free(w->base);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

bool
world_run(struct world *w, const unsigned *n, unsigned want, unsigned ms)
{
	uint64_t end = clock_ms() + ms;
	struct timeval tick = {0, 1000};
	struct event *ev = event_new(w->base, -1, EV_PERSIST, on_tick, NULL);

	event_add(ev, &tick);
	while (*n < want && clock_ms() < end)
		event_base_loop(w->base, EVLOOP_ONCE);
	event_free(ev);
	return *n >= want;
}

void
world_dial(struct world *w)
{
	w->client = client_open(&w->how, &ops, w);
	ck_assert_ptr_nonnull(w->client);
}

void
world_open(struct world *w)
{
	uint64_t end = clock_ms() + 20000;

	world_dial(w);
	while (w->ready + w->closed == 0 && clock_ms() < end)
		(void)world_run(w, &w->ready, 1, 5);
	ck_assert_uint_eq(w->ready + w->closed, 1);
}

void
world_begin(struct world *w, const struct octets *body, const char *const to[])
{
	size_t i;

	for (i = 0; to[i] != NULL; i++) {
		w->to[i].addr = to[i];
		w->rcpts[i] = (struct client_rcpt){.to = &w->to[i]};
	}
	w->body = *body;
	w->mail = (struct client_mail){
	    .env = &w->env, .body = &w->body, .rcpts = w->rcpts, .n = i, .done = on_done, .arg = w};
	w->done = 0;
	ck_assert(client_idle(w->client));
	client_send(w->client, &w->mail);
	ck_assert_uint_eq(w->done, 0);
}

void
world_send(struct world *w, const char *body, const char *const to[])
{
	struct octets o = octets_mem(body, strlen(body));

	world_begin(w, &o, to);
	ck_assert(world_run(w, &w->done, 1, 20000));
}

const char *
world_outcome(const struct world *w)
{
	static const char *const statuses[] = {"sent", "relayed", "delayed", "failed"};
	static const char *const ends[] = {
	    "unreached", "refused", "no-tls", "no-login", "lost", "bye", "garbled", "ours"};
	static char out[4096];
	size_t i, n = 0;

	out[0] = '\0';
	for (i = 0; i < w->mail.n && w->done > 0; i++)
		n += (size_t)snprintf(out + n, sizeof out - n, "%s %s, ",
		    statuses[w->rcpts[i].status], w->rcpts[i].dsn);
	n += (size_t)snprintf(out + n, sizeof out - n, "%s",
	    w->closed > 0                                 ? ends[w->failure.end]
	    : w->client != NULL && client_idle(w->client) ? "idle"
							  : "busy");
	if (w->site)
		n += (size_t)snprintf(out + n, sizeof out - n, " site");
	if (w->stale)
		(void)snprintf(out + n, sizeof out - n, " stale");
	return out;
}

bool
world_heard(const struct world *w, const char *text)
{
	return memmem(buf_ptr(&w->fake.got), buf_len(&w->fake.got), text, strlen(text)) != NULL;
}
