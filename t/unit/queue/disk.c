#include "t/unit/queue/disk.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/inner.h"

#define SECTOR 512
#define FILES 64

struct sector {
	uint64_t no;
	uint8_t old[SECTOR];
};

static struct file {
	ino_t ino;
	int fd; /* our own */
	struct sector *sector;
	size_t n, room;
	uint8_t *seen; /* a bit for each sector of the file */
	size_t nseen;
} files[FILES];

static uint64_t state;
static unsigned one_in_many, failures;
static int all_fail;

uint64_t
disk_random(void)
{
	uint64_t z = (state += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

uint64_t
disk_below(uint64_t n)
{
	return disk_random() % n;
}

static int
fails(void)
{
	if (!all_fail && (one_in_many == 0 || disk_below(one_in_many) != 0))
		return 0;
	failures++;
	errno = EIO;
	return 1;
}

static int
is_removed(const struct file *f)
{
	struct stat st;

	return fstat(f->fd, &st) == 0 && st.st_nlink == 0;
}

static struct file *
file_of(int fd)
{
	struct stat st;
	struct file *f, *empty = NULL;

	ck_assert_int_eq(fstat(fd, &st), 0);
	for (f = files; f < files + FILES; f++) {
		if (f->fd != 0 && f->ino == st.st_ino)
			return f;
		if (f->fd == 0 || f->n == 0 || is_removed(f))
			empty = f;
	}
	ck_assert_ptr_nonnull(empty);
	f = empty;
	if (f->fd != 0)
		close(f->fd);
	free(f->sector);
	free(f->seen);
	memset(f, 0, sizeof *f);
	f->ino = st.st_ino;
	f->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	ck_assert_int_ne(f->fd, -1);
	return f;
}

static int
is_seen(struct file *f, uint64_t no)
{
	if (no / 8 >= f->nseen) {
		size_t n = (size_t)no / 8 + 4096;

		f->seen = realloc(f->seen, n);
		ck_assert_ptr_nonnull(f->seen);
		memset(f->seen + f->nseen, 0, n - f->nseen);
		f->nseen = n;
	}
	if (f->seen[no / 8] & 1 << no % 8)
		return 1;
	f->seen[no / 8] |= (uint8_t)(1 << no % 8);
	return 0;
}

static void
remember(struct file *f, uint64_t at, uint64_t n)
{
	uint64_t no;
	struct sector *x;

	for (no = at / SECTOR; no * SECTOR < at + n; no++) {
		if (is_seen(f, no))
			continue;
		if (f->n == f->room) {
			f->room = f->room ? 2 * f->room : 256;
			f->sector = reallocarray(f->sector, f->room, sizeof *f->sector);
			ck_assert_ptr_nonnull(f->sector);
		}
		x = &f->sector[f->n++];
		x->no = no;
		memset(x->old, 0, SECTOR);
		/* A file for writing only is a large message's: what is not there was zeros. */
		(void)!pread(f->fd, x->old, SECTOR, (off_t)(no * SECTOR));
	}
}

static void
synced(struct file *f)
{
	f->n = 0;
	if (f->seen != NULL)
		memset(f->seen, 0, f->nseen);
}

static ssize_t
disk_pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	uint64_t len = 0;
	uint64_t part;
	int i, bad = fails();

	for (i = 0; i < n; i++)
		len += v[i].iov_len;
	remember(file_of(fd), (uint64_t)at, len);
	/* A part of it, to the end of a sector. */
	part = ((uint64_t)at + disk_below(v->iov_len)) / SECTOR * SECTOR;
	if (bad && part > (uint64_t)at)
		(void)!pwrite(fd, v->iov_base, part - (uint64_t)at, at);
	if (bad) {
		errno = EIO;
		return -1;
	}
	/* A short write is none that failed. */
	if (n == 1 && v->iov_len > 1 && disk_below(10) == 0)
		return pwrite(fd, v->iov_base, 1 + disk_below(v->iov_len - 1), at);
	return pwritev(fd, v, n, at);
}

static int
disk_fdatasync(int fd)
{
	if (fails())
		return -1;
	synced(file_of(fd));
	return 0;
}

static int
disk_fallocate(int fd, int mode, off_t off, off_t len)
{
	if (fails())
		return -1;
	return fallocate(fd, mode, off, len);
}

void
disk_start(uint64_t seed)
{
	static const struct queue_io io = {disk_pwritev, disk_fdatasync, disk_fallocate};

	state = seed;
	failures = 0;
	disk_fail(0, 0);
	queue_io = io;
}

void
disk_stop(void)
{
	static const struct queue_io io = {pwritev, fdatasync, fallocate};
	struct file *f;

	queue_io = io;
	for (f = files; f < files + FILES; f++) {
		if (f->fd != 0)
			close(f->fd);
		free(f->sector);
		free(f->seen);
		memset(f, 0, sizeof *f);
	}
}

void
disk_fail(unsigned one_in, int all)
{
	one_in_many = one_in;
	all_fail = all;
}

unsigned
disk_failures(void)
{
	return failures;
}

void
disk_lose_power(unsigned percent)
{
	struct file *f;
	size_t i;

	for (f = files; f < files + FILES; f++) {
		for (i = 0; i < f->n; i++)
			if (disk_below(100) < percent)
				(void)!pwrite(f->fd, f->sector[i].old, SECTOR,
				    (off_t)(f->sector[i].no * SECTOR));
	}
	disk_forget();
}

void
disk_forget(void)
{
	struct file *f;

	for (f = files; f < files + FILES; f++)
		synced(f);
}
