#ifndef NET_TUNNEL_H
#define NET_TUNNEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct event_base;
struct tunnel;

/*
 * Octets of two connected sockets passed on untouched, both ways, without a look at them and
 * through the kernel only (splice(2)), until both sides have ended or one has failed.  The end of
 * one side is passed on as such, the other goes on.
 */
struct tunnel_limits {
	uint32_t idle_ms; /* nothing moved in either direction; 0: for ever */
	uint32_t total_ms; /* 0: for ever */
};

struct tunnel_end {
	uint64_t octets[2]; /* from the first to the second side, and back */
	int side; /* the one that failed: 0, 1; -1: neither */
	const char *text; /* why it ended, for people: "", "idle", "took too long", or an error */
};

/* Called from the loop, once; both sockets are closed, the tunnel is freed when it returns. */
typedef void (*tunnel_done)(const struct tunnel_end *end, void *arg);

/*
 * Takes over both descriptors, which are closed in the end and when it fails.
 *
 * to_second, to_first	octets that go to that side before anything else: copied
 *
 * While octets wait it has up to four descriptors more; when there are none to be had it waits for
 * them.  Where SIGPIPE would end the process it is ignored from then on.
 *
 * Returns NULL with errno ENOMEM.
 */
struct tunnel *tunnel_new(struct event_base *base, int first, int second, struct bytes to_second,
    struct bytes to_first, const struct tunnel_limits *l, tunnel_done done, void *arg);

/* End it now; done is not called. NULL is allowed. */
void tunnel_free(struct tunnel *t);

/* Tunnels of this process. */
unsigned tunnel_count(void);

#endif
