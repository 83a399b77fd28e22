#ifndef ANVILD_TABLE_H
#define ANVILD_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/buf.h"

/*
 * What is counted of clients is in tables in memory, each with a most number of entries.  Where it
 * is full, the entry that was used longest ago makes room, unless it is pinned (a connection is
 * open): those are as many as the sessions of all smtpd at most.
 */

/* A client: an IPv4 address or an IPv6 /64; or its network: a /24 or a /48.  IPv4 mapped into IPv6
 * is IPv4. */
struct client_key {
	uint8_t family; /* 4 or 6 */
	uint8_t addr[8];
};

/* ip: 4 or 16 octets.  0, or -1 with EINVAL. */
int client_key(struct bytes ip, struct client_key *k);
int network_key(struct bytes ip, struct client_key *k);

struct key {
	struct client_key who;
	uint8_t network;
	uint16_t gate; /* number of its name, see counts.c */
	uint16_t instance; /* of smtpd, where that counts */
	uint16_t zero;
};

struct entry {
	LIST_ENTRY(entry) chain;
	TAILQ_ENTRY(entry) order; /* by last use; not of pinned ones */
	struct key key;
	unsigned pins;
	uint64_t used; /* ms */
};

struct table;

/*
 * size	octets of the caller's struct, which begins with a struct entry; zeroed when it is made
 * max	entries
 *
 * Returns NULL with ENOMEM.
 */
struct table *table_new(size_t size, unsigned max);
void table_free(struct table *t); /* NULL is allowed */

struct entry *table_find(const struct table *t, const struct key *k); /* or NULL */

/* The same, made if it is not there; NULL: all are pinned, or no memory. now: ms, any clock. */
struct entry *table_get(struct table *t, const struct key *k, uint64_t now);

/* A pinned entry stays. */
void table_pin(struct table *t, struct entry *e);
void table_unpin(struct table *t, struct entry *e, uint64_t now);

void table_drop(struct table *t, struct entry *e);

/* Drop what is not pinned and was not used since before (ms). */
void table_sweep(struct table *t, uint64_t before);

/* Call fn for each entry; fn may drop this one. */
void table_each(struct table *t, void (*fn)(struct entry *e, void *arg), void *arg);

unsigned table_count(const struct table *t);

#endif
