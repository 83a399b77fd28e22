#ifndef UNIT_NET_OWNER_H
#define UNIT_NET_OWNER_H

#include <event2/event.h>
#include <stdbool.h>

#include "base/buf.h"
#include "net/conn.h"

/* The owner of a connection in tests: notes what it is told, the other end is a plain socket. */
struct owner {
	struct event_base *base;
	struct conn *c; /* NULL once freed */
	int peer; /* the other end, non-blocking */
	struct buf got; /* input, consumed as it comes unless keep is set */
	bool keep;
	bool free_on_read, free_on_closed, finish_on_closed;
	void (*on_read)(struct owner *o); /* called by readable, before anything is consumed */
	bool beside; /* on the base of another owner */
	struct tls_cert *answer; /* to a hello, at once; NULL: none */
	char asked[256]; /* in a hello */
	unsigned readable, drained, secured, hello, closed;
	enum conn_end why;
	char text[ERR_TEXT_MAX];
};

extern const struct conn_limits owner_limits; /* 4096 in, 256 KiB out, low 1024, 10 s idle */

/* A connection over a socketpair (TCP on loopback when tcp). */
void owner_start(struct owner *o, const struct conn_limits *limits, bool tcp);
void owner_stop(struct owner *o);

/* A second connection on the same base, over a socketpair; stopped before the other. */
void owner_start_beside(struct owner *o, const struct owner *other, const struct conn_limits *l);

/* A second connection, which is the other end of a's: both are connections then, none has a peer.
 */
void owner_join(struct owner *o, struct owner *a, const struct conn_limits *l);

/* Run the loop until *n reaches want, or ms have passed; whether it did. */
bool owner_until(struct owner *o, const unsigned *n, unsigned want, unsigned ms);

/* Run the loop for ms. */
void owner_run(struct owner *o, unsigned ms);

/* Write all to the other end / read from it until n octets or nothing comes for 200 ms. */
void owner_say(struct owner *o, const void *p, size_t n);
size_t owner_hear(struct owner *o, void *p, size_t n);

#endif
