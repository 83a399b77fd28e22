/* What a gate has of the configuration, and names in HELO. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proc/proc.h"
#include "smtpd/gate_int.h"

static struct gate_rules *current;

static struct gate_rules *
make(const struct conf_gate *g)
{
	struct gate_rules *r = calloc(1, sizeof *r);

	if (r == NULL || dnsbl_init(&r->dnsbl, g) == -1) {
		free(r);
		return NULL;
	}
	(void)strlcpy(r->name, g->name, sizeof r->name);
	(void)strlcpy(r->hostname, proc_env()->conf->node.hostname, sizeof r->hostname);
	r->greet_wait = g->greet_wait;
	r->tarpit = g->tarpit;
	r->counted = g->connections > 0 || g->network_connections > 0 || g->connection_rate > 0 ||
		     g->error_rate > 0 || g->greet_wait > 0;
	r->messages = g->message_rate > 0;
	r->recipients = g->recipient_rate > 0;
	r->helo_required = g->helo_required;
	r->helo_check = g->helo_check;
	r->greylist = g->greylist;
	return r;
}

struct gate_rules *
gate_rules_get(const struct conf_gate *g)
{
	struct gate_rules *r;

	for (r = current; r != NULL && strcmp(r->name, g->name) != 0; r = r->next)
		;
	if (r == NULL) {
		if ((r = make(g)) == NULL)
			return NULL;
		r->refs = 1; /* being current */
		r->next = current;
		current = r;
	}
	r->refs++;
	return r;
}

void
gate_rules_drop(struct gate_rules *r)
{
	if (r == NULL || --r->refs > 0)
		return;
	dnsbl_free(&r->dnsbl);
	free(r);
}

void
gate_rules_renew(void)
{
	struct gate_rules *r;

	while ((r = current) != NULL) {
		current = r->next;
		gate_rules_drop(r);
	}
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" (RFC 5321, 4.1.3). */
static enum helo_fault
judge_literal(const char *helo, const struct netaddr *from)
{
	static const char prefix[] = "IPv6:";
	size_t n = strlen(helo);
	char text[NETADDR_TEXT_MAX];
	struct netaddr a;
	struct net net;
	int six;

	if (n < 3 || n - 2 >= sizeof text || helo[n - 1] != ']')
		return HELO_SYNTAX;
	memcpy(text, helo + 1, n - 2);
	text[n - 2] = '\0';
	six = strncasecmp(text, prefix, sizeof prefix - 1) == 0;
	if (text[six ? sizeof prefix - 1 : 0] == '[' ||
	    netaddr_parse_host(six ? text + sizeof prefix - 1 : text, &a) == -1 ||
	    (a.family == AF_INET6) != six)
		return HELO_SYNTAX;
	memset(&net, 0, sizeof net);
	net.family = a.family;
	net.bits = a.family == AF_INET ? 32 : 128;
	memcpy(net.addr, a.addr, sizeof net.addr);
	return net_contains(&net, from) ? HELO_GOOD : HELO_LITERAL;
}

enum helo_fault
gate_helo_judge(const char *helo, const char *hostname, const struct netaddr *from)
{
	char name[HOST_MAX + 1];
	size_t n = strlen(helo);

	if (helo[0] == '[')
		return judge_literal(helo, from);
	if (n > 0 && helo[n - 1] == '.')
		n--;
	if (n >= sizeof name)
		return HELO_SYNTAX;
	memcpy(name, helo, n);
	name[n] = '\0';
	if (!host_valid(name))
		return HELO_SYNTAX;
	if (strcasecmp(name, hostname) == 0 && !netaddr_is_loopback(from))
		return HELO_OURS;
	return HELO_GOOD;
}
