#ifndef LOGD_ORDER_H
#define LOGD_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/log.h"

/*
 * What daemons say comes in batches, each up to 20 ms old: it is held for a moment and leaves in
 * the order in which it was said, whoever said it.
 */
#define ORDER_MS 40 /* that everything is held */
#define ORDER_MAX 8192 /* things held at once; then all leave as they are */
#define ORDER_OCTETS (4 * 1024 * 1024) /* the same, of their texts and events */

struct said {
	uint64_t when; /* ms since the epoch */
	enum log_level level;
	const char *who; /* what the line is of; not copied */
	uint32_t pid;
	int escaped; /* as in struct line */
	int step; /* in the life of a message: orders what is of the same millisecond */
	const char *text; /* of the line; NULL: none */
	struct bytes event; /* packed; n 0: none */
};

typedef void (*order_fn)(const struct said *s);

struct order;

/* NULL with errno. */
struct order *order_new(order_fn fn);
void order_free(struct order *o); /* what is held is lost */

/*
 * Take a copy.  A time that has not come yet counts as now.  What cannot be held goes to fn at
 * once, behind all that is held.
 */
void order_add(struct order *o, const struct said *s, uint64_t now);

/* Give all that was said before this time to fn, the earliest first. */
void order_flush(struct order *o, uint64_t before);

/* When something is to be flushed next, ms since the epoch; 0: nothing is held. */
uint64_t order_due(const struct order *o);

#endif
