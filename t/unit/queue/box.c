#include "t/unit/queue/box.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/log.h"

static void
on_log(enum log_level level, const char *line, void *arg)
{
	struct box *b = arg;

	if (level > LOG_L_WARN)
		return;
	b->warnings++;
	if (getenv("BOX_LOG") != NULL)
		fprintf(stderr, "%s\n", line);
	(void)snprintf(b->warning, sizeof b->warning, "%.200s", line);
}

/* In memory where there is enough of it: a sync costs nothing there, and proves nothing anywhere.
 */
static const char *
where(void)
{
	const char *tmp = getenv("TMPDIR");
	struct statfs st;

	if (tmp != NULL)
		return tmp;
	if (access("/dev/shm", W_OK) == 0 && statfs("/dev/shm", &st) == 0 &&
	    (uint64_t)st.f_bavail * (uint64_t)st.f_bsize > 2ULL << 30)
		return "/dev/shm";
	return "/tmp";
}

void
box_make(struct box *b)
{

	memset(b, 0, sizeof *b);
	(void)snprintf(b->path, sizeof b->path, "%.40s/queue.XXXXXX", where());
	ck_assert_ptr_nonnull(mkdtemp(b->path));
	b->dir = open(b->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ne(b->dir, -1);
	b->conf = (struct conf_queue){
	    .size = 96 << 20, .segment = SEGMENT_MIN, .memory = 4 << 20, .min_free = 0};
}

void
box_remove(struct box *b)
{
	DIR *d;
	struct dirent *f;

	box_close(b);
	d = fdopendir(b->dir);
	ck_assert_ptr_nonnull(d);
	while ((f = readdir(d)) != NULL)
		if (*f->d_name != '.')
			(void)unlinkat(b->dir, f->d_name, 0);
	closedir(d);
	ck_assert_int_eq(rmdir(b->path), 0);
	free(b->found);
}

static void
on_found(
    void *arg, qstore_id id, const struct qstore_entry *entry, const struct qstore_state *state)
{
	struct box *b = arg;
	struct box_found *f;

	if ((b->nfound & (b->nfound - 1)) == 0) {
		size_t n = b->nfound ? 2 * b->nfound : 1;

		b->found = reallocarray(b->found, n, sizeof *f);
		ck_assert_ptr_nonnull(b->found);
	}
	f = &b->found[b->nfound++];
	*f = (struct box_found){.id = id, .size = entry->size, .nrcpts = (uint32_t)entry->rcpts.n};
	(void)snprintf(f->qid, sizeof f->qid, "%s", entry->envelope.v[0].qid);
	if (state != NULL) {
		f->has_state = 1;
		f->attempts = state->attempts;
	}
	/* In the order of their arrival. */
	ck_assert(b->nfound < 2 || f[-1].id < id);
}

int
box_try(struct box *b, struct err *e)
{
	int fd = fcntl(b->dir, F_DUPFD_CLOEXEC, 0);

	ck_assert_int_ne(fd, -1);
	ck_assert_ptr_null(b->s);
	b->nfound = 0;
	b->warnings = 0;
	log_set_sink(on_log, b);
	b->s = qstore_open_dir(fd, &b->conf, on_found, b, e);
	return b->s != NULL ? 0 : -1;
}

void
box_open(struct box *b)
{
	struct err e = {0};

	ck_assert_msg(box_try(b, &e) == 0, "%s", e.text);
}

void
box_close(struct box *b)
{
	qstore_close(b->s);
	b->s = NULL;
}

void
box_crash(struct box *b)
{
	qstore_free(b->s);
	b->s = NULL;
}

uint8_t *
box_body(uint64_t n, size_t size)
{
	uint8_t *p = malloc(size + 8);
	uint64_t x = n * 0x9e3779b97f4a7c15 + 1;
	size_t i;

	ck_assert_ptr_nonnull(p);
	for (i = 0; i < size; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(p + i, &x, 8);
	}
	return p;
}

int
box_add(struct box *b, uint64_t n, size_t size, unsigned nrcpts, qstore_id *id)
{
	struct envelope env = {.tenant = "t", .connector = "in", .sender = "a@example.org"};
	struct queue_rcpt *rcpts = calloc(nrcpts, sizeof *rcpts);
	struct qstore_entry e = {.envelope = {&env, 1}, .rcpts = {rcpts, nrcpts}};
	uint8_t *body = box_body(n, size);
	struct octets o = octets_mem(body, size);
	char qid[QUEUE_ID_MAX];
	unsigned i;
	int rc;

	ck_assert_ptr_nonnull(rcpts);
	(void)snprintf(qid, sizeof qid, "%llu", (unsigned long long)n);
	env.qid = env.tx = qid;
	for (i = 0; i < nrcpts; i++)
		rcpts[i].addr = "somebody@partner.example";
	rc = qstore_add(b->s, &e, &o, id);
	free(body);
	free(rcpts);
	return rc;
}

int
box_change(struct box *b, qstore_id id, uint32_t attempts, unsigned nrcpts)
{
	struct qstore_rcpt *rcpts = calloc(nrcpts, sizeof *rcpts);
	struct qstore_state st = {.attempts = attempts, .rcpts = {rcpts, nrcpts}};
	unsigned i;
	int rc;

	ck_assert_ptr_nonnull(rcpts);
	for (i = 0; i < nrcpts; i++) {
		rcpts[i].state = QS_DEFERRED + 1;
		rcpts[i].text = "connection refused";
	}
	rc = qstore_change(b->s, id, &st);
	free(rcpts);
	return rc;
}

int
box_end(struct box *b, qstore_id id)
{
	struct qstore_rcpt gone = {.state = 0};
	struct qstore_state st = {.rcpts = {&gone, 1}};

	return qstore_change(b->s, id, &st);
}

void
box_done(void *arg, int ok, const char *why)
{
	struct box_done *d = arg;

	d->called++;
	d->ok = ok;
	(void)snprintf(d->why, sizeof d->why, "%s", why);
}

static void
commit(struct box *b)
{
	struct box_done d = {0};

	ck_assert_int_eq(qstore_commit(b->s, 0, box_done, &d), 0);
	qstore_turn(b->s);
	ck_assert_msg(d.called == 1 && d.ok, "%s", d.why);
}

qstore_id
box_put(struct box *b, uint64_t n, size_t size)
{
	qstore_id id;

	ck_assert_int_eq(qstore_begin(b->s), 0);
	ck_assert_int_eq(box_add(b, n, size, 1, &id), 0);
	commit(b);
	return id;
}

void
box_set(struct box *b, qstore_id id, uint32_t attempts)
{
	ck_assert_int_eq(qstore_begin(b->s), 0);
	ck_assert_int_eq(box_change(b, id, attempts, 1), 0);
	commit(b);
}

void
box_drop(struct box *b, qstore_id id)
{
	ck_assert_int_eq(qstore_begin(b->s), 0);
	ck_assert_int_eq(box_end(b, id), 0);
	commit(b);
}

const struct box_found *
box_find(const struct box *b, qstore_id id)
{
	size_t i;

	for (i = 0; i < b->nfound; i++)
		if (b->found[i].id == id)
			return &b->found[i];
	return NULL;
}

int
box_is_whole(struct box *b, qstore_id id, uint64_t n, size_t size)
{
	uint8_t *want = box_body(n, size), *have = malloc(size + 1);
	int ok;

	ck_assert_ptr_nonnull(have);
	ok = qstore_read(b->s, id, have, size, 0) == 0 && memcmp(want, have, size) == 0;
	free(want);
	free(have);
	return ok;
}

static struct msg *
msg_of(struct box *b, qstore_id id)
{
	uint32_t slot = qs_index_find(b->s, id);

	ck_assert_uint_ne(slot, NONE);
	return qs_slot_msg(b->s, slot);
}

const char *
box_segment(struct box *b, qstore_id id)
{
	static char name[NAME_MAX_OCTETS];

	return qs_segment_name(name, msg_of(b, id)->seg);
}

uint32_t
box_offset(struct box *b, qstore_id id)
{
	return msg_of(b, id)->off;
}

uint32_t
box_length(struct box *b, qstore_id id)
{
	return (msg_of(b, id)->body + msg_of(b, id)->size + 7) & ~7U;
}

uint8_t *
box_read_file(struct box *b, const char *name, size_t *n)
{
	int fd = openat(b->dir, name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *p;

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_ptr_nonnull(p = malloc((size_t)st.st_size + 1));
	ck_assert_int_eq(qs_io_read(fd, p, (size_t)st.st_size, 0), st.st_size);
	*n = (size_t)st.st_size;
	close(fd);
	return p;
}

void
box_write_file(struct box *b, const char *name, const void *p, size_t n, uint64_t at)
{
	int fd = openat(b->dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(pwrite(fd, p, n, (off_t)at), (ssize_t)n);
	close(fd);
}

unsigned
box_files(const struct box *b, const char *prefix)
{
	DIR *d = opendir(b->path);
	struct dirent *f;
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while ((f = readdir(d)) != NULL)
		n += strncmp(f->d_name, prefix, strlen(prefix)) == 0;
	closedir(d);
	return n;
}
