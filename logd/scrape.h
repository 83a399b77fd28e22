#ifndef LOGD_SCRAPE_H
#define LOGD_SCRAPE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "conf/conf.h"
#include "ipc/messages.h"
#include "proc/chan.h"

/*
 * Figures for Prometheus, by HTTP on a Unix socket or a loopback address: what all daemons say of
 * themselves (lib/proc/metrics), and what logd counts of events.
 */
#define SCRAPERS_MAX 8 /* connections at once; further ones are closed */
#define SCRAPE_ANSWER_MS 2000 /* that a daemon may take; then the answer goes without it */
#define SCRAPE_CLIENT_S 10 /* for a request, and for taking the answer */

/*
 * Open the socket that log.metrics names: as root, before the jail.
 *
 * gid	the group that may connect to a Unix socket; (gid_t)-1: nobody but its owner
 *
 * Returns it, -1 with e; -1 and e->code 0 when nothing is configured.
 */
int scrape_open(const char *where, gid_t gid, struct err *e);

/*
 * Serve it (taken over).
 *
 * own	appends logd's own figures
 * facts	gives logd's facts: how many, at *v, valid until the next call
 */
struct scrape_ops {
	void (*own)(struct buf *b);
	size_t (*facts)(const struct fact **v);
};
int scrape_serve(int fd, const struct scrape_ops *ops, struct err *e);

/* A daemon's channel came or went (c NULL). */
void scrape_plumbed(enum proc_id peer, unsigned instance, const struct chan *c);

/* Daemons that are not there now may not come back: the configuration is new. */
void scrape_reload(void);

#endif
