/* How the peers were found last, for gwctl status. */
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "base/log.h"
#include "proxy/upstream.h"

#define SEEN_MAX 64 /* peers that one process tells of */
#define ERROR_MAX 201 /* octets of a reason, with its NUL */

struct seen {
	LIST_ENTRY(seen) next;
	char peer[65], host[HOST_MAX];
	uint16_t port;
	uint64_t up, down; /* milliseconds since the epoch */
	char tls[16], error[ERROR_MAX];
};

static LIST_HEAD(, seen) all = LIST_HEAD_INITIALIZER(all);
static unsigned count;

static uint64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Is it a peer of the configuration that runs, at the same place? */
static int
is_current(const struct seen *x)
{
	const struct conf_peer *p = proxy_peer(x->peer);

	return p != NULL && strcmp(p->host, x->host) == 0 && p->port == x->port;
}

/* What is known of this peer, or room for it; NULL when there is none. */
static struct seen *
entry(const struct proxy_route *r)
{
	struct seen *x, *next;

	/* Servers of routes are no peers. */
	if (r->transparent != CONF_TRANSPARENT_NO || r->peer[0] == '\0')
		return NULL;
	LIST_FOREACH_SAFE (x, &all, next, next) {
		if (strcmp(x->peer, r->peer) == 0 && strcmp(x->host, r->host) == 0 &&
		    x->port == r->port)
			return x;
		if (count == SEEN_MAX && !is_current(x)) {
			LIST_REMOVE(x, next);
			free(x);
			count--;
		}
	}
	if (count == SEEN_MAX || (x = calloc(1, sizeof *x)) == NULL)
		return NULL;
	(void)strlcpy(x->peer, r->peer, sizeof x->peer);
	(void)strlcpy(x->host, r->host, sizeof x->host);
	x->port = r->port;
	LIST_INSERT_HEAD(&all, x, next);
	count++;
	return x;
}

void
upstream_reached(const struct proxy_route *r, const struct conn *c)
{
	struct seen *x = entry(r);
	const char *tls = conn_tls_text(c);

	if (x == NULL)
		return;
	x->up = now_ms();
	if (x->up < x->down) /* the later one counts, whatever the clock says */
		x->up = x->down;
	/* "TLSv1.3 with cipher ..." */
	(void)strlcpy(x->tls, tls, sizeof x->tls);
	x->tls[strcspn(x->tls, " ")] = '\0';
	x->error[0] = '\0';
}

void
upstream_failed(const struct proxy_route *r, const char *text)
{
	struct seen *x = entry(r);

	if (x == NULL)
		return;
	x->down = now_ms();
	if (x->down <= x->up)
		x->down = x->up + 1;
	(void)strlcpy(x->error, text, sizeof x->error);
}

void
upstream_status(void)
{
	const struct seen *x;

	LIST_FOREACH (x, &all, next)
		if (is_current(x))
			proc_fact("peer", "%s up=%llu down=%llu tls=%s error=%s", x->peer,
			    (unsigned long long)x->up, (unsigned long long)x->down, x->tls,
			    x->error);
}
