/* A GnuPG home from outside: gpg's own folder, its jail, the end of its agent. */
#include "keyctl/gpghome.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gpgme.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "keyctl/keyctl.h"

#define TMPDIR_MAX 60 /* octets: a socket's name has to fit behind it */
#define DEPTH_MAX 4 /* of gpg's own folder */
#define AGENT_MS 2000 /* for the agent to end when asked */

static const char agent_conf[] = "disable-scdaemon\n"
				 "allow-loopback-pinentry\n"
				 "auto-expand-secmem 1048576\n"
				 "default-cache-ttl 0\n"
				 "max-cache-ttl 0\n"
				 "no-allow-external-cache\n";

static const char gpg_conf[] = "no-greeting\n"
			       "no-permission-warning\n"
			       "no-secmem-warning\n"
			       "no-auto-check-trustdb\n"
			       "no-auto-key-locate\n"
			       "no-random-seed-file\n"
			       "trust-model always\n"
			       "no-default-keyring\n";

/* ---- gpg's folder ---- */

static int
put_file(int dir, const char *name, const char *text, struct err *e)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	size_t n = strlen(text);
	int rc;

	if (fd == -1)
		return err_sys(e, "%s", name);
	rc = write(fd, text, n) == (ssize_t)n ? 0 : err_sys(e, "%s", name);
	close(fd);
	return rc;
}

/* A file or folder of the home; nothing else, for gpg would wait for ever at the end of a pipe. */
static int
there(const struct gpg_home *h, const char *name, char path[PATH_MAX])
{
	struct stat st;

	return snprintf(path, PATH_MAX, "%s/%s", h->dir, name) < PATH_MAX && stat(path, &st) == 0 &&
	       (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

static int
fill(struct gpg_home *h, struct err *e)
{
	char text[1024], path[PATH_MAX];
	int n, rc = -1, fd = open(h->tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1)
		return err_sys(e, "%s", h->tmp);
	/* Keyrings are named through the link: no name of the home's has to be quoted. */
	n = snprintf(text, sizeof text, "%s", gpg_conf);
	if (!h->writable)
		n += snprintf(text + n, sizeof text - (size_t)n, "lock-never\n");
	if (there(h, "pubring.gpg", path))
		n += snprintf(text + n, sizeof text - (size_t)n, "%s %s/home/pubring.gpg\n",
		    h->writable && !there(h, "pubring.kbx", path) ? "primary-keyring" : "keyring",
		    h->tmp);
	if (there(h, "pubring.kbx", path) || (h->writable && !there(h, "pubring.gpg", path)))
		(void)snprintf(text + n, sizeof text - (size_t)n, "%s %s/home/pubring.kbx\n",
		    h->writable ? "primary-keyring" : "keyring", h->tmp);
	if (put_file(fd, "gpg.conf", text, e) == -1 ||
	    put_file(fd, "gpg-agent.conf", agent_conf, e) == -1)
		goto out;
	if (symlinkat(h->dir, fd, "home") == -1 ||
	    symlinkat("home/private-keys-v1.d", fd, "private-keys-v1.d") == -1 ||
	    (geteuid() == 0 && h->uid != 0 && fchown(fd, h->uid, h->gid) == -1))
		err_sys(e, "%s", h->tmp);
	else
		rc = 0;
out:
	close(fd);
	return rc;
}

/* No link is followed: the folder may belong to somebody who is not us. */
static void
empty_all(int fd, int depth)
{
	DIR *d = fdopendir(fd);
	struct dirent *n;
	int sub;

	if (d == NULL) {
		close(fd);
		return;
	}
	while ((n = readdir(d)) != NULL) {
		if (strcmp(n->d_name, ".") == 0 || strcmp(n->d_name, "..") == 0)
			continue;
		if (unlinkat(fd, n->d_name, 0) == 0 || depth == 0 ||
		    (sub = openat(
			 fd, n->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) == -1)
			continue;
		empty_all(sub, depth - 1);
		(void)unlinkat(fd, n->d_name, AT_REMOVEDIR);
	}
	(void)closedir(d);
}

/*
 * As the folder's owner: root would remove for him what he may have put there and could not remove
 * himself.
 */
static void
empty(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == -1) {
		close(fd);
		return;
	}
	(void)setgroups(0, NULL);
	(void)setfsgid(st.st_gid);
	(void)setfsuid(st.st_uid);
	empty_all(fd, DEPTH_MAX);
	(void)setfsuid(geteuid());
	(void)setfsgid(getegid());
}

/*
 * Connect to the agent, by the socket itself: where the folder's owner is not us, he may have put
 * a link to somebody else's there, or one that nobody accepts from.  The socket, or -1.
 */
static int
reach_agent(const struct gpg_home *h)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char path[sizeof h->tmp + 16];
	int s = -1, fd;

	(void)snprintf(path, sizeof path, "%s/S.gpg-agent", h->tmp);
	if ((fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC)) == -1)
		return -1;
	(void)snprintf(sun.sun_path, sizeof sun.sun_path, "/proc/self/fd/%d", fd);
	s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s != -1 && connect(s, (struct sockaddr *)&sun, sizeof sun) == -1) {
		close(s);
		s = -1;
	}
	close(fd);
	return s;
}

/*
 * Ask the agent to end and wait until it has, at most until then (clock_ms).  Only a process of the
 * home's owner is asked.  Returns 0 when nobody listens there, 1 when somebody does or did.
 */
static int
end_agent(const struct gpg_home *h, uint64_t until)
{
	uid_t owner = geteuid() == 0 ? h->uid : geteuid();
	struct pollfd p = {.fd = reach_agent(h), .events = POLLIN};
	struct ucred who;
	socklen_t n = sizeof who;
	char answer[256];
	ssize_t got = 1;
	uint64_t now;

	if (p.fd == -1)
		return 0;
	if (getsockopt(p.fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 && who.uid == owner &&
	    send(p.fd, "KILLAGENT\n", 10, MSG_NOSIGNAL) == 10)
		while (
		    got > 0 && (now = clock_ms()) < until && poll(&p, 1, (int)(until - now)) == 1)
			got = recv(p.fd, answer, sizeof answer, MSG_DONTWAIT);
	close(p.fd);
	return 1;
}

/*
 * Under another name first: no agent can begin in the folder any more.  One that is just beginning
 * is waited for, since it would miss that its socket is taken away.
 */
static void
clean(struct gpg_home *h)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	uint64_t until = clock_ms() + AGENT_MS;
	char gone[sizeof h->tmp];
	int fd, tries = 10;

	if (snprintf(gone, sizeof gone, "%s.end", h->tmp) < (int)sizeof gone &&
	    rename(h->tmp, gone) == 0)
		(void)strlcpy(h->tmp, gone, sizeof h->tmp);
	for (; tries > 0 && clock_ms() < until; tries--)
		if (end_agent(h, until) == 0)
			(void)nanosleep(&pause, NULL);
	if ((fd = open(h->tmp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) != -1)
		empty(fd);
	(void)rmdir(h->tmp);
}

/* However keyctl ends, at a prompt by ^C too, its agent and folder end with it. */
static int
start_cleaner(struct gpg_home *h, struct err *e)
{
	int fds[2];
	char c;

	if (pipe2(fds, O_CLOEXEC) == -1)
		return err_sys(e, "pipe");
	if ((h->cleaner_pid = fork()) == -1) {
		err_sys(e, "fork");
		close(fds[0]);
		close(fds[1]);
		return -1;
	}
	if (h->cleaner_pid == 0) {
		(void)setsid();
		/* Its parent's channels and terminal are not for it. */
		if (dup2(fds[0], 0) == -1 || close_range(1, ~0U, 0) == -1)
			_exit(1);
		while (read(0, &c, 1) == -1 && errno == EINTR)
			;
		clean(h);
		_exit(0);
	}
	close(fds[0]);
	h->cleaner = fds[1];
	return 0;
}

/* ---- open and close ---- */

/* Is this a home that our gpg reads? */
static int
check_home(const struct gpg_home *h, struct err *e)
{
	char path[PATH_MAX], other[PATH_MAX];

	if (there(h, "public-keys.d/pubring.db", path))
		return err_set(e, ENOTSUP,
		    "%s: its public keys are with GnuPG's keyboxd: use gpg --export-secret-keys "
		    "and "
		    "keyctl import FILE",
		    h->dir);
	if (h->writable)
		return 0;
	if (!there(h, "private-keys-v1.d", path)) {
		if (there(h, "secring.gpg", other))
			return err_set(e, ENOTSUP,
			    "%s: the home of a GnuPG before 2.1: keyctl import %s", h->dir, other);
		return err_set(
		    e, ENOENT, "%s: no GnuPG home: there is no private-keys-v1.d in it", h->dir);
	}
	if (!there(h, "pubring.kbx", path) && !there(h, "pubring.gpg", path))
		return err_set(
		    e, ENOENT, "%s: no GnuPG home: there is no pubring.kbx in it", h->dir);
	return 0;
}

/* Once, before any jail: GPGME runs gpgconf to find the programs. */
static int
find_gpg(struct gpg_home *h, struct err *e)
{
	static char agent[PATH_MAX];
	const char *bin;

	if (gpgme_check_version(NULL) == NULL ||
	    gpgme_engine_check_version(GPGME_PROTOCOL_OpenPGP) != 0)
		return err_set(e, ENOTSUP,
		    "there is no gpg here: install GnuPG (apt install gpg "
		    "gpg-agent)");
	h->gpg = gpgme_get_dirinfo("gpg-name");
	bin = gpgme_get_dirinfo("bindir");
	if (h->gpg == NULL || bin == NULL ||
	    snprintf(agent, sizeof agent, "%s/gpg-agent", bin) >= (int)sizeof agent ||
	    access(agent, X_OK) == -1)
		return err_set(
		    e, ENOTSUP, "there is no gpg-agent here: install it (apt install gpg-agent)");
	h->agent = agent;
	return 0;
}

int
home_open(struct gpg_home *h, const char *dir, int writable, struct err *e)
{
	const char *tmp;
	struct stat st;

	memset(h, 0, sizeof *h);
	h->cleaner = -1;
	h->writable = writable;
	if (find_gpg(h, e) == -1)
		return -1;
	if (writable && mkdir(dir, 0700) == -1 && errno != EEXIST)
		return err_sys(e, "%s", dir);
	if (realpath(dir, h->dir) == NULL || stat(h->dir, &st) == -1)
		return err_sys(e, "%s", dir);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ENOENT, "%s: no folder", dir);
	h->uid = st.st_uid;
	h->gid = st.st_gid;
	if (check_home(h, e) == -1)
		return -1;
	tmp = getenv("TMPDIR");
	if (tmp == NULL || tmp[0] != '/' || strlen(tmp) > TMPDIR_MAX)
		tmp = "/tmp";
	(void)snprintf(h->tmp, sizeof h->tmp, "%s/keyctl.XXXXXX", tmp);
	if (mkdtemp(h->tmp) == NULL)
		return err_sys(e, "a folder for gpg in %s", tmp);
	if (start_cleaner(h, e) == -1)
		(void)rmdir(h->tmp);
	else if (fill(h, e) == 0)
		return 0;
	home_close(h);
	return -1;
}

void
home_close(struct gpg_home *h)
{
	if (h->cleaner == -1)
		return;
	close(h->cleaner);
	while (waitpid(h->cleaner_pid, NULL, 0) == -1 && errno == EINTR)
		;
	h->cleaner = -1;
}

/* ---- requests ---- */

/* What is shown and asked for again is made of digits, whatever the jail says. */
static int
names_keys(const struct home_answer *a)
{
	for (size_t i = 0; i < a->keys.n; i++)
		if (a->keys.v[i].fpr[strspn(a->keys.v[i].fpr, "0123456789ABCDEFabcdef")] != '\0')
			return 0;
	return 1;
}

void
home_reply_free(struct home_reply *r)
{
	free(r->rec);
	r->rec = NULL;
	buf_wipe_free(&r->mem);
}

int
home_request(struct gpg_home *h, struct home_ask *ask, struct home_reply *r, struct err *e)
{
	const char *const exec[] = {h->gpg, h->agent, NULL};
	/* Libraries, and what gpg looks at when it starts. */
	const char *const sys[] = {"/lib", "/lib64", "/usr/lib", "/usr/share/gnupg",
	    "/etc/ld.so.cache", "/etc/gcrypt", "/dev/urandom", h->writable ? NULL : h->dir, NULL};
	const char *const write[] = {h->tmp, "/dev/null", h->writable ? h->dir : NULL, NULL};
	const struct jail_rights rights = {
	    .exec = exec,
	    .read = sys,
	    .write = write,
	    .uid = h->uid,
	    .gid = h->gid,
	    .seconds = HOME_SECONDS,
	};
	char secret_dir[PATH_MAX], text[SHOWN_MAX];

	home_reply_free(r);
	buf_init(&r->mem, HOME_ANSWER_MAX);
	ask->gpg = h->gpg;
	ask->home = h->tmp;
	if (snprintf(secret_dir, sizeof secret_dir, "%s/private-keys-v1.d", h->dir) >= PATH_MAX)
		return err_set(e, ENAMETOOLONG, "%s: too long", h->dir);
	ask->secret_dir = secret_dir;
	if (jail_run_with(&rights, home_run, ask, h->dir, &r->mem, e) == -1)
		return -1;
	r->rec = rec_decode(&rec_home_answer, buf_ptr(&r->mem), buf_len(&r->mem));
	if (r->rec == NULL || !names_keys(r->rec))
		return err_set(e, EBADMSG, "%s: cannot be read", h->dir);
	if (r->rec->code != 0)
		return err_set(e, (int)r->rec->code, "%s: %s", h->dir, shown(r->rec->text, text));
	return 0;
}
