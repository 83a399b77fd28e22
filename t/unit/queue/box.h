#ifndef QUEUE_BOX_H
#define QUEUE_BOX_H

#include "queue/inner.h"

/* A folder with a store in it, without a thread: qstore_turn writes. */
#define BOX_PATH 64

struct box_found {
	qstore_id id;
	char qid[QUEUE_ID_MAX];
	uint64_t size;
	uint32_t nrcpts;
	int has_state;
	uint32_t attempts;
};

struct box {
	char path[BOX_PATH];
	int dir; /* of the test; the store has its own */
	struct conf_queue conf;
	struct qstore *s;
	struct box_found *found; /* at the last opening */
	size_t nfound;
	unsigned warnings; /* log lines since box_open */
	char warning[256]; /* the last of them */
};

/* What happened to a group. */
struct box_done {
	int called, ok;
	char why[128];
};

void box_make(struct box *b);
void box_remove(struct box *b); /* closes, too */
void box_open(struct box *b);
int box_try(struct box *b, struct err *e); /* box_open that may fail: 0 or -1 */
void box_close(struct box *b); /* in order */
void box_crash(struct box *b); /* as SIGKILL: what is in the file stays */

/* The octets of message n, the same each time. */
uint8_t *box_body(uint64_t n, size_t size); /* to be freed */

/* Add message n to the open group: qid "n", one recipient or several. */
int box_add(struct box *b, uint64_t n, size_t size, unsigned nrcpts, qstore_id *id);
int box_change(struct box *b, qstore_id id, uint32_t attempts, unsigned nrcpts);
int box_end(struct box *b, qstore_id id);

void box_done(void *arg, int ok, const char *why); /* arg: struct box_done */

/* A group of one message, durable when this returns. */
qstore_id box_put(struct box *b, uint64_t n, size_t size);
/* A change alone, durable. */
void box_set(struct box *b, qstore_id id, uint32_t attempts);
void box_drop(struct box *b, qstore_id id);

const struct box_found *box_find(const struct box *b, qstore_id id);
/* Its octets are those of message n. */
int box_is_whole(struct box *b, qstore_id id, uint64_t n, size_t size);

/* Files: the name of the segment in which a message is; octets of one; how many have a prefix. */
const char *box_segment(struct box *b, qstore_id id);
uint8_t *box_read_file(struct box *b, const char *name, size_t *n);
void box_write_file(struct box *b, const char *name, const void *p, size_t n, uint64_t at);
unsigned box_files(const struct box *b, const char *prefix);

/* Where a message's record begins in its segment, and its octets. */
uint32_t box_offset(struct box *b, qstore_id id);
uint32_t box_length(struct box *b, qstore_id id);

#endif
