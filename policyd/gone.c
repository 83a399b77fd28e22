/*
 * Connectors that a reload took away: sessions that began with them go on, and must not find
 * themselves strangers.  Of those with a second factor nothing is kept: who shows it nobody can
 * say.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "policyd/factor.h"
#include "proc/proc.h"

#define GONE_MAX 256 /* remembered; behind these the oldest go */

struct place {
	char name[65], tenant[65], peer[65];
	bool smtp; /* smtpd's */
};

static struct place *now; /* those of the configuration that runs */
static size_t nnow;
static struct place gone[GONE_MAX];
static size_t ngone, oldest;

static void
set(struct place *p, const struct conf_connector *k)
{
	(void)strlcpy(p->name, k->name, sizeof p->name);
	(void)strlcpy(p->tenant, k->tenant, sizeof p->tenant);
	(void)strlcpy(p->peer, k->peer != NULL ? k->peer->name : "", sizeof p->peer);
	p->smtp = conf_is_smtp(k->service);
}

int
gone_reload(const struct conf *conf, struct err *e)
{
	struct place *fresh = calloc(conf->nconnectors + 1, sizeof *fresh);
	size_t i, n = 0;

	if (fresh == NULL)
		return err_sys(e, "memory");
	for (i = 0; i < nnow; i++)
		if (conf_connector_find(conf, now[i].name) == NULL) {
			gone[oldest] = now[i];
			oldest = (oldest + 1) % GONE_MAX;
			ngone += ngone < GONE_MAX;
		}
	for (i = 0; i < conf->nconnectors; i++)
		if (conf->connectors[i].second_factor == CONF_FACTOR_NONE)
			set(&fresh[n++], &conf->connectors[i]);
	free(now);
	now = fresh;
	nnow = n;
	return 0;
}

bool
gone_has(bool smtp, const char *name, const char *tenant, const char *peer)
{
	size_t i;

	for (i = 0; i < ngone; i++)
		if (gone[i].smtp == smtp && strcmp(gone[i].name, name) == 0 &&
		    strcmp(gone[i].tenant, tenant) == 0 && strcmp(gone[i].peer, peer) == 0)
			return true;
	return false;
}
