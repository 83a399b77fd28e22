#ifndef UNIT_QUEUED_FAKESTORE_H
#define UNIT_QUEUED_FAKESTORE_H

#include "queue/qstore.h"

/* A store in memory, whose disk does what a test says. */

extern int disk_manual; /* 1: a group waits for disk_sync */
extern int disk_errno; /* qstore_add and qstore_change fail with it; 0 */
extern int disk_add_errno; /* qstore_add does */
extern int disk_read_errno; /* reading a message fails with it; 0 */
extern unsigned disk_changes; /* states written since disk_empty */

void disk_empty(void);
void disk_sync(int ok); /* what waits is durable, or is not */
void disk_set_full(int full);
unsigned disk_live(void); /* messages that a restart would find */
unsigned disk_has(const char *qid);

/* The last state of one, or NULL: none was written. Until the next call. */
const struct qstore_state *disk_state(const char *qid);

/* The octets of one with a NUL behind; NULL when it is not there. */
const char *disk_text(const char *qid);

/* The nth message that lives, in its order: its queue id, or NULL. */
const char *disk_qid(unsigned nth);

/* Loop: callbacks of groups that are durable. */
void disk_turn(void);

#endif
