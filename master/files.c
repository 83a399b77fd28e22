/* The files that the configuration names, on their way to the jailed daemons. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "master/master.h"

#define TOTAL_MAX (64 * 1024 * 1024) /* octets of all of them: they stay in memory */
#define PATH_LEN 1023 /* as in struct config_file */
#define STEP (64 * 1024)

struct file {
	char *path;
	int fd; /* sealed memfd; -1: it could not be read */
	int need; /* somebody said so, and was told */
	int secret; /* a password: for deliverd alone */
};

struct files {
	struct file *v;
	size_t n, room;
	size_t octets;
	size_t failed; /* needed and not there */
	const struct conf_report *report;
	struct err *e; /* the first of them */
};

static int
read_all(int fd, struct buf *b, struct err *e)
{
	uint8_t *p;
	ssize_t n;

	do {
		if (buf_len(b) > CONFIG_FILE_MAX)
			return err_set(e, EFBIG, "more than %d MiB: is it the right file?",
			    CONFIG_FILE_MAX / 1024 / 1024);
		if ((p = buf_reserve(b, STEP)) == NULL)
			return err_sys(e, "memory");
		if ((n = read(fd, p, STEP)) == -1)
			return err_sys(e, "reading");
		buf_added(b, (size_t)n);
	} while (n > 0);
	return 0;
}

/* Never waits: a FIFO or a device is opened, looked at and refused. */
static int
read_file(const char *path, struct buf *b, struct err *e)
{
	int fd, rc = -1;
	struct stat st;

	if (strlen(path) > PATH_LEN)
		return err_set(e, ENAMETOOLONG, "longer than %d octets: move it", PATH_LEN);
	if ((fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)) == -1)
		return err_set(e, errno, "%s: %s", strerror(errno),
		    errno == EACCES ? "let the user who starts postern read it"
				    : "put it there, or correct its name");
	if (fstat(fd, &st) == -1)
		(void)err_sys(e, "fstat");
	else if (!S_ISREG(st.st_mode))
		(void)err_set(e, EINVAL, "not a regular file");
	else
		rc = read_all(fd, b, e);
	close(fd);
	if (rc == 0 && memmem(buf_ptr(b), buf_len(b), "PRIVATE KEY-----", 16) != NULL)
		return err_set(e, EINVAL,
		    "there is a private key in it, which no daemon but cryptod may see: give it to "
		    "keyctl import --tls, then take it out");
	return rc;
}

static int
seal(const struct buf *b, struct err *e)
{
	int fd = memfd_create("postern.file", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t at = 0;
	ssize_t w;

	if (fd == -1)
		return err_sys(e, "memfd_create");
	for (; at < buf_len(b); at += (size_t)w)
		if ((w = write(fd, buf_ptr(b) + at, buf_len(b) - at)) == -1)
			goto fail;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == -1)
		goto fail;
	return fd;
fail:
	(void)err_sys(e, "memfd");
	close(fd);
	return -1;
}

static struct file *
find(struct files *f, const char *path)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		if (strcmp(f->v[i].path, path) == 0)
			return &f->v[i];
	return NULL;
}

static struct file *
add(struct files *f, const char *path)
{
	size_t room = f->room > 0 ? 2 * f->room : 8;
	struct file *v;

	if (f->n == f->room) {
		if ((v = reallocarray(f->v, room, sizeof *v)) == NULL)
			return NULL;
		f->v = v;
		f->room = room;
	}
	v = &f->v[f->n];
	memset(v, 0, sizeof *v);
	v->fd = -1;
	if ((v->path = strdup(path)) == NULL)
		return NULL;
	f->n++;
	return v;
}

static int
take(struct files *f, struct file *new, struct err *e)
{
	struct buf b;

	buf_init(&b, CONFIG_FILE_MAX + 2 * STEP);
	if (read_file(new->path, &b, e) == 0) {
		f->octets += buf_len(&b);
		if (f->octets > TOTAL_MAX)
			(void)err_set(e, EFBIG,
			    "with this one all files together have more than %d MiB",
			    TOTAL_MAX / 1024 / 1024);
		else
			new->fd = seal(&b, e);
	}
	/* There was a private key in it, perhaps. */
	buf_wipe_free(&b);
	return new->fd == -1 ? -1 : 0;
}

static void
tell(struct files *f, const char *path, const char *what, int need, const struct err *why)
{
	const struct conf_report *r = f->report;
	struct err line;

	(void)err_set(&line, why->code, "%s: %s: %s%s", what, path, why->text,
	    need ? "" : " (it is done without)");
	if (!need) {
		if (r != NULL && r->warn != NULL)
			r->warn(r->arg, line.text);
		return;
	}
	if (r != NULL && r->line != NULL)
		r->line(r->arg, line.text);
	if (f->failed++ == 0 && f->e != NULL)
		*f->e = line;
}

static int
on_path(void *arg, const char *path, const char *what, int need)
{
	struct files *f = arg;
	struct file *x = find(f, path);
	struct err why = {0};

	/* Once and for all, unless what could be done without is needed after all. */
	if (x != NULL && (x->fd != -1 || !need || x->need))
		return 0;
	if (x == NULL && f->n == CONFIG_FILES_MAX)
		return err_set(f->e, EMSGSIZE, "more than %d files", CONFIG_FILES_MAX);
	if (x == NULL && (x = add(f, path)) == NULL)
		return err_set(f->e, ENOMEM, "no memory for files");
	x->need = need;
	if (take(f, x, &why) == -1)
		tell(f, path, what, need, &why);
	return 0;
}

static void
mark_secrets(struct files *f, const struct conf *c)
{
	struct file *x;
	size_t i;

	for (i = 0; i < c->nroutes; i++)
		if ((x = find(f, c->routes[i].password_file)) != NULL)
			x->secret = 1;
}

struct files *
files_load(const struct conf *c, const struct conf_report *report, struct err *e)
{
	struct files *f = calloc(1, sizeof *f);
	size_t n;

	if (f == NULL) {
		(void)err_set(e, ENOMEM, "no memory for files");
		return NULL;
	}
	f->report = report;
	f->e = e;
	if (conf_files(c, on_path, f) == -1)
		goto fail;
	if (f->failed > 0) {
		n = e != NULL ? strlen(e->text) : 0;
		if (f->failed > 1 && e != NULL)
			(void)snprintf(
			    e->text + n, sizeof e->text - n, " (and %zu more)", f->failed - 1);
		goto fail;
	}
	mark_secrets(f, c);
	f->report = NULL;
	f->e = NULL;
	return f;
fail:
	files_free(f);
	return NULL;
}

void
files_free(struct files *f)
{
	if (f == NULL)
		return;
	while (f->n-- > 0) {
		if (f->v[f->n].fd != -1)
			close(f->v[f->n].fd);
		free(f->v[f->n].path);
	}
	free(f->v);
	free(f);
}

int
files_send(const struct files *f, struct chan *to)
{
	struct config_file m;
	size_t i;
	int fd;

	if (!ipc_allowed(ipc_message(M_config_file), P_MASTER, chan_peer(to)))
		return 0;
	for (i = 0; i < f->n; i++) {
		if (f->v[i].fd == -1 || (f->v[i].secret && chan_peer(to) != P_DELIVERD))
			continue;
		m.path = f->v[i].path;
		if ((fd = fcntl(f->v[i].fd, F_DUPFD_CLOEXEC, 0)) == -1 ||
		    chan_send(to, M_config_file, 0, &m, fd) == -1)
			return -1;
	}
	return 0;
}
