#include "master/services.h"

#include <errno.h>
#include <stdio.h>

#define EMPTY                                                                                      \
	{                                                                                          \
		IN_RUN, "empty"                                                                    \
	}
#define END                                                                                        \
	{                                                                                          \
		IN_RUN, NULL                                                                       \
	}

static const struct service table[] = {
    {P_LOGD, STAGE_LAST, "_gwlog", {{IN_STATE, "log"}, END}, 0},
    {P_CRYPTOD, STAGE_BACK, "_gwcrypt", {{IN_STATE, "keys"}, END}, 0},
    {P_POLICYD, STAGE_BACK, "_gwpolicy", {{IN_STATE, "policy"}, END}, 0},
    {P_DNSD, STAGE_BACK, "_gwdns", {EMPTY, END}, 1},
    {P_KEYD, STAGE_BACK, "_gwkeyd", {{IN_STATE, "keyd"}, END}, 0},
    {P_FILTERD, STAGE_BACK, "_gwfilter", {{IN_SPOOL, "filterd"}, END}, 0},
    {P_ANVILD, STAGE_BACK, "_gwanvil", {{IN_STATE, "anvil"}, END}, 0},
    {P_DELIVERD, STAGE_BACK, "_gwdeliver", {{IN_SPOOL, "deliverd"}, END}, 0},
    {P_QUEUED, STAGE_BACK, "_gwqueue", {{IN_SPOOL, "queue"}, END}, 0},
    {P_SMTPD, STAGE_FRONT, "_gwsmtp", {{IN_STATE, "smtpd"}, {IN_SPOOL, "smtpd"}, END}, 0},
    {P_POP3D, STAGE_FRONT, "_gwpop3", {{IN_STATE, "pop3d"}, {IN_SPOOL, "pop3d"}, END}, 0},
};

#define N(a) (sizeof(a) / sizeof(a)[0])

#define OF_A_PROXY                                                                                 \
	(PM(P_POLICYD) | PM(P_FILTERD) | PM(P_CRYPTOD) | PM(P_DNSD) | PM(P_KEYD) | PM(P_LOGD))

/* The talk matrix. No row, no conversation. */
static const uint32_t edges[P_MAX] = {
    [P_SMTPD] = OF_A_PROXY | PM(P_QUEUED) | PM(P_ANVILD),
    [P_POP3D] = OF_A_PROXY,
    [P_FILTERD] = PM_PROXIES | PM(P_POLICYD) | PM(P_CRYPTOD) | PM(P_LOGD),
    [P_POLICYD] = PM_PROXIES | PM(P_FILTERD) | PM(P_CRYPTOD) | PM(P_LOGD),
    [P_CRYPTOD] = PM_PROXIES | PM(P_FILTERD) | PM(P_POLICYD) | PM(P_LOGD),
    [P_DNSD] = PM_PROXIES | PM(P_KEYD) | PM(P_DELIVERD) | PM(P_ANVILD) | PM(P_LOGD),
    [P_KEYD] = PM_PROXIES | PM(P_DNSD) | PM(P_DELIVERD) | PM(P_LOGD),
    [P_QUEUED] = PM(P_SMTPD) | PM(P_DELIVERD) | PM(P_ANVILD) | PM(P_LOGD),
    [P_DELIVERD] = PM(P_QUEUED) | PM(P_DNSD) | PM(P_KEYD) | PM(P_ANVILD) | PM(P_LOGD),
    [P_ANVILD] = PM(P_SMTPD) | PM(P_QUEUED) | PM(P_DELIVERD) | PM(P_DNSD) | PM(P_LOGD),
    [P_LOGD] = PM_DAEMONS & ~PM(P_LOGD),
};

const struct service *
services(size_t *n)
{
	*n = N(table);
	return table;
}

static int
takes(enum proc_id role, enum conf_service service)
{
	return role == (conf_is_smtp(service) ? P_SMTPD : P_POP3D);
}

int
service_listens(const struct service *s, const struct conf_connector *k)
{
	return takes(s->role, k->service);
}

/*
 * Is anybody to be asked about revocation?  About servers' certificates (ocsp), or about our own,
 * whose answers clients are given along with them (stapling).
 */
static int
wants_ocsp(const struct conf *c)
{
	const struct conf_connector *k;
	const struct conf_peer *p;
	size_t i;

	for (i = 0; i < c->nconnectors; i++) {
		k = &c->connectors[i];
		if (k->inspect != CONF_TLS_INSPECT || k->tls == CONF_SUPPORT_DISABLED)
			continue;
		if (k->transparent == CONF_TRANSPARENT_NO ? k->profile->stapling
							  : k->profile->ocsp != CONF_OCSP_OFF)
			return 1;
	}
	for (i = 0; i < c->npeers; i++) {
		p = &c->peers[i];
		if (p->tls != CONF_TLS_NONE && p->profile->ocsp != CONF_OCSP_OFF)
			return 1;
	}
	return 0;
}

unsigned
service_instances(const struct service *s, const struct conf *c)
{
	size_t i;

	if (s->role == P_KEYD)
		return (unsigned)(wants_ocsp(c) || conf_has_queue(c));
	if (s->role == P_QUEUED || s->role == P_ANVILD)
		return (unsigned)conf_has_queue(c);
	if (s->role == P_DELIVERD)
		return conf_has_queue(c) ? (unsigned)c->processes.deliverd : 0;
	if (s->stage != STAGE_FRONT)
		return 1;
	for (i = 0; i < c->nconnectors; i++)
		if (service_listens(s, &c->connectors[i]))
			return (
			    unsigned)(s->role == P_SMTPD ? c->processes.smtpd : c->processes.pop3d);
	return 0;
}

int
services_edge(enum proc_id a, enum proc_id b)
{
	if ((unsigned)a >= P_MAX || (unsigned)b >= P_MAX)
		return 0;
	return (edges[a] & PM(b)) != 0 && (edges[b] & PM(a)) != 0;
}

int
services_tool(enum proc_id tool, enum proc_id role)
{
	const struct ipc_msgdef *all;
	size_t i, n;

	if ((unsigned)tool >= P_MAX || (unsigned)role >= P_MAX || (PM(tool) & PM_TOOLS) == 0 ||
	    (PM(role) & PM_DAEMONS) == 0)
		return 0;
	all = ipc_messages(&n);
	for (i = 0; i < n; i++)
		if (ipc_allowed(&all[i], tool, role))
			return 1;
	return 0;
}

int
service_path(char *out, size_t outsz, const struct service_dir *d, const struct conf *c)
{
	const char *base = d->base == IN_STATE   ? c->node.state_dir
			   : d->base == IN_SPOOL ? c->node.spool_dir
						 : c->node.run_dir;
	int n = snprintf(out, outsz, "%s/%s", base, d->name);

	if (n < 0 || (size_t)n >= outsz) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return 0;
}
