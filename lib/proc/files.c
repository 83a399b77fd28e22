/* The files that the configuration names, as master has sent them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proc/internal.h"

struct file {
	char *path;
	uint8_t *p;
	size_t n;
};

struct table {
	struct file *v;
	size_t n, room;
};

static struct table now; /* what counts */
static struct table staged; /* came since: for the next start or reload */
static struct table before; /* comes back if the reload is refused */
static struct err trouble; /* why staged is not complete; code 0: it is */

/* Nobody can change a sealed memfd while it is read, nor shorten it. */
int
sealed_read(int fd, size_t max, uint8_t **p, size_t *n, struct err *e)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	int have = fcntl(fd, F_GET_SEALS);
	size_t at = 0;
	struct stat st;
	ssize_t r;

	*p = NULL;
	if (have == -1 || (have & seals) != seals || fstat(fd, &st) == -1)
		return err_set(e, EBADMSG, "not a sealed memfd");
	if (st.st_size < 0 || (uintmax_t)st.st_size > max)
		return err_set(
		    e, EBADMSG, "%jd octets, at most %zu are allowed", (intmax_t)st.st_size, max);
	*n = (size_t)st.st_size;
	if ((*p = malloc(*n + 1)) == NULL)
		return err_set(e, ENOMEM, "no memory for %zu octets", *n);
	for (; at < *n; at += (size_t)r)
		if ((r = pread(fd, *p + at, *n - at, (off_t)at)) <= 0) {
			(void)err_sys(e, "reading from a memfd");
			free(*p);
			*p = NULL;
			return -1;
		}
	(*p)[*n] = '\0';
	return 0;
}

static void
table_free(struct table *t)
{
	while (t->n > 0) {
		t->n--;
		free(t->v[t->n].path);
		free(t->v[t->n].p);
	}
	free(t->v);
	memset(t, 0, sizeof *t);
}

/* The place for a file: that of an older one with its path, which came in vain, or a new one. */
static struct file *
place(struct table *t, const char *path)
{
	size_t i, room = t->room > 0 ? 2 * t->room : 8;
	struct file *v;

	for (i = 0; i < t->n; i++)
		if (strcmp(t->v[i].path, path) == 0)
			return &t->v[i];
	if (t->n == CONFIG_FILES_MAX) {
		errno = EMSGSIZE;
		return NULL;
	}
	if (t->n == t->room) {
		if ((v = reallocarray(t->v, room, sizeof *v)) == NULL)
			return NULL;
		t->v = v;
		t->room = room;
	}
	v = &t->v[t->n];
	memset(v, 0, sizeof *v);
	if ((v->path = strdup(path)) == NULL)
		return NULL;
	t->n++;
	return v;
}

int
files_stage(const struct config_file *m, int fd, struct err *e)
{
	struct file *f = place(&staged, m->path);
	struct err why = {0};

	if (f == NULL)
		(void)err_sys(&why, "memory");
	else {
		free(f->p);
		f->p = NULL;
		f->n = 0;
		if (sealed_read(fd, CONFIG_FILE_MAX, &f->p, &f->n, &why) == 0)
			return 0;
	}
	/* Its path alone could fill the text: what is wrong comes first. */
	if (trouble.code == 0)
		(void)err_set(
		    &trouble, why.code, "a file from master: %.200s (%.250s)", why.text, m->path);
	return err_set(e, trouble.code, "%s", trouble.text);
}

void
files_unstage(void)
{
	table_free(&staged);
	memset(&trouble, 0, sizeof trouble);
}

int
files_switch(struct err *e)
{
	if (trouble.code != 0) {
		(void)err_set(e, trouble.code, "%s", trouble.text);
		files_unstage();
		return -1;
	}
	table_free(&before);
	before = now;
	now = staged;
	memset(&staged, 0, sizeof staged);
	return 0;
}

void
files_settle(int ok)
{
	if (!ok) {
		table_free(&now);
		now = before;
		memset(&before, 0, sizeof before);
	}
	table_free(&before);
}

void
files_free(void)
{
	files_unstage();
	table_free(&now);
	table_free(&before);
}

const uint8_t *
proc_file(const char *path, size_t *n)
{
	size_t i;

	for (i = 0; i < now.n; i++)
		if (strcmp(now.v[i].path, path) == 0) {
			*n = now.v[i].n;
			return now.v[i].p;
		}
	*n = 0;
	return NULL;
}
