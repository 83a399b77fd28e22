#ifndef QUEUE_QSTORE_H
#define QUEUE_QSTORE_H

#include <event2/event.h>
#include <stdint.h>

#include "base/err.h"
#include "base/io.h"
#include "conf/conf.h"
#include "ipc/blob.h"
#include "ipc/messages.h"

/*
 * What is on the disk; postern-spool(5) has the format.  A log in segments: files of equal size,
 * allocated ahead and used again, to which records are appended.  A record is a message with its
 * envelope, or a change of a message's state.  Each has a checksum; one fdatasync(2), in a thread,
 * makes the records of everybody durable who has waited meanwhile.  Octets of a message above
 * QSTORE_BIG lie in a file of their own.
 *
 * At the start all segments are read once and each message is told of with its last state.  There
 * is no index beside the log that could differ from it.
 *
 * A segment is free when nothing in it counts any more: no message that lives, no change of one, no
 * end of one whose octets are still in another segment.  Messages that stay while their segment
 * has emptied around them are moved.
 */
#define QSTORE_BIG (256 * 1024) /* octets of a message with a file of its own */

/* A message in the store, by a number that is never used again. */
typedef uint64_t qstore_id;

/*
 * What changes during the life of a message; the whole of it is written each time.  rcpts says for
 * each recipient of the envelope, by its index: 0 it is done with, else enum queue_state + 1;
 * QS_ACTIVE + 1: delivered, and the sender is to be told of that.
 */
#define REC_QSTORE_RCPT(F, L)                                                                      \
	F(U8, state, 0, 4)                                                                         \
	F(U8, told, 0, 1) /* of the delay; QS_ACTIVE + 1: to a host that does not know DSN */      \
	F(STR, dsn, 0, 12)                                                                         \
	F(STR, mta, 0, 255)                                                                        \
	F(STR, text, 0, DIAG_MAX) /* the last diagnostic, or why it is held */
#define REC_QSTORE_STATE(F, L)                                                                     \
	F(U32, attempts, 0, UINT32_MAX)                                                            \
	F(U64, next, 0, UINT64_MAX) /* ms since the epoch */                                       \
	L(qstore_rcpt, rcpts, 0, RCPTS_MAX) /* none: as at the beginning, all wait */
REC_DECLARE(qstore_rcpt, REC_QSTORE_RCPT)
REC_DECLARE(qstore_state, REC_QSTORE_STATE)

/* The envelope, and the recipients in the order in which qstore_state has them. */
#define REC_QSTORE_ENTRY(F, L)                                                                     \
	L(envelope, envelope, 1, 1)                                                                \
	L(queue_rcpt, rcpts, 1, RCPTS_MAX)                                                         \
	F(U64, size, 0, UINT64_MAX) /* octets of the message; set by qstore_add */
REC_DECLARE(qstore_entry, REC_QSTORE_ENTRY)

struct qstore;

/*
 * Told at start of each message that lives, in the order of their arrival.  state NULL: as at the
 * beginning.  Both are valid for the call.
 */
typedef void (*qstore_found_fn)(
    void *arg, qstore_id id, const struct qstore_entry *entry, const struct qstore_state *state);

/*
 * Open what is in the folder dir, or begin anew.  Damaged records are told of in the log, and their
 * segment is kept aside ("damaged.N") with what can be read of it taken over; what was not yet
 * durable at a crash is no damage.  Reads, and so may take a second or two.
 *
 * dir	a descriptor, taken over, also on failure
 *
 * Returns NULL with e; some messages may have been told of then.
 */
struct qstore *qstore_open_dir(
    int dir, const struct conf_queue *conf, qstore_found_fn found, void *arg, struct err *e);

/*
 * Start the thread that writes, and the events by which it answers; once, before the first commit.
 * base must outlive the store.
 *
 * 0, or -1 with e.
 */
int qstore_start(struct qstore *s, struct event_base *base, struct err *e);

/* Write what is committed, wait for it, close.  Callbacks are not called any more.  NULL is
 * allowed. */
void qstore_close(struct qstore *s);

/* Limits of a new configuration: size, min_free, memory. The segments' size counts for new ones. */
void qstore_reload(struct qstore *s, const struct conf_queue *conf);

/*
 * Is there room for messages?  Changes are always written.
 *
 * why	receives a sentence when there is none, else ""; whysz may be 0
 *
 * The callback is called from the loop when that changes.
 */
int qstore_full(const struct qstore *s, char *why, size_t whysz);
void qstore_on_room(struct qstore *s, void (*changed)(void *arg), void *arg);

/*
 * A group of records that become durable together or not at all: begin, add, commit.  From the
 * loop only; one group at a time is being added to.
 *
 * qstore_frees		of the group that has begun: what it adds is small and makes others end, so
 *			it may be added when there is no room.  Else a queue that is full of what
 *			cannot be delivered could not even say so, and would stay full.
 * qstore_add		a new message; its octets are read now.  *id receives its number.
 * qstore_add_spool	the same from a spool.  A message with a file of its own is read by the
 *			thread: *message is empty then, and the store's; else, and on failure, it
 *			is as it was.
 * qstore_change	a new state.  A message whose recipients are all 0 ends: its octets are
 *			given up once this is durable, and it cannot be changed any more.
 *
 * qstore_commit	done is called from the loop, in a later round, when the group is durable
 *			(ok 1, why "") or could not be written (ok 0: nothing of it will ever be
 *			seen again, and why says why).  With lazily set nobody waits: it is written
 *			within the loop's round, and synced within a second or with the next group;
 *			with done NULL besides, the store goes on trying when it cannot be written.
 *
 * 0, or -1 with errno: ENOSPC (no room, of qstore_add), EAGAIN (too much waits for the disk),
 * ENOMEM, EMSGSIZE (more than 8 MiB in one group, its large messages not counted), EINVAL (a field
 * out of its bounds; an unknown message, or one that ends; no group, or nothing in it; also one
 * that a spool or a file was refused with).  The group as it was stays; it can be given up with
 * qstore_abort.
 */
int qstore_begin(struct qstore *s);
void qstore_frees(struct qstore *s);
int qstore_add(
    struct qstore *s, const struct qstore_entry *entry, struct octets *message, qstore_id *id);
int qstore_add_spool(
    struct qstore *s, const struct qstore_entry *entry, struct spool *message, qstore_id *id);
int qstore_change(struct qstore *s, qstore_id id, const struct qstore_state *state);
int qstore_commit(
    struct qstore *s, int lazily, void (*done)(void *arg, int ok, const char *why), void *arg);
void qstore_abort(struct qstore *s);

/*
 * The octets of a message, for delivery.  Those that have just come are in memory (conf.memory
 * bounds how many), others are read, which may wait for the disk.
 *
 * qstore_read	reads n octets at off into p
 * qstore_blob	the message for an IPC message: fills b, which points into memory that is valid
 *		until the next call; *fd is -1 or a descriptor for ipc_queue, which is the caller's:
 *		a sealed memfd, or the encrypted file of a large message, for reading only
 *
 * 0, or -1 with errno: ENOENT (no such message), EBADMSG (damaged), EAGAIN (a large one is not
 * durable yet), EIO and others of the system.
 */
int qstore_read(struct qstore *s, qstore_id id, void *p, size_t n, uint64_t off);
int qstore_blob(struct qstore *s, qstore_id id, struct blob *b, int *fd);

/* Facts for gwctl status. */
struct qstore_counts {
	uint64_t messages, octets; /* that live */
	uint64_t segments, free_segments, disk; /* disk: octets that all files take */
	uint64_t syncs, records, moved;
	uint64_t failed; /* groups that could not be written */
};
void qstore_count(const struct qstore *s, struct qstore_counts *n);

/*
 * Check a folder without a queued at work on it, for gwctl queue check.  All octets are read.  With
 * repair, what is damaged is taken out and kept aside under another name ("damaged.N"), what can be
 * read is kept, and the folder is one that qstore_open_dir opens without complaint.  A message
 * whose octets are damaged is not in the queue any more then; its line tells sender and recipient.
 *
 * dir	a descriptor, which stays the caller's
 * tell	reads a line per finding
 *
 * Returns how many findings there are, or -1 with e (EBUSY: a queued is at work).
 */
int qstore_check(
    int dir, int repair, void (*tell)(void *arg, const char *line), void *arg, struct err *e);

#endif
