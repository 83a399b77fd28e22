#ifndef QUEUE_INNER_H
#define QUEUE_INNER_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include "ipc/blob.h"
#include "queue/qstore.h"
#include "queue/record.h"

/*
 * The store is of two halves.  The loop's half knows the messages (index.c, life.c), takes groups
 * (stage.c) and applies what has become durable (done.c).  The writer's half, a thread, puts groups
 * into segments and syncs them (writer.c, stream.c).  Jobs go from one to the other and back; what
 * both look at is in struct writer, under its lock.  Without qstore_start there is no thread, and
 * qstore_turn does the writer's work in the caller's: at the start, for checks, and in tests.
 *
 * Names end up beside those of queued, hence the prefix.
 */
#define NONE UINT32_MAX /* no slot, no segment, no chunk */
#define CHUNK (256 * 1024) /* octets of memory that groups are put together in */
#define GROUP_MAX (SEGMENT_MIN - 4 * BLOCK) /* octets of a group */
#define GROUP_BODIES (2 * 1024 * 1024) /* in a longer group, bodies have files of their own */
#define WAITING_MAX (32 * 1024 * 1024) /* octets that wait for the disk: then EAGAIN */
#define BIGS_MAX 64 /* messages on their way into files of their own: then EAGAIN */
#define LAZY_MS 900 /* what nobody waits for is synced after this */
#define NAME_MAX_OCTETS 32 /* of our files' names, with the NUL */

/* System calls that a disk can fail: tests fail them. */
struct queue_io {
	ssize_t (*pwritev)(int fd, const struct iovec *v, int n, off_t at);
	int (*fdatasync)(int fd);
	int (*fallocate)(int fd, int mode, off_t off, off_t len);
};
extern struct queue_io queue_io;

/* All n octets, or -1. */
int qs_io_write(int fd, const void *p, size_t n, uint64_t at);
/* Octets read, fewer only at the end of the file; or -1. */
ssize_t qs_io_read(int fd, void *p, size_t n, uint64_t at);

/* A message that lives; or one that ended, as long as its octets stand somewhere; see life.c. */
enum {
	M_USED = 1,
	M_STAGED = 2, /* not on the disk yet: seg and off are not known, body is */
	M_BIG = 4, /* a file of its own; size is in KiB then */
	M_ENDING = 8, /* its end is on the way to the disk */
	M_DEAD = 16, /* its end is at sseg, soff */
	M_STALE = 32, /* there are copies elsewhere, see seg.moved */
	M_LOST = 64 /* cannot be read any more, so it cannot be moved */
};

struct msg {
	uint64_t id;
	uint32_t seg, off; /* its record */
	uint32_t body; /* from there to its octets */
	uint32_t size;
	uint32_t sseg, soff; /* its last state's record, or NONE */
	uint64_t lsn; /* of that */
	uint32_t chunk, coff; /* its record in memory, or NONE, or gone from there */
	uint32_t next; /* free slot, or next of seg.dead */
	uint32_t flags;
};

#define SLOTS_SHIFT 10 /* a page of slots has 1,024 */

struct slots {
	struct msg **page;
	uint32_t npages;
	uint32_t free; /* first free slot, or NONE */
	uint32_t used;
	uint32_t *hash; /* slot + 1 of those that live, by id; 0: empty */
	uint32_t hashed, mask;
};

/* The uses that a segment's file has. */
enum seg_state {
	SEG_ABSENT, /* there is no file yet */
	SEG_IDLE, /* nothing in it counts */
	SEG_ACTIVE, /* is being written to */
	SEG_SEALED, /* was */
	SEG_VOIDING /* the writer has been told to void it */
};

struct seg {
	STAILQ_ENTRY(seg) next; /* writer.idle */
	uint32_t no; /* of the file, and in qstore.seg */
	uint32_t size;
	uint64_t inc, mark; /* while it is active or sealed */

	/* Under the writer's lock. */
	enum seg_state state;
	uint32_t end; /* sealed: the end of what counts */
	unsigned kind; /* enum seg_kind */
	struct seg *told_in; /* whose header says where this one, given up, ends */

	/* The loop's. */
	uint32_t live; /* records that count */
	uint64_t octets; /* of them, about */
	uint32_t dead; /* messages that ended and whose octets are here */
	uint64_t *moved; /* messages of which a copy is here that does not count */
	uint32_t nmoved, moved_room;
	int fd; /* for reading, or -1 */
	uint64_t touched; /* when it was last read */
	uint64_t retry; /* ms: voiding failed */
	int no_move; /* some of it cannot be read */
	int damaged; /* found so at the start */
	int last; /* at the start: it may have been written to at the crash */
};
STAILQ_HEAD(segs, seg);

/* Memory that groups are put together in, and that messages are read from as long as it stays. */
struct chunk {
	uint8_t *data;
	uint32_t size, used;
	uint32_t no;
	uint32_t jobs; /* groups in it that are under way */
	uint32_t live; /* messages in it */
};

/* A message on its way into a file of its own. */
struct big {
	STAILQ_ENTRY(big) next;
	uint64_t id;
	struct spool src;
	uint64_t off; /* octets done */
	uint32_t crc;
	int fd;
	uint32_t at; /* its record in the group */
	uint8_t key[BLOB_KEY];
	void *cipher; /* EVP_CIPHER_CTX, where src has another key or none */
};
STAILQ_HEAD(bigs, big);

enum item_kind { ITEM_MESSAGE, ITEM_STATE, ITEM_END };
struct move_item {
	uint64_t id;
	uint32_t slot;
	uint32_t off; /* in the segment that is emptied */
	uint32_t len; /* octets to read, 0: not known */
	uint8_t kind;
	uint8_t read; /* 0: it cannot be read */
	uint32_t to; /* from the new group's first octet; 0: it was not moved */
};
#define MOVE_ITEMS 256
#define MOVE_OCTETS (512 * 1024)

enum job_kind { JOB_GROUP, JOB_MOVE, JOB_VOID, JOB_DROP, JOB_UNLINK };

struct job {
	STAILQ_ENTRY(job) next;
	enum job_kind kind;
	int error; /* errno when it failed */

	/* A group. */
	uint8_t *p; /* in chunk, or of its own (a move) */
	uint32_t len, nrec;
	struct chunk *chunk;
	struct bigs bigs;
	int lazily, frees;
	void (*done)(void *arg, int ok, const char *why);
	void *arg;
	struct seg *seg; /* where it was put; to be voided, dropped, emptied */
	uint32_t at;

	struct seg *from; /* of a move */
	struct move_item *item;
	unsigned nitems;

	uint64_t id; /* whose file is to go */
};
STAILQ_HEAD(jobs, job);

/* One of the two segments that are written to. */
#define IOV_N 64

struct stream {
	enum seg_kind kind;
	struct seg *seg; /* NULL: none, or it was given up */
	int fd;
	uint32_t off; /* where the next group goes */
	uint32_t prev, synced_prev; /* where the last one went; the last durable one */
	uint32_t written; /* all before is in the file */
	uint32_t synced; /* all before is durable */
	uint32_t zeroed; /* the file was written to before this, so writing there costs less */
	struct iovec iov[IOV_N];
	int niov;
	struct jobs jobs; /* put, not durable */
	int waited; /* somebody waits for one of them */
	uint64_t since; /* ms: the first of them */
	uint8_t seal[GROUP_HEAD];
};

struct writer {
	pthread_t thread;
	int running; /* there is a thread */
	pthread_mutex_t lock;
	pthread_cond_t work;
	int fd; /* eventfd: done is not empty */

	/* Under lock. */
	struct jobs queue, done;
	struct segs idle; /* for the writer to take */
	uint64_t idle_octets; /* of those whose file is there */
	uint64_t disk; /* octets of all segments' files */
	uint64_t inc; /* the next use's number */
	uint64_t next_id, next_lsn;
	uint64_t syncs;
	int ending;
	int sealed; /* some were, since the loop looked */

	/* The thread's. */
	struct stream stream[2];
	struct jobs finished; /* not in done yet */
	struct jobs bigs; /* groups whose files are being written */
	struct jobs retry; /* what nobody waits for and could not be written */
	uint64_t retry_at;
	struct seg *ends[ENDS_MAX]; /* given up, and told of in no durable header */
	unsigned nends;
	uint64_t open_at; /* ms: no new segment before, for the last try failed */
	int open_error;
};

struct moving {
	struct seg *seg; /* that is being emptied, or NULL */
	uint32_t slot; /* the next to look at */
	int under_way; /* a job is */
};

struct qstore {
	int dir, lock;
	uint64_t size, min_free, memory; /* conf_queue */
	uint32_t segment;

	struct slots slots;
	struct seg **seg; /* by number; NULL: none */
	uint32_t nsegs;
	uint64_t reads; /* counts, for seg.touched */
	unsigned open_segs;
	uint64_t big_octets;

	uint64_t next_id, next_lsn;
	struct job *group; /* being added to */
	struct jobs pending; /* committed in this round */
	uint64_t waiting; /* octets committed, not durable */
	unsigned bigs; /* messages with files of their own that are, too */

	struct chunk *cur;
	struct chunk **ring; /* by number; mask + 1 of them */
	uint32_t ring_mask, first_chunk, next_chunk;
	struct chunk *spare_chunk[4];
	unsigned nspare;
	uint64_t chunk_octets;

	struct moving moving;
	int tend; /* a segment has emptied, or was sealed */
	int full;
	int64_t room; /* octets */
	uint64_t disk; /* writer.disk as it was then */
	uint64_t fs_free, fs_asked;
	void (*room_changed)(void *arg);
	void *room_arg;

	struct buf record; /* the record that was read last, of record_id if that is not 0 */
	uint64_t record_id;
	struct spool shown; /* qstore_blob's, where it needed one */

	struct event_base *base;
	struct event kick, ready, tick;
	int kicked;
	struct qstore_counts counts;
	struct writer w;
};

/* index.c */
struct msg *qs_slot_msg(const struct qstore *s, uint32_t slot);
uint32_t qs_slot_count(const struct qstore *s); /* slots below this may be used */
uint32_t qs_slot_new(struct qstore *s, uint64_t id); /* not in the index; NONE: ENOMEM */
void qs_slot_free(struct qstore *s, uint32_t slot);
uint32_t qs_index_find(const struct qstore *s, uint64_t id);
int qs_index_add(struct qstore *s, uint32_t slot); /* 0, or -1 with ENOMEM */
void qs_index_remove(struct qstore *s, uint64_t id);
void qs_index_free(struct qstore *s);

/* life.c */
void qs_life_home(struct qstore *s, uint32_t slot, struct seg *seg, uint32_t off);
void qs_life_state(struct qstore *s, uint32_t slot, struct seg *seg, uint32_t off, uint64_t lsn);
void qs_life_end(struct qstore *s, uint32_t slot, struct seg *seg, uint32_t off);
void qs_life_forget(struct qstore *s, uint32_t slot); /* it never came onto the disk */
void qs_life_restore(struct qstore *s, uint32_t slot);
void qs_life_copied(
    struct qstore *s, const struct move_item *i, struct seg *from, struct seg *to, uint32_t off);
void qs_life_voided(struct qstore *s, struct seg *seg);
/* A copy of a living message is here as well; qs_segment_reserve has made room for it. */
void qs_life_stale(struct qstore *s, struct seg *seg, uint32_t slot);
void qs_life_bury(struct qstore *s, uint32_t slot, struct seg *end, uint32_t off);

/* segment.c */
char *qs_segment_name(char out[NAME_MAX_OCTETS], uint32_t no);
char *qs_big_name(char out[NAME_MAX_OCTETS], uint64_t id);
struct seg *qs_segment_new(struct qstore *s, uint32_t no); /* NULL: ENOMEM */
void qs_segment_free(struct qstore *s, struct seg *seg);
int qs_segment_reserve(struct seg *seg, uint32_t n); /* for n more of moved: 0 or -1 */
void qs_segment_ref(struct seg *seg, uint32_t octets);
void qs_segment_unref(struct qstore *s, struct seg *seg, uint32_t octets);
int qs_segment_fd(struct qstore *s, struct seg *seg); /* for reading: -1 with errno */
void qs_segment_close(struct qstore *s, struct seg *seg);
int qs_segment_write_header(int fd, const struct seg_header *h);
void qs_segment_supply(struct qstore *s);
void qs_segment_tend(struct qstore *s); /* void those that emptied, give some back */
uint32_t qs_segment_size(const struct qstore *s);

/* room.c */
int64_t qs_room_for(const struct qstore *s, int frees); /* octets; below 0: none */
void qs_room_update(struct qstore *s); /* from the loop; calls room_changed */

/* read.c */
/* The record of a message with its octets, unless big, checked; or NULL with errno. */
const uint8_t *qs_read_record(struct qstore *s, uint32_t slot, struct record *r);
/* A spool over the file of a big one whose meta is given: 0, or -1 with errno. */
int qs_read_big(struct qstore *s, uint64_t id, const uint8_t *meta, struct spool *sp);

/* cache.c */
uint8_t *qs_cache_reserve(struct qstore *s, uint32_t n); /* behind the open group; NULL: ENOMEM */
struct chunk *qs_cache_chunk(const struct qstore *s, uint32_t no);
const uint8_t *qs_cache_find(const struct qstore *s, const struct msg *m, uint32_t *len);
void qs_cache_forget(struct qstore *s, struct msg *m);
void qs_cache_job_done(struct qstore *s, struct chunk *c);
void qs_cache_free(struct qstore *s);

/* stage.c */
struct job *qs_job_new(struct qstore *s, enum job_kind kind); /* NULL: ENOMEM */
void qs_job_free(struct qstore *s, struct job *j); /* the group's memory is given up, too */
void qs_stage_submit(struct qstore *s, struct job *j);
void qs_stage_hand_over(struct qstore *s);
void qs_stage_undo(struct qstore *s, struct job *j); /* a group that will not be written */

/* Each record of a group in memory: start with at GROUP_HEAD. 1, or 0 at the end. */
int qs_group_next(const struct job *j, uint32_t *at, struct record *r);

/* big.c */
int qs_big_begin(struct big *b); /* 0, or -1 with errno */
int qs_big_step(struct qstore *s, struct big *b); /* 1 durable, 0 more to do, -1 with errno */
void qs_big_free(struct big *b);
void qs_big_drop(struct qstore *s, uint64_t id);
/* Its file for reading, of a size: -1 with errno, EBADMSG when it is another. */
int qs_big_open(struct qstore *s, uint64_t id, uint64_t size);

/* stream.c */
int qs_stream_put(struct qstore *s, struct stream *st, struct job *j); /* -1: not put, errno */
void qs_stream_flush(struct qstore *s, struct stream *st);
void qs_stream_sync(struct qstore *s, struct stream *st);
void qs_stream_end(struct qstore *s, struct stream *st); /* no more into this segment */
/* Where segments end that were given up: 0 when that is on the disk. */
int qs_stream_tell(struct qstore *s);

/* writer.c */
void qs_writer_init(struct qstore *s);
void qs_writer_free(struct qstore *s);
void qs_writer_done(struct qstore *s, struct job *j, int error); /* errno, or 0 */
void qs_writer_post(struct qstore *s); /* what is done goes to the loop */
void qs_writer_turn(struct qstore *s, struct jobs *jobs, int all);
int qs_writer_start(struct qstore *s, struct err *e);
void qs_writer_stop(struct qstore *s);

/* done.c */
void qs_done_apply(struct qstore *s);
/* What is committed is written, synced and applied before this returns; without a thread only. */
void qstore_turn(struct qstore *s);

/* move.c */
void qs_move_begin(struct qstore *s); /* choose a segment, if that is worth it */
void qs_move_tend(struct qstore *s); /* go on */
int qs_move_all(struct qstore *s, struct seg *seg); /* at the start: 0 when it is empty then */
void qs_move_done(struct qstore *s, struct job *j);
void qs_move_build(struct qstore *s, struct job *j); /* in the thread */

/* scan.c: a segment's octets, read through a window. */
struct scan {
	int fd;
	uint64_t mark;
	uint32_t limit; /* groups end before */
	uint8_t *window;
	uint32_t at, n; /* what of the file is in the window */
	uint32_t room;
	int error; /* errno of a read that failed, once there was one */
};
#define WINDOW_MOST (256 * 1024) /* octets that are read ahead in order, and */
#define WINDOW_LEAST 8192 /* elsewhere */

void qs_scan_init(struct scan *sc);
void qs_scan_use(struct scan *sc, int fd, uint64_t mark, uint32_t limit); /* fd is the caller's */
void qs_scan_free(struct scan *sc);
/* n octets at an offset, valid until the next call; or NULL: not there, cannot be read. */
const uint8_t *qs_scan_look(struct scan *sc, uint32_t at, uint32_t n);
/* A group whose records are all whole; with bodies, these, too. 0 or -1. */
int qs_scan_group(struct scan *sc, uint32_t at, struct group_head *g, int bodies);
/* The record at an offset, head and meta; or NULL. */
const uint8_t *qs_scan_record(struct scan *sc, uint32_t at, struct record *r);
int qs_scan_body(struct scan *sc, uint32_t at, const struct record *r); /* is it whole? 0 or -1 */
/* The first whole group from an offset on; NONE: there is none. */
uint32_t qs_scan_find(struct scan *sc, uint32_t from, struct group_head *g, int bodies);

struct told_end {
	struct seg *in; /* whose header says it */
	struct seg_end end;
};

/*
 * recover.c: all segments, and what they say together.
 *
 * tell		receives findings, one line each
 */
struct recovery {
	struct qstore *s;
	void (*tell)(void *arg, const char *line);
	void *arg;
	int all; /* bodies of all segments, and the large files, are looked at */
	int write; /* torn ends are cleaned */
	unsigned findings;
	struct scan scan, states;
	struct told_end *ends;
	unsigned nends;
	uint64_t *bigs; /* files of large messages, by the numbers in their names */
	uint32_t nbigs;
	uint64_t *bad; /* messages whose octets are damaged */
	uint32_t nbad;
};
void qs_recovery_init(struct recovery *r, struct qstore *s);
void qs_recovery_free(struct recovery *r);
void qs_recovery_tell(struct recovery *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int qs_recovery_note(uint64_t **list, uint32_t *n, uint64_t v); /* 0 or -1 */
int qs_recovery_list(struct recovery *r, struct err *e); /* folder.c: the files: 0, or -1 with e */
int qs_recovery_read(struct recovery *r, struct err *e); /* and what is in them */
/* Told in the order of their numbers; found may be NULL. */
int qs_recovery_found(struct recovery *r, qstore_found_fn found, void *arg, struct err *e);
int qs_recovery_clean(struct recovery *r, struct err *e); /* keep what is damaged aside */

/* qstore.c */
struct qstore *qstore_new(int dir, const struct conf_queue *conf, struct err *e);
void qstore_free(struct qstore *s); /* writes nothing */
void qstore_tick(struct qstore *s); /* something is to be looked at again in a second */

#endif
