/* The folder at the start: which files there are, and what their headers say. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/inner.h"

#define SEGMENTS_MAX (1U << 20) /* by the number in their names */

void
qs_recovery_init(struct recovery *r, struct qstore *s)
{
	memset(r, 0, sizeof *r);
	r->s = s;
	qs_scan_init(&r->scan);
	qs_scan_init(&r->states);
}

void
qs_recovery_free(struct recovery *r)
{
	qs_scan_free(&r->scan);
	qs_scan_free(&r->states);
	free(r->ends);
	free(r->bigs);
	free(r->bad);
}

void
qs_recovery_tell(struct recovery *r, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	r->findings++;
	r->tell(r->arg, line);
}

/* A number as our names have it: nothing but digits, no zero in front. */
static int
number(const char *p, int base, uint64_t *n)
{
	char again[NAME_MAX_OCTETS], *end;

	errno = 0;
	*n = strtoull(p, &end, base);
	(void)snprintf(again, sizeof again, base == 16 ? "%llx" : "%llu", (unsigned long long)*n);
	return errno == 0 && *end == '\0' && strcmp(p, again) == 0 ? 0 : -1;
}

/* One more at the end of a list whose room is always a power of two. */
int
qs_recovery_note(uint64_t **list, uint32_t *n, uint64_t v)
{
	uint64_t *more;

	if ((*n & (*n - 1)) == 0) {
		more = reallocarray(*list, *n ? 2 * (size_t)*n : 1, sizeof **list);
		if (more == NULL)
			return -1;
		*list = more;
	}
	(*list)[(*n)++] = v;
	return 0;
}

static int
note_ends(struct recovery *r, struct seg *in, const struct seg_header *h)
{
	struct told_end *more;
	unsigned i;

	if (h->nends == 0)
		return 0;
	if ((more = reallocarray(r->ends, r->nends + h->nends, sizeof *more)) == NULL)
		return -1;
	r->ends = more;
	for (i = 0; i < h->nends; i++)
		r->ends[r->nends++] = (struct told_end){in, h->ends[i]};
	return 0;
}

/* The mark of the first group, if there is a whole one: where both headers are gone. */
static uint64_t
guess_mark(struct recovery *r, int fd, uint32_t size)
{
	struct group_head g;
	uint8_t mark[8];

	if (qs_io_read(fd, mark, sizeof mark, FIRST) != (ssize_t)sizeof mark || get_be64(mark) == 0)
		return 0;
	qs_scan_use(&r->scan, fd, get_be64(mark), size - BLOCK);
	return qs_scan_group(&r->scan, FIRST, &g, 0) == 0 ? r->scan.mark : 0;
}

/* One of the two headers.  As qs_header_decode; -1 also when it cannot be read. */
static int
read_header(int fd, uint64_t at, struct seg_header *h)
{
	uint8_t sector[SECTOR];
	ssize_t n = qs_io_read(fd, sector, sizeof sector, at);

	memset(h, 0, sizeof *h);
	if (n == 0)
		return 0;
	return n == (ssize_t)sizeof sector ? qs_header_decode(h, sector) : -1;
}

/* Is there nothing but zeros between the two headers? */
static int
is_blank(struct recovery *r, int fd, uint32_t size)
{
	const uint8_t *p;
	uint32_t at;

	qs_scan_use(&r->scan, fd, 0, size);
	for (at = FIRST; at < size - BLOCK; at += BLOCK) {
		if ((p = qs_scan_look(&r->scan, at, BLOCK)) == NULL)
			return r->scan.error == 0;
		if (*p != 0 || memcmp(p, p + 1, BLOCK - 1) != 0)
			return 0;
	}
	return 1;
}

/* Without a header that can be read: what is there is found by its groups, or there is nothing. */
static void
without_header(struct recovery *r, struct seg *seg, int fd, uint64_t size)
{
	seg->size = size > SEGMENT_MAX ? SEGMENT_MAX : (uint32_t)(size / BLOCK * BLOCK);
	if (seg->size < SEGMENT_MIN)
		seg->size = SEGMENT_MIN;
	if ((seg->mark = guess_mark(r, fd, seg->size)) == 0 && is_blank(r, fd, seg->size)) {
		/* The crash came before anything was in it. */
		seg->state = SEG_IDLE;
		seg->size = qs_segment_size(r->s);
		return;
	}
	qs_recovery_tell(r, "segment.%u: both of its headers are damaged", seg->no);
	seg->damaged = 1;
	seg->state = SEG_SEALED;
	seg->kind = SEG_NEW;
}

static void
with_header(struct recovery *r, struct seg *seg, const struct seg_header *h)
{
	struct qstore *s = r->s;

	seg->size = h->size;
	seg->inc = h->inc;
	seg->mark = h->mark;
	seg->kind = h->kind;
	seg->state = h->kind == SEG_FREE ? SEG_IDLE : SEG_SEALED;
	if (h->inc >= s->w.inc)
		s->w.inc = h->inc + 1;
	if (h->next_id > s->next_id)
		s->next_id = h->next_id;
	if (h->next_lsn > s->next_lsn)
		s->next_lsn = h->next_lsn;
	if (h->kind == SEG_FREE)
		return;
	if (h->no != seg->no) {
		qs_recovery_tell(r, "segment.%u is a copy of segment.%u", seg->no, h->no);
		seg->damaged = 1;
	}
}

/*
 * Which of the two headers holds.  Both are written and synced before a segment's use begins or
 * ends, so of two that differ the first will do: nothing was done by the newer one yet.
 */
static int
look_at(struct recovery *r, struct seg *seg, int fd, struct err *e)
{
	struct seg_header first, last = {0};
	struct stat st;
	int a, b = -1;

	if (fstat(fd, &st) == -1)
		return err_sys(e, "queue: segment.%u", seg->no);
	a = read_header(fd, 0, &first);
	if (a == 1)
		b = read_header(fd, first.size - BLOCK, &last);
	else if (st.st_size >= SEGMENT_MIN)
		b = read_header(fd, (uint64_t)st.st_size - BLOCK, &last);
	if (b == 1 && last.inc >= r->s->w.inc)
		r->s->w.inc = last.inc + 1;
	if (a != 1 && (b != 1 || last.size != st.st_size)) {
		without_header(r, seg, fd, (uint64_t)st.st_size);
		return 0;
	}
	if (a != 1) {
		first = last;
		if (r->all)
			qs_recovery_tell(
			    r, "segment.%u: the first of its headers is damaged", seg->no);
		if (r->write && qs_segment_write_header(fd, &last) == -1)
			return err_sys(e, "queue: segment.%u", seg->no);
	}
	with_header(r, seg, &first);
	return seg->state == SEG_IDLE || note_ends(r, seg, &first) == 0 ? 0 : err_sys(e, "queue");
}

/*
 * What the last process wrote may be in the system's memory only, and still be lost when the power
 * goes: what is decided now rests on it.
 */
static void
make_durable(struct recovery *r, struct seg *seg, int fd)
{
	if (queue_io.fdatasync(fd) == 0)
		return;
	qs_recovery_tell(r, "segment.%u cannot be written to: %s", seg->no, strerror(errno));
	seg->state = SEG_SEALED;
	seg->damaged = 1;
}

static int
add_segment(struct recovery *r, uint32_t no, const char *name, struct err *e)
{
	struct qstore *s = r->s;
	struct seg *seg = qs_segment_new(s, no);
	int fd, rc;

	if (seg == NULL)
		return err_sys(e, "queue");
	/* For writing, as its header may be written again. */
	fd = openat(s->dir, name, (r->write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1)
		return err_sys(e, "queue: %s", name);
	rc = look_at(r, seg, fd, e);
	if (rc == 0 && r->write)
		make_durable(r, seg, fd);
	close(fd);
	s->w.disk += seg->size;
	if (rc == 0 && seg->state == SEG_IDLE) {
		s->w.idle_octets += seg->size;
		STAILQ_INSERT_TAIL(&s->w.idle, seg, next);
	}
	return rc;
}

static int
add_file(struct recovery *r, const char *name, struct err *e)
{
	uint64_t n;

	if (strncmp(name, "segment.", 8) == 0 && number(name + 8, 10, &n) == 0 && n < SEGMENTS_MAX)
		return add_segment(r, (uint32_t)n, name, e);
	if (strncmp(name, "message.", 8) == 0 && number(name + 8, 16, &n) == 0)
		return qs_recovery_note(&r->bigs, &r->nbigs, n) == 0 ? 0 : err_sys(e, "queue");
	if (r->all && strcmp(name, "lock") != 0 && strncmp(name, "damaged.", 8) != 0 &&
	    *name != '.')
		qs_recovery_tell(r, "there is a file that is not the queue's");
	return 0;
}

int
qs_recovery_list(struct recovery *r, struct err *e)
{
	int fd = openat(r->s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *f;

	if (d == NULL) {
		rc = err_sys(e, "queue: the folder");
		if (fd != -1)
			close(fd);
		return rc;
	}
	while (rc == 0 && (errno = 0, f = readdir(d)) != NULL)
		rc = add_file(r, f->d_name, e);
	if (rc == 0 && errno != 0)
		rc = err_sys(e, "queue: the folder");
	closedir(d);
	return rc;
}
