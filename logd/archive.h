#ifndef LOGD_ARCHIVE_H
#define LOGD_ARCHIVE_H

#include <stdint.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/err.h"
#include "ipc/messages.h"

/*
 * The records on disk: a store (lib/store) of two tables.
 *
 *	events	when its first event came (ms since the epoch, be64), a number that tells those of
 *one millisecond apart (be32) -> version (1 octet), 3 octets 0, count (be32), packed events in the
 *order in which they came ids	id of a transaction or a queue id, NUL, key of such a chunk ->
 *nothing
 *
 * A record holds a chunk of events, which is what makes them cheap; a search unpacks chunks.  All
 * of this may be used by one thread at a time; nothing here logs.
 */
#define CHUNK_MAX (64 * 1024) /* octets of packed events: then the next one is begun */
#define ARCHIVE_DIR "log" /* in node.state_dir */

struct chunk {
	STAILQ_ENTRY(chunk) next;
	uint64_t began; /* ms since the epoch */
	uint32_t count;
	struct buf events; /* packed */
};
STAILQ_HEAD(chunk_list, chunk);

struct chunk *chunk_new(uint64_t began); /* NULL with errno */
void chunk_free(struct chunk *c);

struct archive;

/*
 * Walk over all that is there, in a child of its own (needs fork), or open what has been walked
 * over.
 *
 * dir	the folder; an absolute path
 * name	its path as the administrator knows it
 * size	octets that its file may grow to
 *
 * archive_check: 0, or -1 with errno as store_check.  archive_open: NULL with errno.
 */
int archive_check(const char *dir, const char *name, uint64_t size, struct err *e);
struct archive *archive_open(const char *dir, const char *name, uint64_t size, struct err *e);
void archive_close(struct archive *a);

/* Put a damaged archive aside, as damaged.mdb in its folder, in place of one before. 0, or -1. */
int archive_set_aside(const char *dir, struct err *e);

/*
 * Store chunks, durably, and take those that are stored from the list.  Where there is no room the
 * oldest records go.  0, or -1 with errno (ENOSPC, EIO, EUCLEAN): what is left in the list is not
 * stored.
 */
int archive_put(struct archive *a, struct chunk_list *chunks, struct err *e);

/*
 * Drop what began before oldest (ms since the epoch), and the oldest of all when there is too much,
 * but only some at once.  1: call again, there is more to drop; 0; -1 with errno.
 */
int archive_trim(struct archive *a, uint64_t oldest, struct err *e);

struct archive_facts {
	uint64_t chunks, octets; /* in the file, without what is free in it */
	uint64_t oldest; /* ms since the epoch; 0: nothing is there */
};
int archive_facts(struct archive *a, struct archive_facts *f, struct err *e);

/*
 * Answer a search: one page of at most LOG_PAGE_MAX events, from at most SEARCH_OCTETS of chunks.
 *
 * out	receives an encoded log_search_rep
 *
 * 0, or -1 with errno; what is wrong with the request itself is said in the answer.
 */
#define SEARCH_OCTETS (2 * 1024 * 1024)
#define SEARCH_PAGE_OCTETS (160 * 1024) /* of an answer, about */
int archive_search(
    struct archive *a, const struct log_search_req *q, struct buf *out, struct err *e);

/* ---- search.c ---- */

/* Does the event fit all that the search wants? */
int search_fits(const struct log_search_req *q, const struct log_event *e);

/*
 * Does a pattern fit, without regard to case?  As fnmatch(3): * any octets, ? one, [a-z] and [!a-z]
 * one of them, \ makes the next one plain.  Takes time in proportion to the product of both lengths
 * at most, whatever they are.
 */
int search_glob(const char *pattern, const char *text);

#endif
