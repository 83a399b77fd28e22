#ifndef UNIT_FILTERD_PEERS_H
#define UNIT_FILTERD_PEERS_H

#include <pthread.h>

#include "t/unit/filterd/harness.h"

/* The thread that is proxy, policyd and cryptod. */
struct peers {
	struct ipc proxy, policyd, cryptod;
	struct outcome *o;
	pthread_t thread;
	int requests; /* sent by peers_request: after as many answers the proxy's end is closed */
};

/* Takes the three descriptors over. */
void peers_init(
    struct peers *p, int proxy, int policyd, int cryptod, enum proc_id who, struct outcome *o);
void peers_start(struct peers *p);

/* Send a request as the proxy, before the thread runs. */
void peers_request(struct peers *p, uint16_t type, const void *body, int fd);

/* Wait until the worker's end of the proxy's channel is closed. */
void peers_join(struct peers *p);

/* In harness.c: what the proxy does with a message. */
void proxy_message(struct outcome *o, struct ipc_msg *m);

#endif
