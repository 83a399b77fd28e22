#ifndef PROC_METRICS_H
#define PROC_METRICS_H

#include <stddef.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "ipc/messages.h"

/*
 * What daemons say of themselves, for Prometheus (text exposition format, version 0.0.4): the same
 * names from gwctl status --metrics and from logd.  All append to a buffer; what does not fit into
 * its maximum is left out.
 */
struct metrics_daemon {
	const char *daemon; /* "smtpd" */
	unsigned instance;
	const struct fact *facts;
	size_t nfacts;
};

/* The two lines before a figure; name without "postern_". */
void metrics_head(struct buf *b, const char *name, const char *type, const char *help);

#define METRICS_LABEL_MAX 1100

/* A label's value: quote and backslash escaped, controls and what is no text as \xHH. */
const char *metrics_label(char out[METRICS_LABEL_MAX], const char *s);

/* A fact by name, the first or (prev not NULL) the one behind prev; NULL: no such. */
const struct fact *metrics_fact(
    const struct metrics_daemon *d, const char *name, const struct fact *prev);

/*
 * All facts that are numbers: postern_smtpd_messages{instance="0"}, equal names together; other
 * octets than letters and digits in their names become "_".
 */
void metrics_facts(struct buf *b, const struct metrics_daemon *v, size_t n);

/* Sessions of each connector, the last try of each peer, the end of each certificate. */
void metrics_places(struct buf *b, const struct conf *c, const struct metrics_daemon *v, size_t n);

#endif
