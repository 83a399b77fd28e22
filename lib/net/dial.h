#ifndef NET_DIAL_H
#define NET_DIAL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

struct event_base;

/* Connect to the first of several addresses that answers, from the event loop. */
struct dial;

#define DIAL_ADDRS_MAX 16

/*
 * Called once, from the loop, never from within dial_start.  The dial is gone by then.
 *
 * fd	a connected, non-blocking stream socket, now the callee's, or -1
 * peer	where fd leads; NULL when fd is -1
 * e	why there is none, every address with its own reason: "[192.0.2.1]:25: Connection refused;
 *	[2001:db8::1]:25: no answer in 10 s"; NULL when fd is not -1
 */
typedef void (*dial_done)(
    int fd, const struct sockaddr_storage *peer, const struct err *e, void *arg);

/*
 * Try addrs in order.
 *
 * addrs, n	AF_INET or AF_INET6 with the port set; 1 to DIAL_ADDRS_MAX; copied
 * each_ms	for one address
 * total_ms	for all of them
 *
 * Returns NULL with *e filled (EINVAL, ENOMEM).
 */
struct dial *dial_start(struct event_base *base, const struct sockaddr_storage *addrs, size_t n,
    uint32_t each_ms, uint32_t total_ms, dial_done done, void *arg, struct err *e);

/*
 * The same from a socket that is there, non-blocking and bound perhaps, to one address.  It is
 * taken over, also when this fails.
 */
struct dial *dial_start_from(struct event_base *base, int fd, const struct sockaddr_storage *addr,
    uint32_t total_ms, dial_done done, void *arg, struct err *e);

/* Give up; done is not called. NULL is allowed. Not for a dial whose done was called. */
void dial_cancel(struct dial *d);

#endif
