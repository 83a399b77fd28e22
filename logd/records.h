#ifndef LOGD_RECORDS_H
#define LOGD_RECORDS_H

#include <event2/event.h>

#include "ipc/messages.h"
#include "logd/archive.h"
#include "logd/thread.h"

/*
 * The loop's side of the records: events are packed as they come and given to the thread twice a
 * second; searches go there, too.  Nothing here waits, and nothing of it can hold up a line.
 */
#define RECORDS_FLUSH_MS 500 /* that an event waits for company; then all are one commit */
#define RECORDS_HELD_MAX (16 * 1024 * 1024) /* octets not yet stored; what comes then is lost */
#define RECORDS_SEARCHES 32 /* under way at once */

struct records;

struct records_options {
	const char *dir; /* as logd reaches it, absolute */
	const char *name; /* as the administrator knows it */
	uint64_t keep_ms, size;
};

/* NULL with errno. */
struct records *records_new(const struct records_options *o);

/*
 * Begin to walk over what is stored, in a child: before fork is forbidden.  Events may come from
 * now on.  What is damaged is put aside afterwards, and a new archive begun.
 */
int records_check(struct records *r, struct event_base *base, struct err *e);

/* Start the thread: when fork is forbidden. */
int records_start(struct records *r, struct event_base *base, struct err *e);

/* Store an event, as pack_event gives it. */
void records_event(struct records *r, struct bytes event);

/*
 * Answer a search, with what came before it.  fn is called once from the loop, unless
 * records_forget comes first; rep is gone when it returns.
 */
typedef void (*records_fn)(const struct log_search_rep *rep, uint64_t id, void *arg);
void records_search(
    struct records *r, const struct log_search_req *q, uint64_t id, records_fn fn, void *arg);

/* Nobody waits any more for searches with this arg. */
void records_forget(struct records *r, const void *arg);

/* Another age, another size. */
void records_limits(struct records *r, uint64_t keep_ms, uint64_t size);

/* Store what there is, close, then call fn from the loop. */
void records_stop(struct records *r, void (*fn)(void *arg), void *arg);

/* NULL is fine; not while records_stop is under way. */
void records_free(struct records *r);

struct records_counts {
	uint64_t stored, lost, searches;
	struct archive_facts archive; /* after the last commit */
	char trouble[ERR_TEXT_MAX]; /* why events are not stored now, or "" */
};
void records_count(const struct records *r, struct records_counts *n);

#endif
