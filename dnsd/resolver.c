#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unbound-event.h>
#include <unbound.h>

#include "base/log.h"
#include "dnsd/dnsd.h"

#define CLASS_IN 1

/* A question that libunbound works on; its memory goes when it is answered or given up. */
struct ask {
	resolver_fn fn;
	void *arg;
};

static struct ub_ctx *ctx;

/* Settings of a small cache in a jail: nothing is read or written, nothing is asked of us. */
static const struct {
	const char *name, *value;
} settings[] = {
    {"use-syslog:", "no"},
    {"username:", ""},
    {"chroot:", ""},
    {"do-not-query-localhost:", "no"}, /* the resolver of this machine */
    {"msg-cache-size:", "4m"},
    {"rrset-cache-size:", "8m"},
    {"key-cache-size:", "2m"},
    {"neg-cache-size:", "1m"},
    {"outgoing-range:", "256"},
    {"num-queries-per-thread:", "1024"},
    {"jostle-timeout:", "2000"},
    {"cache-max-ttl:", "86400"},
    {"cache-max-negative-ttl:", "300"},
    {"edns-buffer-size:", "1232"},
    {"qname-minimisation:", "yes"},
    {"harden-glue:", "yes"},
    {"harden-dnssec-stripped:", "yes"},
    {"minimal-responses:", "yes"},
};

/*
 * Zones that libunbound answers with "no such name" by itself.  Which names exist is for the
 * resolvers of the site to say: many have a mail server below one of these.
 */
static const char *const not_ours[] = {"test.", "home.arpa."};

void
resolver_close(void)
{
	if (ctx != NULL)
		ub_ctx_delete(ctx);
	ctx = NULL;
}

static int
add_anchors(struct ub_ctx *c, const char *anchors, struct err *e)
{
	char *copy = strdup(anchors), *rest = copy, *line;
	int rc = 0;

	if (copy == NULL)
		return err_set(e, ENOMEM, "no memory");
	while (rc == 0 && (line = strsep(&rest, "\n")) != NULL) {
		line[strcspn(line, ";")] = '\0';
		if (line[strspn(line, " \t\r")] != '\0')
			rc = ub_ctx_add_ta(c, line);
	}
	free(copy);
	return rc == 0 ? 0 : err_set(e, EINVAL, "trust anchor: %s", ub_strerror(rc));
}

static int
configure(struct ub_ctx *c, const struct resolver_config *conf, struct err *e)
{
	char text[NETADDR_TEXT_MAX];
	size_t i;
	int rc;

	for (i = 0; i < sizeof settings / sizeof settings[0]; i++) {
		rc = ub_ctx_set_option(c, settings[i].name, settings[i].value);
		if (rc != 0)
			return err_set(e, EINVAL, "libunbound: option %s %s: %s", settings[i].name,
			    settings[i].value, ub_strerror(rc));
	}
	for (i = 0; i < conf->nservers; i++) {
		(void)netaddr_format(text, sizeof text, '@', &conf->servers[i]);
		if ((rc = ub_ctx_set_fwd(c, text)) != 0)
			return err_set(
			    e, EINVAL, "libunbound: server %s: %s", text, ub_strerror(rc));
	}
	if (conf->anchors != NULL && add_anchors(c, conf->anchors, e) == -1)
		return -1;
	/* Last, for this makes the configuration final. */
	for (i = 0; i < sizeof not_ours / sizeof not_ours[0]; i++)
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
	return 0;
}

static void
on_answer(void *arg, int rcode, void *packet, int n, int sec, char *why_bogus, int was_ratelimited)
{
	struct ask *a = arg;
	struct resolver_result r = {
	    .rcode = was_ratelimited ? 2 : rcode,
	    .packet = packet,
	    .n = n > 0 ? (size_t)n : 0,
	    .bogus = sec == 1,
	    .secure = sec == 2,
	    .why = why_bogus,
	};
	resolver_fn fn = a->fn;
	void *fn_arg = a->arg;

	free(a);
	fn(fn_arg, &r);
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
	rc = ub_resolve_event(ctx, name, type, CLASS_IN, a, on_answer, NULL);
	if (rc != 0) {
		log_warn("libunbound: %s", ub_strerror(rc));
		free(a);
		return -1;
	}
	return 0;
}
