#ifndef QUEUE_RECORD_H
#define QUEUE_RECORD_H

#include <stddef.h>
#include <stdint.h>

/*
 * What stands in a segment; postern-spool(5) has the same in words.  Numbers are big-endian.
 *
 *	header		in the first block, and the same once more in the last
 *	groups		from the second block on
 *
 * A group begins where the one before it ended, or at the next block when that one was synced: what
 * is durable shares no block with what is being written.
 *
 * Every checksum covers the place, too: the segment's mark, a random number that is another one
 * each time the segment is used again, and the offset.  So neither what is left from an earlier use
 * nor the octets of a message can be taken for a record.
 */
#define BLOCK 4096
#define SEGMENT_MIN (8U << 20) /* a transaction to RCPTS_MAX recipients must fit */
#define SEGMENT_MAX (1U << 30)
#define FIRST BLOCK /* offset of the first group */
#define SECTOR 512 /* what a disk writes as a whole or not: a header is no longer */
#define ENDS_MAX 32 /* abandoned segments that one header can tell of */

enum seg_kind {
	SEG_FREE = 0, /* nothing in it counts */
	SEG_NEW = 1, /* what comes and changes */
	SEG_MOVED = 2 /* what was moved out of segments that have emptied */
};

struct seg_end {
	uint64_t inc; /* of the segment */
	uint32_t end; /* nothing there counts from this offset on */
};

struct seg_header {
	enum seg_kind kind;
	uint32_t no; /* of the file */
	uint32_t size; /* octets of the file */
	uint64_t inc; /* a number for each use of a segment, ascending over all of them */
	uint64_t mark;
	uint64_t next_id, next_lsn; /* all that were given before are lower */
	unsigned nends;
	struct seg_end ends[ENDS_MAX];
};

void qs_header_encode(const struct seg_header *h, uint8_t out[SECTOR]);

/* 1; 0 when all is zero (never used); -1 when it is neither. */
int qs_header_decode(struct seg_header *h, const uint8_t in[SECTOR]);

/* A group: all its records count, or none. */
#define GROUP_HEAD 32

struct group_head {
	uint32_t len; /* octets with this head, a multiple of 8 */
	uint32_t nrec; /* records; 0: the segment ends here */
	uint32_t prev; /* offset of the group before, 0: there is none */
	uint32_t synced; /* when this was written, all before this offset was durable */
};

void qs_group_encode(const struct group_head *g, uint64_t mark, uint32_t at, uint8_t *out);

/* 0, or -1: there is no group at this place. limit: where groups must have ended. */
int qs_group_decode(
    struct group_head *g, uint64_t mark, uint32_t at, uint32_t limit, const uint8_t *in);

enum rec_kind {
	RECORD_MESSAGE = 1, /* meta: qstore_entry; body: the message */
	RECORD_BIG = 2, /* meta: BIG_META octets, qstore_entry; the message is in a file */
	RECORD_STATE = 3, /* meta: qstore_state */
	RECORD_END = 4 /* the message is gone */
};
#define RECORD_HEAD 40
/* In front of the entry of a big one: key of AES-256-CTR, octets and CRC-32C of the file. */
enum { BIG_KEY = 0, BIG_SIZE = 32, BIG_CRC = 40, BIG_META = 44 };

struct record {
	enum rec_kind kind;
	uint64_t id;
	uint64_t lsn; /* of two records about the same the higher one counts; a copy keeps it */
	uint32_t meta, body; /* octets */
	uint32_t body_crc; /* not bound to the place */
};

static inline uint32_t
record_len(const struct record *r)
{
	return (RECORD_HEAD + r->meta + r->body + 7) & ~(uint32_t)7;
}

/* Without checksum. */
void qs_record_encode(const struct record *r, uint8_t *out);

/*
 * The numbers of a record, of which max octets are left in its group.  0, or -1 when they cannot be
 * true.  Its checksum is not looked at.
 */
int qs_record_decode(struct record *r, const uint8_t *in, uint32_t max);

/* Set the checksum over head and meta, which follows the head; or check it: 0, or -1. */
void qs_record_seal(uint64_t mark, uint32_t at, uint8_t *p, uint32_t meta);
int qs_record_check(uint64_t mark, uint32_t at, const uint8_t *p, uint32_t meta);

/* Set the checksum of the body in an encoded head. */
void qs_record_body_crc(uint8_t *p, uint32_t crc);

#endif
