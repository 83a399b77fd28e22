/* The octets of a message: from memory as long as they are there, else from the disk, checked. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/crc32c.h"
#include "queue/inner.h"

static const uint8_t *
damaged(void)
{
	errno = EBADMSG;
	return NULL;
}

const uint8_t *
qs_read_record(struct qstore *s, uint32_t slot, struct record *r)
{
	struct msg *m = qs_slot_msg(s, slot);
	uint32_t len;
	const uint8_t *mem = qs_cache_find(s, m, &len);
	struct seg *seg;
	uint8_t *p;
	int fd;

	if (mem != NULL)
		return qs_record_decode(r, mem, (len + 7) & ~7U) == 0 ? mem : damaged();
	if (m->seg == NONE) {
		errno = EAGAIN;
		return NULL;
	}
	if (s->record_id == m->id)
		return qs_record_decode(r, buf_ptr(&s->record), len + 7) == 0 ? buf_ptr(&s->record)
									      : damaged();
	seg = s->seg[m->seg];
	s->record_id = 0;
	buf_reset(&s->record);
	if ((fd = qs_segment_fd(s, seg)) == -1 || (p = buf_reserve(&s->record, len)) == NULL)
		return NULL;
	if (qs_io_read(fd, p, len, m->off) != (ssize_t)len)
		return damaged();
	if (qs_record_decode(r, p, len + 7) == -1 || r->id != m->id ||
	    RECORD_HEAD + r->meta != m->body || r->body != len - m->body ||
	    qs_record_check(seg->mark, m->off, p, r->meta) == -1 ||
	    (r->body > 0 && crc32c(0, p + m->body, r->body) != r->body_crc))
		return damaged();
	buf_added(&s->record, len);
	s->record_id = m->id;
	return p;
}

int
qs_read_big(struct qstore *s, uint64_t id, const uint8_t *meta, struct spool *sp)
{
	uint64_t size = get_be64(meta + BIG_SIZE);
	int fd = qs_big_open(s, id, size);

	if (fd == -1)
		return -1;
	spool_init(sp, size, -1);
	sp->kind = BLOB_FILE;
	sp->size = size;
	sp->sealed = 1;
	sp->fd = fd;
	memcpy(sp->key, meta + BIG_KEY, sizeof sp->key);
	return 0;
}

/* Its record, and its octets: in memory, or through sp. */
static int
find(struct qstore *s, qstore_id id, struct octets *o, struct spool *sp)
{
	uint32_t slot = qs_index_find(s, id);
	const uint8_t *p;
	struct record r;

	spool_init(sp, 0, -1);
	if (slot == NONE || qs_slot_msg(s, slot)->flags & M_DEAD) {
		errno = ENOENT;
		return -1;
	}
	if ((p = qs_read_record(s, slot, &r)) == NULL)
		return -1;
	if (r.kind == RECORD_MESSAGE) {
		*o = octets_mem(p + RECORD_HEAD + r.meta, r.body);
		return 0;
	}
	/* Its file is not complete. */
	if (qs_slot_msg(s, slot)->flags & M_STAGED) {
		errno = EAGAIN;
		return -1;
	}
	if (qs_read_big(s, id, p + RECORD_HEAD, sp) == -1)
		return -1;
	return spool_octets(sp, o);
}

int
qstore_read(struct qstore *s, qstore_id id, void *p, size_t n, uint64_t off)
{
	struct octets o;
	struct spool sp;
	int rc;

	if (find(s, id, &o, &sp) == -1)
		return -1;
	rc = octets_read(&o, p, n, off);
	spool_free(&sp);
	return rc;
}

int
qstore_blob(struct qstore *s, qstore_id id, struct blob *b, int *fd)
{
	struct octets o;

	spool_free(&s->shown);
	memset(b, 0, sizeof *b);
	*fd = -1;
	if (find(s, id, &o, &s->shown) == -1)
		return -1;
	if (o.mem != NULL && o.size <= BLOB_INLINE_MAX) {
		b->size = o.size;
		b->data = (struct bytes){o.mem, (size_t)o.size};
		return 0;
	}
	if (o.mem != NULL) {
		spool_init(&s->shown, o.size, -1);
		if (spool_write(&s->shown, o.mem, (size_t)o.size) == -1)
			return -1;
	}
	return spool_send(&s->shown, b, fd);
}
