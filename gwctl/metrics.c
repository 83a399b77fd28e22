/* status --metrics: the same for Prometheus; what daemons count is in lib/proc/metrics. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "gwctl/status.h"
#include "proc/metrics.h"

#define METRICS_MAX (16 * 1024 * 1024) /* octets */

static void
daemons(struct buf *b, const struct shown_status *s)
{
	size_t i;

	metrics_head(b, "daemon_up", "gauge", "1 while the process runs");
	for (i = 0; i < s->daemons.n; i++)
		(void)buf_printf(b, "postern_daemon_up{daemon=\"%s\",instance=\"%u\"} %d\n",
		    s->daemons.v[i].daemon, s->daemons.v[i].instance,
		    strcmp(s->daemons.v[i].state, "running") == 0);
	metrics_head(
	    b, "daemon_restarts_total", "counter", "times that it had to be started again");
	for (i = 0; i < s->daemons.n; i++)
		(void)buf_printf(b,
		    "postern_daemon_restarts_total{daemon=\"%s\",instance=\"%u\"} %" PRIu32 "\n",
		    s->daemons.v[i].daemon, s->daemons.v[i].instance, s->daemons.v[i].restarts);
}

static void
gateway(struct buf *b, const struct status *st)
{
	const struct shown_status *s = &st->s;
	char version[METRICS_LABEL_MAX];

	metrics_head(b, "info", "gauge", "the running gateway");
	(void)buf_printf(b, "postern_info{version=\"%s\"} 1\n", metrics_label(version, s->version));
	metrics_head(b, "start_timestamp_seconds", "gauge", "when it was started");
	(void)buf_printf(b, "postern_start_timestamp_seconds %" PRIu64 "\n", s->started);
	metrics_head(b, "troubles", "gauge", "findings of gwctl status -q that mean trouble");
	(void)buf_printf(b, "postern_troubles %u\n", st->troubles);
	metrics_head(b, "keystore_unlocked", "gauge", "1 while private keys can be used");
	(void)buf_printf(
	    b, "postern_keystore_unlocked %d\n", strcmp(s->keystore_state, "unlocked") == 0);
	metrics_head(b, "sessions", "gauge", "sessions of all proxies");
	(void)buf_printf(b, "postern_sessions %" PRIu64 "\n", s->sessions);
}

int
status_metrics(const struct status *st, const struct conf *c)
{
	struct metrics_daemon v[STATUS_DAEMONS_MAX];
	const struct shown_status *s = &st->s;
	struct buf b;
	size_t i;

	for (i = 0; i < s->daemons.n; i++)
		v[i] = (struct metrics_daemon){.daemon = s->daemons.v[i].daemon,
		    .instance = s->daemons.v[i].instance,
		    .facts = s->daemons.v[i].facts.v,
		    .nfacts = s->daemons.v[i].facts.n};
	buf_init(&b, METRICS_MAX);
	gateway(&b, st);
	daemons(&b, s);
	if (c != NULL)
		metrics_places(&b, c, v, s->daemons.n);
	metrics_facts(&b, v, s->daemons.n);
	(void)fwrite(buf_ptr(&b), 1, buf_len(&b), stdout);
	buf_free(&b);
	return EX_OK;
}
