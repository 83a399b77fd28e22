#ifndef POP3D_MEMORY_H
#define POP3D_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "ipc/messages.h"

/*
 * What is remembered of the messages of one maildrop: how large they are as RETR gives them, and
 * what a worker found.  A cache: without it everything is found again, so files are written
 * without fdatasync, and one that is damaged is thrown away.
 *
 * A file has a name and an identity made of tenant, peer and login; messages are known by a hash
 * of what the peer's UIDL says.  No address, no subject, nothing of a message is in it.
 */
#define MEMORY_MESSAGES_MAX 100000 /* of one maildrop; further ones are not remembered */
#define MEMORY_UID 16 /* octets of a UIDL's hash */
#define MEMORY_ID 32 /* octets of a maildrop's identity */
#define MEMORY_NAME_MAX 64
#define MEMORY_UNUSED_DAYS 400 /* a message not met for so long is forgotten */

#define MEMORY_SIZE 0x01 /* size and listed are known */
#define MEMORY_BANNER 0x02 /* size is with a banner */
#define MEMORY_PLAIN 0x04 /* nothing in it concerns us: it passes as it is */
#define MEMORY_FLAGS 0x07

struct memory_entry {
	uint8_t uid[MEMORY_UID];
	uint64_t size; /* octets as RETR announces them */
	uint64_t listed; /* octets in the peer's LIST then; 0: not asked */
	uint32_t day; /* when it was last met, days since the epoch */
	uint8_t flags; /* MEMORY_* */
	uint8_t nsticky;
	bool changed; /* since the file was read */
	bool gone; /* not to be written again */
	uint8_t *sticky; /* nsticky octets (msg_filter.h), or NULL */
};

struct memory {
	struct memory_entry *v;
	size_t n, room;
	uint32_t *slots; /* hash table of indexes + 1 */
	size_t nslots; /* a power of two, or 0 */
};

void memory_init(struct memory *m);
void memory_free(struct memory *m);

/* The message's entry or NULL; gone ones are not found. Valid until the next memory_put. */
struct memory_entry *memory_find(const struct memory *m, const uint8_t uid[MEMORY_UID]);

/* Find or make it, empty then.  NULL with errno ENOSPC (MEMORY_MESSAGES_MAX) or ENOMEM. */
struct memory_entry *memory_put(struct memory *m, const uint8_t uid[MEMORY_UID]);

/* Keep what a worker found, n up to STICKY_MAX octets. 0, or -1 with ENOMEM. */
int memory_stick(struct memory_entry *x, const void *p, size_t n);

/*
 * The file's octets.  Entries not met since day - MEMORY_UNUSED_DAYS and gone ones are left out.
 *
 * Returns 0, or -1 with errno.
 */
int memory_encode(
    const struct memory *m, const uint8_t id[MEMORY_ID], uint32_t day, struct buf *out);

/*
 * Add what the file says to an empty m.
 *
 * Returns 0, or -1 with e (EBADMSG: damaged, another version or another maildrop's); m is empty.
 */
int memory_decode(
    struct memory *m, const uint8_t id[MEMORY_ID], const void *p, size_t n, struct err *e);

/* Read the file of this name in dir; 0 also when there is none, or -1 with e and m empty. */
int memory_load(
    struct memory *m, int dir, const char *name, const uint8_t id[MEMORY_ID], struct err *e);

/*
 * Write what changed: what others have written meanwhile stays unless it changed here too.  The
 * file is replaced as a whole, by rename.  0, or -1 with e.
 */
int memory_save(struct memory *m, int dir, const char *name, const uint8_t id[MEMORY_ID],
    uint32_t day, struct err *e);

/*
 * Sweep a folder of such files: leftovers of writers that died, and files not written for
 * MEMORY_UNUSED_DAYS, go.
 */
void memory_sweep(int dir);

#endif
