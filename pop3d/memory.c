#include "pop3d/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "base/log.h"

#define MAGIC "GWPOP3M1" /* the last is the version */
#define HEAD (8 + MEMORY_ID + 4)
#define ENTRY (MEMORY_UID + 1 + 4 + 8 + 8 + 1) /* octets of one without its sticky */
#define FILE_MAX                                                                                   \
	((size_t)HEAD + (size_t)MEMORY_MESSAGES_MAX * (ENTRY + STICKY_MAX) + SHA256_DIGEST_LENGTH)
#define TEMP ".new" /* behind the name, with some random digits, of a file being written */
#define TEMP_AGE 3600 /* seconds after which its writer is dead */
#define DAY 86400

void
memory_init(struct memory *m)
{
	memset(m, 0, sizeof *m);
}

void
memory_free(struct memory *m)
{
	size_t i;

	for (i = 0; i < m->n; i++)
		free(m->v[i].sticky);
	free(m->v);
	free(m->slots);
	memory_init(m);
}

/* --- table --- */

/* uid is a hash already, but of what the peer says: it must not know which fall together. */
static size_t
hash(const struct memory *m, const uint8_t uid[MEMORY_UID])
{
	static uint64_t k[3];
	uint64_t u[2], h;

	if (k[0] == 0) {
		arc4random_buf(k, sizeof k);
		k[0] |= 1;
	}
	memcpy(u, uid, sizeof u);
	h = (u[0] ^ k[1]) * k[0];
	h = (h ^ h >> 29 ^ u[1] ^ k[2]) * k[0];
	return (size_t)(h >> 32) & (m->nslots - 1);
}

static struct memory_entry *
look(const struct memory *m, const uint8_t uid[MEMORY_UID])
{
	size_t i, k;

	if (m->nslots == 0)
		return NULL;
	for (i = hash(m, uid); m->slots[i] != 0; i = (i + 1) & (m->nslots - 1)) {
		k = m->slots[i] - 1;
		if (memcmp(m->v[k].uid, uid, MEMORY_UID) == 0)
			return &m->v[k];
	}
	return NULL;
}

struct memory_entry *
memory_find(const struct memory *m, const uint8_t uid[MEMORY_UID])
{
	struct memory_entry *x = look(m, uid);

	return x != NULL && !x->gone ? x : NULL;
}

static void
enter(struct memory *m, size_t k)
{
	size_t i;

	for (i = hash(m, m->v[k].uid); m->slots[i] != 0; i = (i + 1) & (m->nslots - 1))
		;
	m->slots[i] = (uint32_t)k + 1;
}

/* Room for one more, half of the table free. */
static int
grow(struct memory *m)
{
	size_t room = m->room > 0 ? m->room * 2 : 16, k;
	struct memory_entry *v;
	uint32_t *slots;

	if (m->n < m->room)
		return 0;
	if ((v = reallocarray(m->v, room, sizeof *v)) == NULL)
		return -1;
	m->v = v;
	if ((slots = calloc(room * 2, sizeof *slots)) == NULL)
		return -1;
	free(m->slots);
	m->slots = slots;
	m->nslots = room * 2;
	m->room = room;
	for (k = 0; k < m->n; k++)
		enter(m, k);
	return 0;
}

struct memory_entry *
memory_put(struct memory *m, const uint8_t uid[MEMORY_UID])
{
	struct memory_entry *x = look(m, uid);

	if (x != NULL) {
		x->gone = false;
		return x;
	}
	if (m->n >= MEMORY_MESSAGES_MAX) {
		errno = ENOSPC;
		return NULL;
	}
	if (grow(m) == -1)
		return NULL;
	x = &m->v[m->n];
	memset(x, 0, sizeof *x);
	memcpy(x->uid, uid, MEMORY_UID);
	enter(m, m->n++);
	return x;
}

int
memory_stick(struct memory_entry *x, const void *p, size_t n)
{
	uint8_t *copy = NULL;

	if (n > 0 && (copy = malloc(n)) == NULL)
		return -1;
	if (n > 0)
		memcpy(copy, p, n);
	free(x->sticky);
	x->sticky = copy;
	x->nsticky = (uint8_t)n;
	return 0;
}

/* --- octets --- */

static void
put_num(uint8_t *p, unsigned octets, uint64_t v)
{
	while (octets-- > 0) {
		p[octets] = (uint8_t)v;
		v >>= 8;
	}
}

static uint64_t
get_num(const uint8_t *p, unsigned octets)
{
	uint64_t v = 0;

	while (octets-- > 0)
		v = v << 8 | *p++;
	return v;
}

static bool
worth(const struct memory_entry *x, uint32_t day)
{
	return !x->gone && (uint64_t)x->day + MEMORY_UNUSED_DAYS >= day;
}

static int
encode_entry(const struct memory_entry *x, struct buf *out)
{
	uint8_t *p = buf_reserve(out, ENTRY + x->nsticky);

	if (p == NULL)
		return -1;
	memcpy(p, x->uid, MEMORY_UID);
	p += MEMORY_UID;
	*p++ = x->flags;
	put_num(p, 4, x->day);
	put_num(p + 4, 8, x->size);
	put_num(p + 12, 8, x->listed);
	p[20] = x->nsticky;
	if (x->nsticky > 0)
		memcpy(p + 21, x->sticky, x->nsticky);
	buf_added(out, ENTRY + x->nsticky);
	return 0;
}

int
memory_encode(const struct memory *m, const uint8_t id[MEMORY_ID], uint32_t day, struct buf *out)
{
	uint8_t head[HEAD], sum[SHA256_DIGEST_LENGTH];
	size_t i, n = 0;

	for (i = 0; i < m->n; i++)
		n += worth(&m->v[i], day);
	memcpy(head, MAGIC, 8);
	memcpy(head + 8, id, MEMORY_ID);
	put_num(head + 8 + MEMORY_ID, 4, n);
	if (buf_put(out, head, sizeof head) == -1)
		return -1;
	for (i = 0; i < m->n; i++)
		if (worth(&m->v[i], day) && encode_entry(&m->v[i], out) == -1)
			return -1;
	(void)SHA256(buf_ptr(out), buf_len(out), sum);
	return buf_put(out, sum, sizeof sum);
}

/* One entry from the front of n octets; its length, or 0. */
static size_t
decode_entry(struct memory *m, const uint8_t *p, size_t n)
{
	struct memory_entry *x;
	const uint8_t *q = p + MEMORY_UID;
	size_t sticky;

	if (n < ENTRY || (q[0] & ~MEMORY_FLAGS) != 0 || (sticky = q[21]) > STICKY_MAX ||
	    n - ENTRY < sticky || look(m, p) != NULL)
		return 0;
	if ((x = memory_put(m, p)) == NULL || memory_stick(x, q + 22, sticky) == -1)
		return 0;
	x->flags = q[0];
	x->day = (uint32_t)get_num(q + 1, 4);
	x->size = get_num(q + 5, 8);
	x->listed = get_num(q + 13, 8);
	return ENTRY + sticky;
}

int
memory_decode(
    struct memory *m, const uint8_t id[MEMORY_ID], const void *octets, size_t n, struct err *e)
{
	const uint8_t *p = octets, *end;
	uint8_t sum[SHA256_DIGEST_LENGTH];
	uint64_t count;
	size_t used;

	if (n < HEAD + sizeof sum || memcmp(p, MAGIC, 8) != 0)
		return err_set(e, EBADMSG, "not a file of this version");
	end = p + n - sizeof sum;
	if (memcmp(SHA256(p, n - sizeof sum, sum), end, sizeof sum) != 0)
		return err_set(e, EBADMSG, "its checksum is wrong");
	if (memcmp(p + 8, id, MEMORY_ID) != 0)
		return err_set(e, EBADMSG, "it is of another maildrop");
	count = get_num(p + 8 + MEMORY_ID, 4);
	for (p += HEAD; count > 0 && p < end; count--, p += used)
		if ((used = decode_entry(m, p, (size_t)(end - p))) == 0)
			break;
	if (count == 0 && p == end)
		return 0;
	memory_free(m);
	return err_set(e, EBADMSG, "its entries are wrong");
}

/* --- files --- */

int
memory_load(struct memory *m, int dir, const char *name, const uint8_t id[MEMORY_ID], struct err *e)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), rc = -1;
	struct stat st;
	uint8_t *p = NULL;
	size_t n = 0;
	ssize_t got;

	if (fd == -1)
		return errno == ENOENT ? 0 : err_sys(e, "%s", name);
	if (fstat(fd, &st) == -1) {
		(void)err_sys(e, "%s", name);
		goto out;
	}
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > FILE_MAX) {
		(void)err_set(e, EBADMSG, "it is too large");
		goto out;
	}
	if ((p = malloc((size_t)st.st_size + 1)) == NULL) {
		(void)err_sys(e, "memory");
		goto out;
	}
	while (n < (size_t)st.st_size && (got = read(fd, p + n, (size_t)st.st_size - n)) != 0) {
		if (got == -1) {
			(void)err_sys(e, "%s", name);
			goto out;
		}
		n += (size_t)got;
	}
	rc = memory_decode(m, id, p, n, e);
out:
	free(p);
	close(fd);
	return rc;
}

/* What others have written since this was read, and nothing was changed of here. */
static void
merge(struct memory *m, const struct memory *disk)
{
	const struct memory_entry *from;
	struct memory_entry *to;
	size_t i;

	for (i = 0; i < disk->n; i++) {
		from = &disk->v[i];
		if ((to = look(m, from->uid)) != NULL && (to->changed || to->gone))
			continue;
		if (to == NULL && (to = memory_put(m, from->uid)) == NULL)
			return;
		if (memory_stick(to, from->sticky, from->nsticky) == -1)
			return;
		to->size = from->size;
		to->listed = from->listed;
		to->flags = from->flags;
		if (to->day < from->day)
			to->day = from->day;
	}
}

static int
write_all(int fd, const struct buf *b)
{
	const uint8_t *p = buf_ptr(b);
	size_t n = buf_len(b);
	ssize_t put;

	while (n > 0) {
		if ((put = write(fd, p, n)) == -1) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

static int
replace(int dir, const char *name, const struct buf *b, struct err *e)
{
	char temp[MEMORY_NAME_MAX + 32];
	int fd, rc;

	(void)snprintf(temp, sizeof temp, "%s" TEMP "%08x", name, arc4random());
	fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		return err_sys(e, "%s", temp);
	rc = write_all(fd, b);
	if (rc == 0)
		rc = renameat(dir, temp, dir, name);
	if (rc == -1) {
		(void)err_sys(e, "%s", temp);
		(void)unlinkat(dir, temp, 0);
	}
	close(fd);
	return rc;
}

int
memory_save(struct memory *m, int dir, const char *name, const uint8_t id[MEMORY_ID], uint32_t day,
    struct err *e)
{
	struct memory disk;
	struct err damaged;
	struct buf b;
	size_t i;
	int rc;

	memory_init(&disk);
	/* A damaged one has been told of when it was read, and is replaced. */
	if (memory_load(&disk, dir, name, id, &damaged) == 0)
		merge(m, &disk);
	memory_free(&disk);
	buf_init(&b, FILE_MAX);
	if (memory_encode(m, id, day, &b) == -1)
		rc = err_sys(e, "memory");
	else
		rc = replace(dir, name, &b, e);
	buf_free(&b);
	if (rc == 0)
		for (i = 0; i < m->n; i++)
			m->v[i].changed = false;
	return rc;
}

void
memory_sweep(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd != -1 ? fdopendir(fd) : NULL;
	time_t now = time(NULL), age;
	struct dirent *f;
	struct stat st;

	if (d == NULL) {
		if (fd != -1)
			close(fd);
		return;
	}
	while ((f = readdir(d)) != NULL) {
		if (fstatat(dir, f->d_name, &st, AT_SYMLINK_NOFOLLOW) == -1 || !S_ISREG(st.st_mode))
			continue;
		age = strstr(f->d_name, TEMP) != NULL ? TEMP_AGE : (time_t)MEMORY_UNUSED_DAYS * DAY;
		if (now - st.st_mtime > age)
			(void)unlinkat(dir, f->d_name, 0);
	}
	(void)closedir(d);
}
