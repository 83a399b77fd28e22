#include <errno.h>
#include <event2/event_struct.h>
#include <string.h>

#include "base/log.h"
#include "dnsd/dnsd.h"

#define INSTANCES 64

static struct resolver_config config;
static struct anchors anchors;
static int required; /* somebody wants what they validate */
static int dropped; /* nobody does, and the name servers do not pass DNSSEC through */
static struct hosts *hosts;
static struct event rebuild;
static struct chan *askers[P_MAX][INSTANCES];

static int
dnsd_open(const struct proc_env *env, struct err *e)
{
	(void)env;
	(void)e;
	trust_open();
	return 0;
}

/* The configuration's, else those of resolv.conf(5). */
static void
choose_servers(const struct conf *c, struct resolver_config *out)
{
	const size_t max = sizeof out->servers / sizeof out->servers[0];
	const uint8_t *text;
	size_t n;

	out->nservers = c->dns.servers.n < max ? c->dns.servers.n : max;
	if (out->nservers > 0)
		memcpy(out->servers, c->dns.servers.v, out->nservers * sizeof out->servers[0]);
	else if ((text = proc_file(CONF_RESOLV_FILE, &n)) != NULL)
		out->nservers = resolv_parse((const char *)text, n, out->servers, 3);
	if (out->nservers == 0)
		log_info("no name servers are configured: asking from the root servers on");
}

/* NULL in *out where it does not count. 0, or -1 with e. */
static int
choose_hosts(const struct conf *c, struct hosts **out, struct err *e)
{
	const uint8_t *text;
	size_t n;

	*out = NULL;
	if (!c->dns.hosts || (text = proc_file(CONF_HOSTS_FILE, &n)) == NULL)
		return 0;
	if ((*out = hosts_parse((const char *)text, n)) == NULL)
		return err_set(e, ENOMEM, "no memory for the hosts file");
	return 0;
}

/* On the next turn of the loop: not within a callback of the context that goes. */
static void
on_dropped(void)
{
	const struct timeval now = {0, 0};

	(void)evtimer_add(&rebuild, &now);
}

static void
on_rebuild(evutil_socket_t fd, short what, void *arg)
{
	struct err e = {0};

	(void)fd;
	(void)what;
	(void)arg;
	if (required)
		return;
	dropped = 1;
	config.anchors = NULL;
	if (resolver_open(proc_env()->base, &config, &e) == -1)
		log_err("%s", e.text);
	else
		trust_probe(NULL, 0, NULL);
}

static int
same_servers(const struct resolver_config *a, const struct resolver_config *b)
{
	return a->nservers == b->nservers &&
	       memcmp(a->servers, b->servers, sizeof a->servers[0] * a->nservers) == 0;
}

/* What the configuration wants, if that is not what there is: 0, or -1 with e and nothing changed.
 */
static int
set_up(const struct conf *c, struct err *e)
{
	struct resolver_config fresh = {.nservers = 0};
	struct anchors a, old;
	int must;

	if (trust_choose(c, &a, &must, e) == -1)
		return -1;
	choose_servers(c, &fresh);
	if (resolver_is_open() && must == required && anchors_same(&a, &anchors) &&
	    same_servers(&fresh, &config)) {
		anchors_free(&a);
		return 0;
	}
	fresh.anchors = a.n > 0 ? &a : NULL;
	if (resolver_open(proc_env()->base, &fresh, e) == -1) {
		anchors_free(&a);
		return -1;
	}
	old = anchors;
	anchors = a;
	anchors_free(&old);
	config = fresh;
	config.anchors = anchors.n > 0 ? &anchors : NULL;
	required = must;
	dropped = 0;
	(void)evtimer_del(&rebuild);
	trust_probe(config.anchors, required, on_dropped);
	return 0;
}

static int
dnsd_start(const struct proc_env *env, struct err *e)
{
	if (evtimer_assign(&rebuild, env->base, on_rebuild, NULL) == -1)
		return err_set(e, ENOMEM, "no memory for a timer");
	if (choose_hosts(env->conf, &hosts, e) == -1)
		return -1;
	return set_up(env->conf, e);
}

static int
dnsd_reload(const struct proc_env *env, struct err *e)
{
	struct hosts *h;

	if (choose_hosts(env->conf, &h, e) == -1)
		return -1;
	if (set_up(env->conf, e) == -1) {
		hosts_free(h);
		return -1;
	}
	hosts_free(hosts);
	hosts = h;
	return 0;
}

static void
on_addr_req(struct chan *c, struct ipc_msg *m)
{
	query_addr(c, m->id, ((const struct dns_addr_req *)m->body)->name, hosts);
}

static void
on_tlsa_req(struct chan *c, struct ipc_msg *m)
{
	query_tlsa(c, m->id, ((const struct dns_tlsa_req *)m->body)->name);
}

static void
on_mx_req(struct chan *c, struct ipc_msg *m)
{
	query_mx(c, m->id, ((const struct dns_mx_req *)m->body)->name);
}

static void
on_txt_req(struct chan *c, struct ipc_msg *m)
{
	query_txt(c, m->id, ((const struct dns_txt_req *)m->body)->name);
}

static void
on_ptr_req(struct chan *c, struct ipc_msg *m)
{
	query_ptr(c, m->id, ((const struct dns_ptr_req *)m->body)->ip, hosts);
}

static void
on_list_req(struct chan *c, struct ipc_msg *m)
{
	const struct dns_list_req *q = m->body;

	query_list(c, m->id, q->ip, q->zone);
}

static void
dnsd_plumbed(enum proc_id peer, unsigned instance, struct chan *c)
{
	if ((unsigned)peer >= P_MAX || instance >= INSTANCES)
		return;
	if (askers[peer][instance] != NULL)
		query_forget(askers[peer][instance]);
	askers[peer][instance] = c;
}

static void
dnsd_status(void)
{
	const struct query_counts *n = query_count();

	proc_fact("servers", "%zu", config.nservers);
	proc_fact("validation", "%s", resolver_validates() ? "on" : "off");
	proc_fact("trust_anchors", "%zu", dropped ? 0 : anchors.n);
	proc_fact("asked", "%llu", (unsigned long long)n->asked);
	proc_fact("tlsa", "%llu", (unsigned long long)n->tlsa);
	proc_fact("mx", "%llu", (unsigned long long)n->mx);
	proc_fact("txt", "%llu", (unsigned long long)n->txt);
	proc_fact("ptr", "%llu", (unsigned long long)n->ptr);
	proc_fact("lists", "%llu", (unsigned long long)n->list);
	proc_fact("found", "%llu", (unsigned long long)n->found);
	proc_fact("notfound", "%llu", (unsigned long long)n->notfound);
	proc_fact("failed", "%llu", (unsigned long long)n->failed);
	proc_fact("bogus", "%llu", (unsigned long long)n->bogus);
	proc_fact("open", "%u", n->open);
}

static const struct chan_handler handlers[] = {{M_dns_addr_req, on_addr_req},
    {M_dns_tlsa_req, on_tlsa_req}, {M_dns_mx_req, on_mx_req}, {M_dns_txt_req, on_txt_req},
    {M_dns_ptr_req, on_ptr_req}, {M_dns_list_req, on_list_req}, {0, NULL}};

static const struct sandbox sandbox = {
    .calls = SB_NET | SB_BIND,
    .files = 1024,
};

const struct proc dnsd = {
    .self = P_DNSD,
    .sandbox = &sandbox,
    .handlers = handlers,
    .open = dnsd_open,
    .start = dnsd_start,
    .reload = dnsd_reload,
    .plumbed = dnsd_plumbed,
    .status = dnsd_status,
};
