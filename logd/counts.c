#include <stdio.h>

#include "logd/logd.h"
#include "proc/event.h"
#include "proc/metrics.h"

static uint64_t kinds[EV_MAX], statuses[ES_MAX];
static uint64_t delays; /* ms, of what was sent */

void
counts_event(const struct log_event *e)
{
	if (e->kind >= EV_MAX || e->status >= ES_MAX)
		return;
	kinds[e->kind]++;
	if (e->kind != EV_DELIVERY)
		return;
	statuses[e->status]++;
	if (e->status == ES_SENT)
		delays += (uint64_t)e->delay_a + e->delay_b + e->delay_c + e->delay_d;
}

void
counts_put(struct buf *b)
{
	unsigned i;

	metrics_head(b, "events_total", "counter", "what happened to mail, by kind");
	for (i = 0; i < EV_MAX; i++)
		(void)buf_printf(b, "postern_events_total{kind=\"%s\"} %llu\n", event_kind_name(i),
		    (unsigned long long)kinds[i]);
	metrics_head(b, "deliveries_total", "counter", "attempts for a recipient, by outcome");
	for (i = ES_SENT; i < ES_MAX; i++)
		(void)buf_printf(b, "postern_deliveries_total{status=\"%s\"} %llu\n",
		    event_status_name(i), (unsigned long long)statuses[i]);
	metrics_head(b, "delivery_delay_seconds", "summary",
	    "time from its arrival to its delivery, of what was sent");
	(void)buf_printf(b,
	    "postern_delivery_delay_seconds_sum %llu.%03llu\n"
	    "postern_delivery_delay_seconds_count %llu\n",
	    (unsigned long long)(delays / 1000), (unsigned long long)(delays % 1000),
	    (unsigned long long)statuses[ES_SENT]);
}
