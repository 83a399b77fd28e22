#include "logd/scrape.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/netaddr.h"
#include "base/version.h"
#include "logd/http.h"
#include "proc/metrics.h"
#include "proc/proc.h"

#define INSTANCES 64 /* of one daemon, as in struct plumb */
#define DAEMONS_MAX 128
#define ANSWER_MAX (8 * 1024 * 1024) /* octets */
#define DISCARD_MAX (64 * 1024) /* octets behind the request */
#define HEAD_MAX 256 /* octets of an answer before the figures */

struct scraper {
	LIST_ENTRY(scraper) next;
	int fd;
	struct event ev;
	enum http_status want; /* HTTP_MORE: the request is not whole */
	int told; /* all of the answer has left */
	uint8_t in[HTTP_REQUEST_MAX];
	size_t n;
	struct buf out;
};

/* One daemon's answer. */
struct asked {
	enum proc_id peer;
	unsigned instance;
	int open; /* not answered yet */
	struct buf mem;
	struct status_rep *rep; /* in mem; NULL: there is none */
};

static struct scrape {
	struct event ev;
	const struct scrape_ops *ops;
	LIST_HEAD(, scraper) all;
	unsigned nscrapers;
	uint8_t known[P_MAX][INSTANCES]; /* daemons that are, or were, there */
	int asking;
	unsigned open; /* requests under way */
	struct asked asked[DAEMONS_MAX];
	size_t nasked;
} S;

static void on_scraper(evutil_socket_t fd, short what, void *arg);

/* ---- the socket ---- */

static int
open_unix(const char *path, gid_t gid, struct err *e)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct stat st;
	mode_t mask;
	int fd, rc;

	if (strlcpy(sun.sun_path, path, sizeof sun.sun_path) >= sizeof sun.sun_path)
		return err_set(e, ENAMETOOLONG, "log: metrics = %s: too long for a socket", path);
	/* Ours of an earlier time; never what is something else. */
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(path);
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) == -1)
		return err_sys(e, "log: metrics");
	mask = umask(0777);
	rc = bind(fd, (const struct sockaddr *)&sun, sizeof sun);
	(void)umask(mask);
	if (rc == 0 && gid != (gid_t)-1)
		rc = chown(path, (uid_t)-1, gid);
	if (rc == 0)
		rc = chmod(path, gid != (gid_t)-1 ? 0660 : 0600);
	if (rc == 0 && listen(fd, SCRAPERS_MAX) == 0)
		return fd;
	(void)err_sys(e, "log: metrics = %s", path);
	close(fd);
	return -1;
}

static int
open_tcp(const char *where, struct err *e)
{
	struct sockaddr_storage ss;
	struct netaddr a;
	socklen_t n;
	int fd, one = 1;

	if (netaddr_parse(where, ':', 0, &a) == -1 || !netaddr_is_loopback(&a))
		return err_set(e, EINVAL, "log: metrics = %s: no path, no loopback address", where);
	n = netaddr_to_sockaddr(&a, &ss);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return err_sys(e, "log: metrics");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (const struct sockaddr *)&ss, n) == 0 && listen(fd, SCRAPERS_MAX) == 0)
		return fd;
	(void)err_sys(e, "log: metrics = %s", where);
	close(fd);
	return -1;
}

int
scrape_open(const char *where, gid_t gid, struct err *e)
{
	*e = (struct err){0};
	if (where[0] == '\0')
		return -1;
	return where[0] == '/' ? open_unix(where, gid, e) : open_tcp(where, e);
}

/* ---- the answer ---- */

static void
scraper_free(struct scraper *s)
{
	LIST_REMOVE(s, next);
	S.nscrapers--;
	if (event_initialized(&s->ev))
		(void)event_del(&s->ev);
	close(s->fd);
	buf_free(&s->out);
	free(s);
}

static void
wait_for(struct scraper *s, short what)
{
	const struct timeval tv = {SCRAPE_CLIENT_S, 0};

	if (event_initialized(&s->ev))
		(void)event_del(&s->ev);
	if (event_assign(&s->ev, proc_env()->base, s->fd, what, on_scraper, s) == -1 ||
	    event_add(&s->ev, &tv) == -1)
		scraper_free(s);
}

static void
answer(struct scraper *s, unsigned code, const struct buf *body)
{
	const char *text = http_reason(code);
	size_t n = body != NULL ? buf_len(body) : strlen(text) + 1;

	buf_init(&s->out, HEAD_MAX + ANSWER_MAX);
	(void)buf_printf(&s->out,
	    "HTTP/1.1 %u %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
	    "Content-Length: %zu\r\n%sConnection: close\r\n\r\n",
	    code, text, n, code == 405 ? "Allow: GET, HEAD\r\n" : "");
	if (s->want != HTTP_HEAD && body != NULL)
		(void)buf_put(&s->out, buf_ptr(body), n);
	else if (s->want != HTTP_HEAD)
		(void)buf_printf(&s->out, "%s\n", text);
	wait_for(s, EV_WRITE);
}

static void
put_daemons(struct buf *b)
{
	size_t i;

	metrics_head(b, "info", "gauge", "the running gateway");
	(void)buf_printf(b, "postern_info{version=\"" POSTERN_VERSION "\"} 1\n");
	metrics_head(b, "daemon_up", "gauge", "1 while the process runs");
	(void)buf_printf(b, "postern_daemon_up{daemon=\"logd\",instance=\"0\"} 1\n");
	for (i = 0; i < S.nasked; i++)
		(void)buf_printf(b, "postern_daemon_up{daemon=\"%s\",instance=\"%u\"} %d\n",
		    proc_name(S.asked[i].peer), S.asked[i].instance, S.asked[i].rep != NULL);
}

/* Whether private keys can be used, and what runs in sum; as gwctl has it. */
static void
put_sums(struct buf *b, const struct metrics_daemon *v, size_t n)
{
	unsigned long long sessions = 0;
	const struct fact *f;
	int unlocked = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		if (strcmp(v[i].daemon, "cryptod") == 0 &&
		    (f = metrics_fact(&v[i], "keystore", NULL)) != NULL)
			unlocked = strcmp(f->value, "unlocked") == 0;
		if ((strcmp(v[i].daemon, "smtpd") == 0 || strcmp(v[i].daemon, "pop3d") == 0) &&
		    (f = metrics_fact(&v[i], "sessions", NULL)) != NULL)
			sessions += strtoull(f->value, NULL, 10);
	}
	metrics_head(b, "keystore_unlocked", "gauge", "1 while private keys can be used");
	(void)buf_printf(b, "postern_keystore_unlocked %d\n", unlocked);
	metrics_head(b, "sessions", "gauge", "sessions of all proxies");
	(void)buf_printf(b, "postern_sessions %llu\n", sessions);
}

static void
compose(struct buf *b)
{
	struct metrics_daemon v[DAEMONS_MAX + 1];
	size_t i, n = 0;

	for (i = 0; i < S.nasked; i++)
		if (S.asked[i].rep != NULL)
			v[n++] = (struct metrics_daemon){.daemon = proc_name(S.asked[i].peer),
			    .instance = S.asked[i].instance,
			    .facts = S.asked[i].rep->facts.v,
			    .nfacts = S.asked[i].rep->facts.n};
	v[n].daemon = "logd";
	v[n].instance = 0;
	v[n].nfacts = S.ops->facts(&v[n].facts);
	n++;
	put_daemons(b);
	put_sums(b, v, n);
	metrics_places(b, proc_env()->conf, v, n);
	S.ops->own(b);
	metrics_facts(b, v, n);
}

/* All have answered, or had their time. */
static void
gathered(void)
{
	struct scraper *s, *next;
	struct buf b;
	size_t i;

	buf_init(&b, ANSWER_MAX);
	compose(&b);
	LIST_FOREACH_SAFE (s, &S.all, next, next)
		if ((s->want == HTTP_GET || s->want == HTTP_HEAD) && buf_len(&s->out) == 0)
			answer(s, buf_len(&b) > 0 ? 200 : 503, &b);
	buf_free(&b);
	for (i = 0; i < S.nasked; i++) {
		free(S.asked[i].rep);
		buf_free(&S.asked[i].mem);
	}
	S.nasked = 0;
	S.asking = 0;
}

static void
on_facts(void *arg, struct ipc_msg *m, int error)
{
	struct asked *a = arg;

	(void)error;
	a->open = 0;
	/* The message is gone when this returns. */
	if (m != NULL && rec_encode(&rec_status_rep, m->body, &a->mem) == 0)
		a->rep = rec_decode(&rec_status_rep, buf_ptr(&a->mem), buf_len(&a->mem));
	if (--S.open == 0)
		gathered();
}

/* Ask everybody; who asks for figures meanwhile gets the same ones. */
static void
gather(void)
{
	const struct status_req q = {.unused = 0};
	struct chan *c;
	struct asked *a;
	unsigned p, i;

	if (S.asking)
		return;
	S.asking = 1;
	S.open = 1; /* not over before all have been asked */
	for (p = 1; p < P_MAX; p++)
		for (i = 0; i < INSTANCES; i++) {
			if (!S.known[p][i] || S.nasked == DAEMONS_MAX)
				continue;
			a = &S.asked[S.nasked++];
			*a = (struct asked){.peer = (enum proc_id)p, .instance = i};
			buf_init(&a->mem, IPC_FRAME_MAX);
			c = proc_chan((enum proc_id)p, i);
			a->open = c != NULL && chan_request(c, M_status_req, &q, -1,
						   SCRAPE_ANSWER_MS, on_facts, a) != NULL;
			S.open += (unsigned)a->open;
		}
	if (--S.open == 0)
		gathered();
}

/* ---- connections ---- */

static void
take_request(struct scraper *s)
{
	ssize_t got = recv(s->fd, s->in + s->n, sizeof s->in - s->n, 0);
	unsigned code;

	if (got == -1 && (errno == EAGAIN || errno == EINTR)) {
		wait_for(s, EV_READ);
		return;
	}
	if (got <= 0) {
		scraper_free(s);
		return;
	}
	s->n += (size_t)got;
	switch (s->want = http_request(s->in, s->n, &code)) {
	case HTTP_MORE:
		wait_for(s, EV_READ);
		break;
	case HTTP_BAD:
		answer(s, code, NULL);
		break;
	default:
		gather();
	}
}

static void
give(struct scraper *s)
{
	ssize_t n = send(s->fd, buf_ptr(&s->out), buf_len(&s->out), MSG_NOSIGNAL);

	if (n == -1 && errno != EAGAIN && errno != EINTR) {
		scraper_free(s);
		return;
	}
	buf_drain(&s->out, n > 0 ? (size_t)n : 0);
	if (buf_len(&s->out) > 0) {
		wait_for(s, EV_WRITE);
		return;
	}
	/* To close with input unread would take the answer back. */
	s->told = 1;
	(void)shutdown(s->fd, SHUT_WR);
	wait_for(s, EV_READ);
}

static void
discard(struct scraper *s)
{
	ssize_t got = recv(s->fd, s->in, sizeof s->in, 0);

	s->n += got > 0 ? (size_t)got : 0;
	if (got <= 0 || s->n > DISCARD_MAX)
		scraper_free(s);
	else
		wait_for(s, EV_READ);
}

static void
on_scraper(evutil_socket_t fd, short what, void *arg)
{
	struct scraper *s = arg;

	(void)fd;
	if (what & EV_TIMEOUT)
		scraper_free(s);
	else if (s->told)
		discard(s);
	else if (what & EV_READ)
		take_request(s);
	else
		give(s);
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct scraper *s;
	int client;

	(void)what;
	(void)arg;
	while ((client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) != -1) {
		if (S.nscrapers == SCRAPERS_MAX || (s = calloc(1, sizeof *s)) == NULL) {
			close(client);
			continue;
		}
		s->fd = client;
		LIST_INSERT_HEAD(&S.all, s, next);
		S.nscrapers++;
		wait_for(s, EV_READ);
	}
}

int
scrape_serve(int fd, const struct scrape_ops *ops, struct err *e)
{
	LIST_INIT(&S.all);
	S.ops = ops;
	if (event_assign(&S.ev, proc_env()->base, fd, EV_READ | EV_PERSIST, on_accept, NULL) ==
		-1 ||
	    event_add(&S.ev, NULL) == -1)
		return err_sys(e, "log: metrics");
	return 0;
}

void
scrape_plumbed(enum proc_id peer, unsigned instance, const struct chan *c)
{
	if (c != NULL && (PM(peer) & PM_DAEMONS) != 0 && instance < INSTANCES)
		S.known[peer][instance] = 1;
}

void
scrape_reload(void)
{
	unsigned p, i;

	for (p = 1; p < P_MAX; p++)
		for (i = 0; i < INSTANCES; i++)
			if (S.known[p][i] && proc_chan((enum proc_id)p, i) == NULL)
				S.known[p][i] = 0;
}
