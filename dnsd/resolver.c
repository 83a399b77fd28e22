#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unbound-event.h>
#include <unbound.h>

#include "base/log.h"
#include "dnsd/dnsd.h"

#define CLASS_IN 1
#define SERVFAIL 2 /* RFC 1035, 4.1.1 */
#define HEADER 12 /* octets; the RCODE is in the fourth */

/* A question that libunbound works on; its memory goes when it is answered or given up. */
struct ask {
	LIST_ENTRY(ask) next;
	resolver_fn fn;
	void *arg;
};

static struct ub_ctx *ctx;
static int validates;
static int closing; /* within ub_ctx_delete */
static LIST_HEAD(, ask) asks = LIST_HEAD_INITIALIZER(asks);

struct setting {
	const char *name, *value;
};

/* Settings of a small cache in a jail: nothing is read or written, nothing is asked of us. */
static const struct setting settings[] = {
    {"use-syslog:", "no"},
    {"username:", ""},
    {"chroot:", ""},
    {"do-not-query-localhost:", "no"}, /* the resolver of this machine */
    {"msg-cache-size:", "4m"},
    {"rrset-cache-size:", "8m"},
    {"key-cache-size:", "2m"},
    {"neg-cache-size:", "1m"},
    {"outgoing-range:", "512"},
    {"num-queries-per-thread:", "4096"},
    {"jostle-timeout:", "2000"},
    {"cache-max-ttl:", "86400"},
    {"cache-max-negative-ttl:", "300"},
    {"edns-buffer-size:", "1232"},
    {"qname-minimisation:", "yes"},
    {"harden-glue:", "yes"},
    {"harden-dnssec-stripped:", "yes"},
    {"minimal-responses:", "yes"},
};

/* Where we ask the resolvers of the site: they know the names of its private addresses. */
static const struct setting of_a_site[] = {
    {"unblock-lan-zones:", "yes"},
    {"insecure-lan-zones:", "yes"},
};

/*
 * Zones that libunbound answers with "no such name" by itself.  Which names exist is for the
 * resolvers of the site to say: many have a mail server below one of these.
 */
static const char *const not_ours[] = {"test.", "home.arpa."};

static void
conclude(struct ask *a, const struct resolver_result *r)
{
	resolver_fn fn = a->fn;
	void *arg = a->arg;

	LIST_REMOVE(a, next);
	free(a);
	fn(arg, r);
}

void
resolver_close(void)
{
	const struct resolver_result gone = {.rcode = SERVFAIL, .why = "the resolver starts again"};
	struct ub_ctx *c = ctx;

	ctx = NULL;
	validates = 0;
	closing = 1;
	if (c != NULL)
		ub_ctx_delete(c);
	closing = 0;
	while (!LIST_EMPTY(&asks))
		conclude(LIST_FIRST(&asks), &gone);
}

static int
set_options(struct ub_ctx *c, const struct setting *s, size_t n, struct err *e)
{
	int rc;

	for (; n > 0; s++, n--)
		if ((rc = ub_ctx_set_option(c, s->name, s->value)) != 0)
			return err_set(e, EINVAL, "libunbound: option %s %s: %s", s->name, s->value,
			    ub_strerror(rc));
	return 0;
}

#define N(a) (sizeof(a) / sizeof(a)[0])

static int
configure(struct ub_ctx *c, const struct resolver_config *conf, struct err *e)
{
	char text[NETADDR_TEXT_MAX];
	size_t i;
	int rc;

	if (set_options(c, settings, N(settings), e) == -1 ||
	    (conf->nservers > 0 && set_options(c, of_a_site, N(of_a_site), e) == -1))
		return -1;
	for (i = 0; i < conf->nservers; i++) {
		(void)netaddr_format(text, sizeof text, '@', &conf->servers[i]);
		if ((rc = ub_ctx_set_fwd(c, text)) != 0)
			return err_set(
			    e, EINVAL, "libunbound: server %s: %s", text, ub_strerror(rc));
	}
	for (i = 0; conf->anchors != NULL && i < conf->anchors->n; i++)
		if ((rc = ub_ctx_add_ta(c, conf->anchors->v[i])) != 0)
			return err_set(e, EINVAL, "libunbound: trust anchor %s: %s",
			    conf->anchors->v[i], ub_strerror(rc));
	/* Last, for this makes the configuration final. */
	for (i = 0; i < N(not_ours); i++)
		if ((rc = ub_ctx_zone_remove(c, not_ours[i])) != 0)
			return err_set(
			    e, EINVAL, "libunbound: zone %s: %s", not_ours[i], ub_strerror(rc));
	return 0;
}

int
resolver_open(struct event_base *base, const struct resolver_config *conf, struct err *e)
{
	struct ub_ctx *c = ub_ctx_create_event(base);

	if (c == NULL)
		return err_set(e, ENOMEM, "libunbound gave no context");
	if (configure(c, conf, e) == -1) {
		ub_ctx_delete(c);
		return -1;
	}
	resolver_close();
	ctx = c;
	validates = conf->anchors != NULL && conf->anchors->n > 0;
	return 0;
}

/* What libunbound has in its cache it gives with 0, failures too: then what is in the packet
 * counts. */
static int
rcode_of(int rcode, const uint8_t *packet, int n)
{
	return rcode == 0 && n >= HEADER ? packet[3] & 15 : rcode;
}

static void
on_answer(void *arg, int rcode, void *packet, int n, int sec, char *why_bogus, int was_ratelimited)
{
	const struct resolver_result r = {
	    .rcode = was_ratelimited ? SERVFAIL : rcode_of(rcode, packet, n),
	    .packet = packet,
	    .n = n > 0 ? (size_t)n : 0,
	    .bogus = sec == 1,
	    .secure = sec == 2,
	    .why = why_bogus,
	};

	/* A context that goes fails what is open in it: resolver_close says so in better words. */
	if (!closing)
		conclude(arg, &r);
}

int
resolver_ask(const char *name, int type, resolver_fn fn, void *arg)
{
	struct ask *a = malloc(sizeof *a);
	int rc;

	if (a == NULL || ctx == NULL) {
		free(a);
		return -1;
	}
	a->fn = fn;
	a->arg = arg;
	LIST_INSERT_HEAD(&asks, a, next);
	rc = ub_resolve_event(ctx, name, type, CLASS_IN, a, on_answer, NULL);
	if (rc != 0) {
		log_warn("libunbound: %s", ub_strerror(rc));
		LIST_REMOVE(a, next);
		free(a);
		return -1;
	}
	return 0;
}

int
resolver_is_open(void)
{
	return ctx != NULL;
}

int
resolver_validates(void)
{
	return validates;
}
