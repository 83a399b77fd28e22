#ifndef NET_CLIENTS_H
#define NET_CLIENTS_H

#include <stddef.h>
#include <sys/socket.h>

/*
 * Sessions per client address, so that one client cannot take them all.  An IPv6 client counts by
 * its /64, the least that one customer has; a v4-mapped address counts as the IPv4 one.
 * The table is there as long as the process.
 */
struct clients;

/*
 * total	sessions at once, 1 to CLIENTS_MAX
 * each		sessions at once of one client, 1 to total
 *
 * Returns NULL with errno EINVAL or ENOMEM.
 */
#define CLIENTS_MAX 65536
struct clients *clients_new(unsigned total, unsigned each);

/* Change the limits (reload); sessions above them stay. 0, or -1 with EINVAL or ENOMEM. */
int clients_limits(struct clients *cl, unsigned total, unsigned each);

/*
 * A session begins.
 *
 * Returns 0, or -1 with errno EUSERS (this client has its share) or ENFILE (all are taken) or
 * ENOMEM; then nothing was counted.  An address that is neither IPv4 nor IPv6 (a Unix socket)
 * counts in the total only.
 */
int clients_enter(struct clients *cl, const struct sockaddr *sa);

/* A session that was counted ends. */
void clients_leave(struct clients *cl, const struct sockaddr *sa);

#endif
