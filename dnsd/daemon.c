#include <errno.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "dnsd/dnsd.h"

#define FILE_MAX (1024 * 1024) /* octets of hosts(5) and the like */
#define INSTANCES 64

/* Where distributions keep the trust anchor of the root zone. */
static const char *const anchor_files[] = {
    "/usr/share/dns/root.key", "/var/lib/unbound/root.key", "/etc/unbound/root.key"};

/* Read before the jail: the files as they are, nothing is looked at. */
static struct buf hosts_text, resolv_text, anchors_text;
static struct hosts *hosts;
static struct resolver_config config;
static struct event rebuild;
static struct chan *askers[P_MAX][INSTANCES];

/* 0, or -1 with errno; a file that is not there is no error and leaves b empty. */
static int
slurp(const char *path, struct buf *b)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = -1;
	struct stat st;
	uint8_t *p;
	ssize_t n;

	buf_init(b, FILE_MAX);
	if (fd == -1)
		return errno == ENOENT ? 0 : -1;
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		goto out;
	while ((p = buf_reserve(b, 4096)) != NULL) {
		if ((n = read(fd, p, 4096)) == -1)
			goto out;
		if (n == 0) {
			rc = 0;
			goto out;
		}
		buf_added(b, (size_t)n);
	}
out:
	close(fd);
	return rc;
}

static int
dnsd_open(const struct proc_env *env, struct err *e)
{
	size_t i;

	(void)env;
	if (slurp("/etc/hosts", &hosts_text) == -1)
		return err_sys(e, "/etc/hosts");
	if (slurp("/etc/resolv.conf", &resolv_text) == -1)
		return err_sys(e, "/etc/resolv.conf");
	for (i = 0; i < sizeof anchor_files / sizeof anchor_files[0]; i++)
		if (slurp(anchor_files[i], &anchors_text) == 0 && buf_len(&anchors_text) > 0)
			break;
	return 0;
}

/* From the configuration, and from what was read before the jail. */
static void
set_servers(const struct conf *c)
{
	const size_t max = sizeof config.servers / sizeof config.servers[0];

	config.nservers = c->dns.servers.n < max ? c->dns.servers.n : max;
	if (config.nservers > 0)
		memcpy(
		    config.servers, c->dns.servers.v, config.nservers * sizeof config.servers[0]);
	else if (buf_len(&resolv_text) > 0)
		config.nservers = resolv_parse(
		    (const char *)buf_ptr(&resolv_text), buf_len(&resolv_text), config.servers, 3);
	if (config.nservers == 0)
		log_info("no name servers are configured: asking from the root servers on");
}

/*
 * The root's keys validate with every resolver that passes DNSSEC through.  With one that strips
 * it no name at all would resolve; then it is better to say so once and go on without.
 */
static void
on_probe(void *arg, const struct resolver_result *r)
{
	const struct timeval now = {0, 0};

	(void)arg;
	if (r->bogus) {
		log_warn("the name servers do not pass DNSSEC through: answers are not validated");
		(void)evtimer_add(&rebuild, &now);
	} else if (r->secure)
		log_info("answers are validated with DNSSEC");
}

static int
open_resolver(struct err *e)
{
	/* The old one, which knows the open queries, stays when this fails. */
	if (resolver_open(proc_env()->base, &config, e) == -1)
		return -1;
	query_abort();
	if (config.anchors != NULL)
		(void)resolver_ask(".", TYPE_DNSKEY, on_probe, NULL);
	return 0;
}

/* Not within a callback of the context that goes. */
static void
on_rebuild(evutil_socket_t fd, short what, void *arg)
{
	struct err e = {0};

	(void)fd;
	(void)what;
	(void)arg;
	config.anchors = NULL;
	if (open_resolver(&e) == -1)
		log_err("%s", e.text);
}

static int
dnsd_start(const struct proc_env *env, struct err *e)
{
	if (evtimer_assign(&rebuild, env->base, on_rebuild, NULL) == -1)
		return err_set(e, ENOMEM, "no memory for a timer");
	if (buf_len(&hosts_text) > 0 &&
	    (hosts = hosts_parse((const char *)buf_ptr(&hosts_text), buf_len(&hosts_text))) == NULL)
		return err_set(e, ENOMEM, "no memory for the hosts file");
	/* libunbound takes a string. */
	if (buf_len(&anchors_text) > 0 && buf_putc(&anchors_text, '\0') == 0)
		config.anchors = (const char *)buf_ptr(&anchors_text);
	set_servers(env->conf);
	return open_resolver(e);
}

static int
dnsd_reload(const struct proc_env *env, struct err *e)
{
	const struct resolver_config old = config;

	set_servers(env->conf);
	if (old.nservers == config.nservers &&
	    memcmp(old.servers, config.servers, sizeof old.servers[0] * old.nservers) == 0)
		return 0;
	if (open_resolver(e) == -1) {
		config = old;
		return -1;
	}
	return 0;
}

static void
on_addr_req(struct chan *c, struct ipc_msg *m)
{
	const struct dns_addr_req *q = m->body;

	query_new(c, m->id, q->name, proc_env()->conf->dns.hosts ? hosts : NULL);
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
	proc_fact("validation", "%s", config.anchors != NULL ? "on" : "off");
	proc_fact("asked", "%llu", (unsigned long long)n->asked);
	proc_fact("found", "%llu", (unsigned long long)n->found);
	proc_fact("notfound", "%llu", (unsigned long long)n->notfound);
	proc_fact("failed", "%llu", (unsigned long long)n->failed);
	proc_fact("bogus", "%llu", (unsigned long long)n->bogus);
	proc_fact("open", "%u", n->open);
}

static const struct chan_handler handlers[] = {{M_dns_addr_req, on_addr_req}, {0, NULL}};

static const struct sandbox sandbox = {
    .calls = SB_NET,
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
