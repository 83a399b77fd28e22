#include "queue/record.h"

#include <string.h>

#include "base/buf.h"
#include "queue/crc32c.h"

static const uint8_t magic[8] = {'P', 'S', 'T', 'N', 'S', 'E', 'G', 1};

/* Of a header. */
enum { H_KIND = 8, H_NO = 12, H_SIZE = 16, H_NENDS = 20, H_INC = 24, H_MARK = 32, H_ID = 40 };
enum { H_LSN = 48, H_ENDS = 56, H_CRC = SECTOR - 4, END_LEN = 12 };
_Static_assert(H_ENDS + ENDS_MAX * END_LEN <= H_CRC, "a header is a sector");

void
qs_header_encode(const struct seg_header *h, uint8_t out[SECTOR])
{
	unsigned i;

	memset(out, 0, SECTOR);
	memcpy(out, magic, sizeof magic);
	put_be32(out + H_KIND, h->kind);
	put_be32(out + H_NO, h->no);
	put_be32(out + H_SIZE, h->size);
	put_be32(out + H_NENDS, h->nends);
	put_be64(out + H_INC, h->inc);
	put_be64(out + H_MARK, h->mark);
	put_be64(out + H_ID, h->next_id);
	put_be64(out + H_LSN, h->next_lsn);
	for (i = 0; i < h->nends; i++) {
		put_be64(out + H_ENDS + i * END_LEN, h->ends[i].inc);
		put_be32(out + H_ENDS + i * END_LEN + 8, h->ends[i].end);
	}
	put_be32(out + H_CRC, crc32c(0, out, H_CRC));
}

static int
is_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (*p == 0 && memcmp(p, p + 1, n - 1) == 0);
}

int
qs_header_decode(struct seg_header *h, const uint8_t in[SECTOR])
{
	unsigned i;

	memset(h, 0, sizeof *h);
	if (is_zero(in, SECTOR))
		return 0;
	if (memcmp(in, magic, sizeof magic) != 0 || get_be32(in + H_CRC) != crc32c(0, in, H_CRC))
		return -1;
	h->kind = get_be32(in + H_KIND);
	h->no = get_be32(in + H_NO);
	h->size = get_be32(in + H_SIZE);
	h->nends = get_be32(in + H_NENDS);
	h->inc = get_be64(in + H_INC);
	h->mark = get_be64(in + H_MARK);
	h->next_id = get_be64(in + H_ID);
	h->next_lsn = get_be64(in + H_LSN);
	if (h->kind > SEG_MOVED || h->nends > ENDS_MAX || h->size < SEGMENT_MIN ||
	    h->size > SEGMENT_MAX || h->size % BLOCK != 0)
		return -1;
	for (i = 0; i < h->nends; i++) {
		h->ends[i].inc = get_be64(in + H_ENDS + i * END_LEN);
		h->ends[i].end = get_be32(in + H_ENDS + i * END_LEN + 8);
	}
	return 1;
}

static uint32_t
place_crc(uint64_t mark, uint32_t at)
{
	uint8_t place[12];

	put_be64(place, mark);
	put_be32(place + 8, at);
	return crc32c(0, place, sizeof place);
}

/* Of a group's head; the checksum is over what follows it. */
enum { G_MARK = 0, G_CRC = 8, G_LEN = 12, G_NREC = 16, G_PREV = 20, G_SYNCED = 24 };

void
qs_group_encode(const struct group_head *g, uint64_t mark, uint32_t at, uint8_t *out)
{
	memset(out, 0, GROUP_HEAD);
	put_be64(out + G_MARK, mark);
	put_be32(out + G_LEN, g->len);
	put_be32(out + G_NREC, g->nrec);
	put_be32(out + G_PREV, g->prev);
	put_be32(out + G_SYNCED, g->synced);
	put_be32(out + G_CRC, crc32c(place_crc(mark, at), out + G_LEN, GROUP_HEAD - G_LEN));
}

int
qs_group_decode(struct group_head *g, uint64_t mark, uint32_t at, uint32_t limit, const uint8_t *in)
{
	if (get_be64(in + G_MARK) != mark ||
	    get_be32(in + G_CRC) != crc32c(place_crc(mark, at), in + G_LEN, GROUP_HEAD - G_LEN))
		return -1;
	g->len = get_be32(in + G_LEN);
	g->nrec = get_be32(in + G_NREC);
	g->prev = get_be32(in + G_PREV);
	g->synced = get_be32(in + G_SYNCED);
	if (g->len < GROUP_HEAD || g->len % 8 != 0 || at > limit || g->len > limit - at ||
	    g->nrec > (g->len - GROUP_HEAD) / RECORD_HEAD || g->prev >= at || g->synced > at)
		return -1;
	return 0;
}

/* Of a record's head. */
enum { R_CRC = 0, R_KIND = 4, R_ID = 8, R_LSN = 16, R_META = 24, R_BODY = 28, R_BODY_CRC = 32 };

void
qs_record_encode(const struct record *r, uint8_t *out)
{
	memset(out, 0, RECORD_HEAD);
	put_be32(out + R_KIND, r->kind);
	put_be64(out + R_ID, r->id);
	put_be64(out + R_LSN, r->lsn);
	put_be32(out + R_META, r->meta);
	put_be32(out + R_BODY, r->body);
	put_be32(out + R_BODY_CRC, r->body_crc);
}

int
qs_record_decode(struct record *r, const uint8_t *in, uint32_t max)
{
	if (max < RECORD_HEAD)
		return -1;
	r->kind = get_be32(in + R_KIND);
	r->id = get_be64(in + R_ID);
	r->lsn = get_be64(in + R_LSN);
	r->meta = get_be32(in + R_META);
	r->body = get_be32(in + R_BODY);
	r->body_crc = get_be32(in + R_BODY_CRC);
	max -= RECORD_HEAD;
	if (r->kind < RECORD_MESSAGE || r->kind > RECORD_END || r->meta > max ||
	    r->body > max - r->meta || record_len(r) > max + RECORD_HEAD)
		return -1;
	if (r->kind != RECORD_MESSAGE && r->body != 0)
		return -1;
	if (r->kind == RECORD_BIG && r->meta < BIG_META)
		return -1;
	return 0;
}

static uint32_t
record_crc(uint64_t mark, uint32_t at, const uint8_t *p, uint32_t meta)
{
	return crc32c(place_crc(mark, at), p + R_KIND, RECORD_HEAD - R_KIND + meta);
}

void
qs_record_seal(uint64_t mark, uint32_t at, uint8_t *p, uint32_t meta)
{
	put_be32(p + R_CRC, record_crc(mark, at, p, meta));
}

int
qs_record_check(uint64_t mark, uint32_t at, const uint8_t *p, uint32_t meta)
{
	return get_be32(p + R_CRC) == record_crc(mark, at, p, meta) ? 0 : -1;
}

void
qs_record_body_crc(uint8_t *p, uint32_t crc)
{
	put_be32(p + R_BODY_CRC, crc);
}
