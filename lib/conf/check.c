#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/load.h"

void
conf_no_memory(struct conf_load *l)
{
	conf_error(&l->errs, 0, "%s", strerror(ENOMEM));
}

static void
complete_node(struct conf_load *l)
{
	const struct scan_section *at = l->single[CONF_S_NODE];
	char name[HOST_NAME_MAX + 1] = "";

	if (l->c->node.hostname != NULL || conf_given(at, "hostname"))
		return;
	if (gethostname(name, sizeof name - 1) == -1 || !host_valid(name)) {
		conf_error(&l->errs, at != NULL ? at->line : 0,
		    "this machine calls itself '%s', which is no host name: set node.hostname",
		    conf_show(name, strlen(name)));
		return;
	}
	if ((l->c->node.hostname = strdup(name)) == NULL)
		conf_no_memory(l);
}

static void
check_notify(struct conf_load *l, struct conf_peer *p, const struct scan_section *at)
{
	unsigned line = conf_line(at, "notify");

	p->notify = p;
	if (p->notify_name == NULL || *p->notify_name == '\0')
		return;
	p->notify = conf_peer_find(l->c, p->notify_name);
	if (p->service != CONF_SMTP)
		conf_error(&l->errs, line,
		    "notify stands in a %s peer: only smtp peers take notices, remove it",
		    conf_word(CONF_S_PEER, p, "service"));
	else if (p->notify == NULL)
		conf_error(&l->errs, line, "notify = %s: there is no such peer", p->notify_name);
	else if (p->notify->service != CONF_SMTP)
		conf_error(&l->errs, line, "notify = %s: that peer is of service %s, not smtp",
		    p->notify_name, conf_word(CONF_S_PEER, p->notify, "service"));
}

static void
check_peer(struct conf_load *l, struct conf_connector *k, const struct scan_section *at)
{
	int given = k->peer_name != NULL && *k->peer_name != '\0';

	conf_check_queue(l, k, at);
	if (conf_queues(k))
		return;
	if (k->transparent != CONF_TRANSPARENT_NO) {
		if (given)
			conf_error(&l->errs, conf_line(at, "peer"),
			    "connector \"%s\" is transparent, its clients say where they want to "
			    "go: remove peer = %s, or transparent",
			    k->name, k->peer_name);
		if (k->second_factor != CONF_FACTOR_NONE)
			conf_error(&l->errs, conf_line(at, "second_factor"),
			    "connector \"%s\" is transparent, and logins at foreign servers are "
			    "nobody's: remove second_factor, or transparent",
			    k->name);
		if (k->service == CONF_SMTP && k->sign_by_address.n > 0)
			conf_error(&l->errs, conf_line(at, "sign_by_address"),
			    "connector \"%s\" is transparent, and nothing is signed for whoever "
			    "comes by: remove sign_by_address, or transparent",
			    k->name);
		return;
	}
	if (k->peer_name == NULL)
		return;
	if (!given) {
		conf_error(&l->errs, k->line,
		    "connector \"%s\" has no peer: add one, or transparent = redirect or tproxy",
		    k->name);
		return;
	}
	k->peer = conf_peer_find(l->c, k->peer_name);
	if (k->peer == NULL)
		conf_error(&l->errs, conf_line(at, "peer"),
		    "peer = %s: there is no such peer; add a section peer \"%s\"", k->peer_name,
		    k->peer_name);
	else if (k->peer->service != k->service)
		conf_error(&l->errs, conf_line(at, "peer"),
		    "peer = %s: that peer (line %u) is of service %s, connector \"%s\" of %s",
		    k->peer_name, k->peer->line, conf_word(CONF_S_PEER, k->peer, "service"),
		    k->name, conf_word(CONF_S_CONNECTOR, k, "service"));
}

static void
check_connector(struct conf_load *l, struct conf_connector *k, const struct scan_section *at)
{
	const char *service = conf_word(CONF_S_CONNECTOR, k, "service");
	size_t i;

	if (k->service != CONF_POP3 && k->sizes != CONF_SIZES_FAST)
		conf_error(&l->errs, conf_line(at, "sizes"),
		    "sizes stands in a %s connector: it belongs to pop3, remove it", service);
	if (k->service != CONF_POP3 && k->banner)
		conf_error(&l->errs, conf_line(at, "banner"),
		    "banner stands in a %s connector: it belongs to pop3, remove it", service);
	if (!conf_is_smtp(k->service) && k->sign_by_address.n > 0)
		conf_error(&l->errs, conf_line(at, "sign_by_address"),
		    "sign_by_address stands in a %s connector: it belongs to smtp, remove it",
		    service);
	for (i = 0; i < k->sign_by_address.n; i++)
		if (k->sign_by_address.v[i].bits == 0)
			conf_error(&l->errs, conf_value_line(l, at, "sign_by_address", i),
			    "sign_by_address: everybody could sign as anybody: name the networks");
	check_peer(l, k, at);
	if (k->keep_source && k->transparent != CONF_TRANSPARENT_TPROXY)
		conf_error(&l->errs, conf_line(at, "keep_source"),
		    "keep_source: a client's address can be kept with transparent = tproxy only: "
		    "set that, or remove it");
}

static void
check_ignition(struct conf_load *l)
{
	const struct conf_ignition *g = &l->c->ignition;

	if (*g->key_file != '\0' && *g->credential != '\0')
		conf_error(&l->errs, conf_line(l->single[CONF_S_IGNITION], "credential"),
		    "ignition: key_file and credential are both given: keep one");
}

static void
check_limits(struct conf_load *l)
{
	const struct conf_limits *m = &l->c->limits;
	const struct conf_workers *w = &l->c->workers;
	const struct scan_section *at = l->single[CONF_S_LIMITS];

	if (w->spare > w->max)
		conf_error(&l->errs, conf_line(l->single[CONF_S_WORKERS], "spare"),
		    "workers: spare is larger than max: lower spare or raise max");
	if (m->headers > m->message_size)
		conf_error(&l->errs, conf_line(at, "headers"),
		    "limits: headers is larger than message_size: lower it");
	if (m->sessions_per_client > m->sessions)
		conf_error(&l->errs, conf_line(at, "sessions_per_client"),
		    "limits: sessions_per_client is larger than sessions: lower it");
	if (m->idle_timeout > m->session_timeout || m->pop3_idle_timeout > m->session_timeout)
		conf_error(&l->errs, conf_line(at, "session_timeout"),
		    "limits: session_timeout is shorter than an idle timeout: raise it");
}

void
conf_complete(struct conf_load *l)
{
	const struct scan_section *const *at;
	struct conf *c = l->c;
	size_t i;

	complete_node(l);
	conf_check_profiles(l);
	at = l->titled[CONF_S_PEER];
	for (i = 0; i < c->npeers; i++)
		conf_complete_peer(l, &c->peers[i], at[i]);
	for (i = 0; i < c->npeers; i++)
		check_notify(l, &c->peers[i], at[i]);
	at = l->titled[CONF_S_CONNECTOR];
	for (i = 0; i < c->nconnectors; i++) {
		conf_complete_action(l, &c->connectors[i], at[i]);
		conf_complete_ports(l, &c->connectors[i], at[i]);
		check_connector(l, &c->connectors[i], at[i]);
		conf_check_tls(l, &c->connectors[i], at[i]);
	}
	conf_check_ports(l);
	conf_check_routes(l);
	if (c->nconnectors == 0)
		conf_error(
		    &l->errs, 0, "no connector: nothing would listen; add a section connector");
	if (c->ignition.key_file != NULL && c->ignition.credential != NULL)
		check_ignition(l);
	check_limits(l);
}
