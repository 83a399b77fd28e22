#ifndef DELIVERD_POOL_INT_H
#define DELIVERD_POOL_INT_H

/* Inside of connections, for pool*.c only. */

#include "deliverd/pool.h"
#include "net/dial.h"

enum link_state {
	LINK_WAITING, /* for others to close: there are enough */
	LINK_OPENING, /* addresses, policy, connection, greeting */
	LINK_ENDED, /* none has come about: why */
	LINK_USED,
	LINK_IDLE
};

struct link {
	TAILQ_ENTRY(link) next; /* of the state's list */
	TAILQ_ENTRY(link) lru; /* while idle */
	LIST_ENTRY(link) of_dest;
	enum link_state state;
	struct dest *dest;
	struct plan *plan;
	const struct plan_host *host; /* of plan */
	struct link_want want;
	char qid[QUEUE_ID_MAX];
	struct policy *policy;
	struct client *client;
	struct link_failure *why;
	uint64_t opened, idle_until; /* clock_ms */

	/* pool_way.c, while it opens */
	struct ask *ask;
	struct policing *policing;
	struct sockaddr_storage *addrs;
	size_t naddrs;
};

/* pool.c: how it came out */
void link_fail(struct link *l, const struct link_failure *why);
void link_ready(struct link *l);
void link_lost(struct link *l);

/* pool_way.c: from the server's name to its greeting */
void link_begin(struct link *l);
void link_way_free(struct link *l);

#endif
