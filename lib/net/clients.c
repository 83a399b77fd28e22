#include "net/clients.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <netinet/in.h>
#include <sys/queue.h>

#define BUCKETS 1024 /* a power of two; with CLIENTS_MAX clients 64 in a chain */

struct client {
	LIST_ENTRY(client) next;
	uint64_t key[2];
	unsigned sessions;
};

struct clients {
	unsigned max, each;
	unsigned total;
	uint64_t seed[2]; /* so that nobody can choose addresses that share a chain */
	LIST_HEAD(client_list, client) bucket[BUCKETS];
};

/* What sessions are counted by; false: by nothing. */
static bool
client_key(uint64_t key[2], const struct sockaddr *sa)
{
	const struct sockaddr_in6 *in6 = (const void *)sa;
	const struct sockaddr_in *in = (const void *)sa;

	key[0] = key[1] = 0;
	if (sa->sa_family == AF_INET) {
		memcpy(&key[0], &in->sin_addr, 4);
		key[1] = 4;
		return true;
	}
	if (sa->sa_family != AF_INET6)
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		memcpy(&key[0], &in6->sin6_addr.s6_addr[12], 4);
		key[1] = 4;
	} else {
		memcpy(&key[0], &in6->sin6_addr, 8);
		key[1] = 6;
	}
	return true;
}

static unsigned
bucket_of(const struct clients *cl, const uint64_t key[2])
{
	__uint128_t m = (__uint128_t)(key[0] ^ cl->seed[0]) * ((key[1] ^ cl->seed[1]) | 1);

	return (unsigned)((uint64_t)m ^ (uint64_t)(m >> 64)) % BUCKETS;
}

static struct client *
find(const struct clients *cl, const uint64_t key[2])
{
	struct client *c;

	LIST_FOREACH (c, &cl->bucket[bucket_of(cl, key)], next)
		if (c->key[0] == key[0] && c->key[1] == key[1])
			return c;
	return NULL;
}

struct clients *
clients_new(unsigned total, unsigned each)
{
	struct clients *cl;

	if ((cl = calloc(1, sizeof *cl)) == NULL)
		return NULL;
	arc4random_buf(cl->seed, sizeof cl->seed);
	if (clients_limits(cl, total, each) == -1) {
		free(cl);
		return NULL;
	}
	return cl;
}

int
clients_limits(struct clients *cl, unsigned total, unsigned each)
{
	if (total < 1 || total > CLIENTS_MAX || each < 1 || each > total) {
		errno = EINVAL;
		return -1;
	}
	cl->max = total;
	cl->each = each;
	return 0;
}

int
clients_enter(struct clients *cl, const struct sockaddr *sa)
{
	struct client *c;
	uint64_t key[2];

	if (cl->total >= cl->max) {
		errno = ENFILE;
		return -1;
	}
	if (client_key(key, sa)) {
		if ((c = find(cl, key)) == NULL) {
			if ((c = calloc(1, sizeof *c)) == NULL)
				return -1;
			memcpy(c->key, key, sizeof key);
			LIST_INSERT_HEAD(&cl->bucket[bucket_of(cl, key)], c, next);
		} else if (c->sessions >= cl->each) {
			errno = EUSERS;
			return -1;
		}
		c->sessions++;
	}
	cl->total++;
	return 0;
}

void
clients_leave(struct clients *cl, const struct sockaddr *sa)
{
	struct client *c;
	uint64_t key[2];

	if (cl->total > 0)
		cl->total--;
	if (!client_key(key, sa) || (c = find(cl, key)) == NULL || --c->sessions > 0)
		return;
	LIST_REMOVE(c, next);
	free(c);
}
