/*
 * Files of the queue that somebody else has written: opened, repaired and opened again, they give
 * messages that are whole or said to be damaged, and a folder without findings.
 *
 * First octet: 0 the rest is the file as it is; 1 it stands behind a good header; else it describes
 * groups and records, whose checksums are made right, so that what is in them is reached.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "queue/crc32c.h"
#include "queue/inner.h"

#define MARK 0x0123456789abcdef
#define IMAGE (1024 * 1024) /* octets of a segment that are written */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];
static int dir = -1;
static struct qstore *store;

static int
no_sync(int fd)
{
	(void)fd;
	return 0;
}

static int
sparse(int fd, int mode, off_t off, off_t len)
{
	(void)mode;
	return ftruncate(fd, off + len);
}

static void
drop_line(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

static void
remove_folder(void)
{
	(void)rmdir(path);
}

static void
begin(void)
{
	static const struct queue_io io = {pwritev, no_sync, sparse};

	(void)snprintf(path, sizeof path, "%s/queue_fuzz.XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(path) == NULL || (dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		abort();
	(void)atexit(remove_folder);
	queue_io = io;
	log_set_sink(drop_line, NULL);
}

static void
empty(void)
{
	char name[NAME_MAX_OCTETS];
	unsigned i;

	for (i = 0; i < 8; i++) {
		(void)unlinkat(dir, qs_segment_name(name, i), 0);
		(void)snprintf(name, sizeof name, "damaged.%u", i);
		(void)unlinkat(dir, name, 0);
		(void)unlinkat(dir, qs_big_name(name, i), 0);
	}
	(void)unlinkat(dir, "lock", 0);
}

struct in {
	const uint8_t *p;
	size_t n;
};

static unsigned
take(struct in *in, unsigned octets)
{
	unsigned v = 0;

	for (; octets > 0; octets--) {
		v = v << 8 | (in->n > 0 ? *in->p : 0);
		if (in->n > 0) {
			in->p++;
			in->n--;
		}
	}
	return v;
}

/* A record of what is described, at an offset of the image; the octets that it takes. */
static uint32_t
put_record(uint8_t *image, uint32_t at, struct in *in)
{
	struct record r = {.kind = take(in, 1) % 6, .id = take(in, 1), .lsn = take(in, 1)};
	uint8_t *p = image + at;
	size_t n;

	r.meta = take(in, 2) % 2048;
	r.body = take(in, 2) % 2048;
	n = r.meta + r.body < in->n ? r.meta + r.body : in->n;
	memcpy(p + RECORD_HEAD, in->p, n);
	in->p += n;
	in->n -= n;
	r.body_crc = crc32c(0, p + RECORD_HEAD + r.meta, r.body);
	qs_record_encode(&r, p);
	qs_record_seal(MARK, at, p, r.meta);
	return record_len(&r);
}

static void
put_groups(uint8_t *image, struct in *in)
{
	uint32_t at = FIRST, prev = 0, len;
	struct group_head g;
	unsigned i, flags;

	while (in->n > 0 && at < IMAGE - 64 * 1024) {
		flags = take(in, 1);
		g = (struct group_head){.nrec = flags % 4, .prev = prev};
		for (len = GROUP_HEAD, i = 0; i < g.nrec; i++)
			len += put_record(image, at + len, in);
		g.len = flags & 0x40 ? take(in, 4) : len;
		g.synced = flags & 0x20 ? take(in, 4) : at;
		qs_group_encode(&g, MARK, at, image + at);
		prev = at;
		at += len;
		if (flags & 0x80)
			at = (at + BLOCK - 1) / BLOCK * BLOCK;
	}
}

static void
put_file(unsigned no, uint8_t how, struct in *in)
{
	struct seg_header h = {.kind = 1 + (how & 1),
	    .no = no,
	    .size = SEGMENT_MIN,
	    .inc = 5 + no,
	    .mark = MARK,
	    .next_id = 1,
	    .next_lsn = 1};
	uint8_t *image = calloc(1, IMAGE);
	char name[NAME_MAX_OCTETS];
	int fd = openat(dir, qs_segment_name(name, no), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	size_t n;

	if (image == NULL || fd == -1)
		abort();
	qs_header_encode(&h, image);
	if (how < 2) {
		n = in->n < IMAGE - FIRST ? in->n : IMAGE - FIRST;
		memcpy(image + (how == 0 ? 0 : FIRST), in->p, n);
		in->n = 0;
	} else
		put_groups(image, in);
	if (write(fd, image, how == 0 ? n : IMAGE) == -1 ||
	    (how != 0 && ftruncate(fd, SEGMENT_MIN) == -1))
		abort();
	close(fd);
	free(image);
}

static qstore_id ids[256];
static uint64_t sizes[256];
static unsigned nids;

static void
on_found(
    void *arg, qstore_id id, const struct qstore_entry *entry, const struct qstore_state *state)
{
	(void)arg;
	if (nids < 256) {
		ids[nids] = id;
		sizes[nids++] = entry->size;
	}
	if (entry->rcpts.n == 0 || (state != NULL && state->rcpts.n > RCPTS_MAX))
		abort();
}

static int
open_it(void)
{
	const struct conf_queue conf = {
	    .size = 64 << 20, .segment = SEGMENT_MIN, .memory = 1 << 20};
	struct err e = {0};

	nids = 0;
	store = qstore_open_dir(fcntl(dir, F_DUPFD_CLOEXEC, 0), &conf, on_found, NULL, &e);
	if (store == NULL && (e.code == 0 || e.text[0] == '\0'))
		abort();
	return store != NULL;
}

static void
use_it(void)
{
	struct qstore_rcpt gone = {.state = 0};
	struct qstore_state st = {.rcpts = {&gone, 1}};
	uint8_t p[2048];
	unsigned i;

	for (i = 0; i < nids; i++) {
		if (sizes[i] <= sizeof p && qstore_read(store, ids[i], p, sizes[i], 0) == -1 &&
		    errno != EBADMSG)
			abort();
		if (i % 3 == 2 &&
		    (qstore_begin(store) == -1 || qstore_change(store, ids[i], &st) == -1 ||
			qstore_commit(store, 0, NULL, NULL) == -1))
			abort();
	}
	qstore_close(store);
}

static void
ignore(void *arg, const char *line)
{
	(void)arg;
	(void)line;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct in in = {data, size};
	uint8_t how;
	unsigned no;
	struct err e;

	if (dir == -1)
		begin();
	how = (uint8_t)take(&in, 1);
	for (no = 0; no < 2 && in.n > 0; no++)
		put_file(no, how, &in);
	(void)qstore_check(dir, 0, ignore, NULL, &e);
	if (how & 0x80 && qstore_check(dir, 1, ignore, NULL, &e) != -1 &&
	    qstore_check(dir, 0, ignore, NULL, &e) != 0)
		abort();
	if (open_it())
		use_it();
	if (open_it())
		qstore_close(store);
	empty();
	return 0;
}
