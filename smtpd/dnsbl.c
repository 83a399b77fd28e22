#include "smtpd/dnsbl.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"

static void
add_zone(struct dnsbl *d, const char *zone)
{
	size_t i;

	for (i = 0; i < d->nzones; i++)
		if (strcasecmp(d->zones[i], zone) == 0)
			return;
	if (d->nzones < DNSBL_ZONES_MAX)
		d->zones[d->nzones++] = zone;
	else
		log_warn(
		    "dnsbl: %s is not asked: these are more than %d zones", zone, DNSBL_ZONES_MAX);
}

int
dnsbl_init(struct dnsbl *d, const struct conf_gate *g)
{
	size_t i;

	memset(d, 0, sizeof *d);
	d->threshold = (int)g->dnsbl_threshold;
	if (g->dnsbl.n == 0)
		return 0;
	if ((d->rules = calloc(g->dnsbl.n, sizeof *d->rules)) == NULL)
		return -1;
	for (i = 0; i < g->dnsbl.n; i++)
		if (conf_dnsbl_parse(g->dnsbl.v[i], &d->rules[d->n]) == 0)
			d->n++;
	for (i = 0; i < d->n; i++)
		add_zone(d, d->rules[i].zone);
	return 0;
}

void
dnsbl_free(struct dnsbl *d)
{
	free(d->rules);
	memset(d, 0, sizeof *d);
}

static int
counts(const struct conf_dnsbl *rule, const uint8_t ip[4])
{
	int i;

	for (i = 0; i < 4; i++)
		if (ip[i] < rule->low[i] || ip[i] > rule->high[i])
			return 0;
	return 1;
}

/* "You ask too often", "not through a public resolver": said where a listing would stand. */
static int
is_complaint(struct bytes ip)
{
	static const uint8_t net[3] = {127, 255, 255};

	return ip.n == 4 && memcmp(ip.p, net, sizeof net) == 0;
}

/* Does one of the answers count for this rule? */
static int
matches(const struct conf_dnsbl *rule, const struct dns_list_rep *rep, int *complaint)
{
	int named = rule->low[1] == 255 && rule->low[2] == 255; /* the rule means just these */
	size_t i;

	for (i = 0; i < rep->addrs.n; i++) {
		if (rep->addrs.v[i].ip.n != 4)
			continue;
		if (is_complaint(rep->addrs.v[i].ip) && !named)
			*complaint = 1;
		else if (counts(rule, rep->addrs.v[i].ip.p))
			return 1;
	}
	return 0;
}

int
dnsbl_add(const struct dnsbl *d, size_t i, const struct dns_list_rep *rep, struct dnsbl_score *s)
{
	const char *zone = d->zones[i];
	int complaint = 0, sum = 0;
	size_t j;

	if (rep->status != DNS_OK)
		return 0;
	for (j = 0; j < d->n; j++)
		if (strcasecmp(d->rules[j].zone, zone) == 0 &&
		    matches(&d->rules[j], rep, &complaint))
			sum += d->rules[j].weight;
	s->sum += sum;
	if (sum > s->most) {
		s->most = sum;
		s->zone = zone;
		(void)strlcpy(s->text, rep->text, sizeof s->text);
	}
	return complaint;
}

int
dnsbl_refuses(const struct dnsbl *d, const struct dnsbl_score *s)
{
	return s->zone != NULL && s->sum >= d->threshold;
}
