#ifndef GWCTL_QUEUE_H
#define GWCTL_QUEUE_H

#include <getopt.h>

#include "gwctl/gwctl.h"

/* Between the files of "gwctl queue". */

/* Which messages a command line means. */
struct queue_choice {
	struct queue_filter filter;
	char **ids; /* queue ids that stand behind the options */
	int n;
	int all; /* --all */
	int yes; /* --yes */
	int how; /* LIST_TABLE, LIST_JSON, LIST_NAMES */
	const char *reason;
};

/* What a verb takes beside the filter, or-ed. */
enum { Q_LIST = 1, Q_CHANGE = 2, Q_YES = 4, Q_REASON = 8 };

/* The options; 0, or the exit code with what was wrong said. */
int queue_options(struct queue_choice *c, unsigned takes, int argc, char *argv[]);

/* Does the filter mean everything? */
int queue_choice_is_empty(const struct queue_choice *c);

/* A channel to queued; 0 or the exit code. */
int queue_connect(struct gwctl *t, struct ipc *c);

/* Call fn for each message that fits, page by page; 0 or the exit code. */
int queue_each(struct ipc *c, const struct queue_filter *f,
    void (*fn)(void *arg, const struct queue_info *q), void *arg, uint64_t *total);

/* "active", "waiting", "deferred", "held". */
const char *queue_state_name(unsigned state);

/* That of a message: active if a recipient is, held if all are. */
unsigned queue_state_of(const struct queue_info *q);

/* As JSON on one line, with its newline. 0 or the exit code. */
int queue_json(const struct queue_info *q);

#endif
