/* tls install: a certificate and its key to their places, as an ACME client's deploy hook does. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "gwctl/gwctl.h"

#define CHAIN_FILE_MAX (1024 * 1024) /* octets of a chain */
#define RELOAD_TIMEOUT 60000 /* milliseconds */

/* All of a file: 0, or the exit code. */
static int
read_all(const char *name, struct buf *out)
{
	int rc = EX_OK, fd = open(name, O_RDONLY | O_CLOEXEC);
	char part[16384];
	ssize_t n;

	if (fd == -1)
		return complain(
		    errno == EACCES ? EX_NOPERM : EX_NOINPUT, "%s: %s", name, strerror(errno));
	while ((n = read(fd, part, sizeof part)) != 0) {
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			rc = complain(EX_IOERR, "%s: %s", name, strerror(errno));
			break;
		}
		if (buf_put(out, part, (size_t)n) == -1) {
			rc = complain(EX_DATAERR,
			    "%s: larger than %d octets: this is no chain of "
			    "certificates",
			    name, CHAIN_FILE_MAX);
			break;
		}
	}
	(void)close(fd);
	if (rc == EX_OK && buf_len(out) == 0)
		rc = complain(EX_DATAERR, "%s: empty", name);
	return rc;
}

/* Everybody may read what is written: no key goes there, though many tools put both in one file. */
static int
read_chain(const char *name, struct buf *out)
{
	int rc = read_all(name, out);

	if (rc == 0 && memmem(buf_ptr(out), buf_len(out), "PRIVATE KEY-----", 16) != NULL)
		rc = complain(EX_DATAERR,
		    "%s: there is a private key in it: give the certificates in a file of their "
		    "own; nothing was changed",
		    name);
	return rc;
}

/* keyctl stands beside us; where that name is the kernel's tool, ours is gwkeyctl. */
static int
keyctl_path(char *out, size_t outsz)
{
	static const char *const names[] = {"gwkeyctl", "keyctl"};
	char self[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	size_t i;

	if (n <= 0)
		return complain(EX_OSERR, "/proc/self/exe: %s", strerror(errno));
	self[n] = '\0';
	if ((slash = strrchr(self, '/')) == NULL)
		return complain(EX_OSERR, "%s: no folder", self);
	*slash = '\0';
	for (i = 0; i < sizeof names / sizeof names[0]; i++)
		if ((size_t)snprintf(out, outsz, "%s/%s", self, names[i]) < outsz &&
		    access(out, X_OK) == 0)
			return 0;
	return complain(EX_OSFILE, "keyctl is not where this program is: reinstall the gateway");
}

/* It reads key and chain in its jail, sees to it that they fit, and gives the key to cryptod. */
static int
import_key(const struct gwctl *t, const char *pass_file, const char *chain, const char *key)
{
	char path[PATH_MAX];
	const char *argv[12];
	int fd, n = 0, rc, status;
	pid_t pid;

	if ((rc = keyctl_path(path, sizeof path)) != 0)
		return rc;
	argv[n++] = "keyctl";
	argv[n++] = "-c";
	argv[n++] = t->config;
	argv[n++] = "import";
	argv[n++] = "--tls";
	argv[n++] = "--certificate";
	argv[n++] = chain;
	if (pass_file != NULL) {
		argv[n++] = "--passphrase-file";
		argv[n++] = pass_file;
	}
	argv[n++] = "--";
	argv[n++] = key;
	argv[n] = NULL;
	(void)fflush(stdout);
	if ((pid = fork()) == -1)
		return complain(EX_OSERR, "cannot start keyctl: %s", strerror(errno));
	if (pid == 0) {
		/* It would tell what to do next, which is done here. */
		if ((fd = open("/dev/null", O_WRONLY | O_CLOEXEC)) != -1)
			(void)dup2(fd, STDOUT_FILENO);
		(void)execv(path, (char *const *)(uintptr_t)argv);
		_exit(EX_OSFILE);
	}
	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			return complain(EX_OSERR, "keyctl: %s", strerror(errno));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		(void)printf("%s: its key is in the key store\n", shown(key));
		return 0;
	}
	return complain(WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE,
	    "the key was not taken, and nothing else was changed");
}

static int
put_out(int fd, const struct buf *b)
{
	const uint8_t *p = buf_ptr(b);
	size_t n = buf_len(b);
	ssize_t w;

	while (n > 0) {
		if ((w = write(fd, p, n)) == -1 && errno != EINTR)
			return -1;
		if (w > 0) {
			p += w;
			n -= (size_t)w;
		}
	}
	return fsync(fd);
}

/* In one step: whoever reads the file meanwhile reads the old one or the new one. */
static int
write_chain(const char *dir, const char *name, const struct buf *chain)
{
	char path[PATH_MAX], temp[PATH_MAX + 8];
	int fd, dirfd, code;

	if (mkdir(dir, 0755) == -1 && errno != EEXIST)
		return complain(EX_CANTCREAT, "%s: %s", dir, strerror(errno));
	if ((size_t)snprintf(path, sizeof path, "%s/%s.pem", dir, name) >= sizeof path)
		return complain(EX_DATAERR, "%s: name too long", name);
	(void)snprintf(temp, sizeof temp, "%s.XXXXXX", path);
	if ((fd = mkostemp(temp, O_CLOEXEC)) == -1)
		return complain(EX_CANTCREAT, "%s: %s", temp, strerror(errno));
	if (fchmod(fd, 0644) == -1 || put_out(fd, chain) == -1 || rename(temp, path) == -1) {
		code = errno;
		(void)close(fd);
		(void)unlink(temp);
		return complain(EX_CANTCREAT, "%s: %s", path, strerror(code));
	}
	(void)close(fd);
	if ((dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) != -1) {
		(void)fsync(dirfd);
		(void)close(dirfd);
	}
	(void)printf("%s: written\n", path);
	return 0;
}

/* Does some connector show it? */
static int
is_used(const struct conf *c, const char *name)
{
	char path[PATH_MAX];
	size_t i, k;

	(void)snprintf(path, sizeof path, "%s/%s.pem", c->node.tls_dir, name);
	for (i = 0; i < c->nconnectors; i++)
		for (k = 0; k < c->connectors[i].chains.n; k++)
			if (strcmp(c->connectors[i].chains.v[k], path) == 0)
				return 1;
	return 0;
}

static int
is_name(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n > 0 && n < 64 && s[n] == '\0' && s[0] != '.';
}

/* From now on new connections are shown it; those that are open stay. */
static int
tell_gateway(struct gwctl *t, const char *name)
{
	struct err e = {0};
	int rc;

	if (!is_used(t->conf, name)) {
		(void)printf("no connector shows it yet: certificates = {\"%s\"} in %s, then gwctl "
			     "reload\n",
		    name, t->config);
		return 0;
	}
	if ((rc = gwctl_master(t)) != 0)
		return rc;
	if (control_verb(&t->master, CTL_RELOAD, RELOAD_TIMEOUT, &e) == -1)
		return complain(EX_TEMPFAIL, "%s; the file is in its place: gwctl reload", e.text);
	(void)printf("reloaded\n");
	return 0;
}

int
verb_tls_install(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"passphrase-file", required_argument, NULL, 'p'},
	    {"no-reload", no_argument, NULL, 'n'},
	    {NULL, 0, NULL, 0},
	};
	const char *pass_file = NULL;
	struct buf chain;
	int c, rc, reload = 1;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		switch (c) {
		case 'p':
			pass_file = optarg;
			break;
		case 'n':
			reload = 0;
			break;
		default:
			return complain_usage();
		}
	if (argc - optind != 3)
		return complain_usage();
	argv += optind;
	if (!is_name(argv[0]))
		return complain(EX_USAGE,
		    "'%s': a name has 1 to 63 letters, digits, '.', '_' and '-'", shown(argv[0]));
	if ((rc = gwctl_conf(t)) != 0)
		return rc;
	buf_init(&chain, CHAIN_FILE_MAX);
	if ((rc = read_chain(argv[1], &chain)) == 0 &&
	    (rc = import_key(t, pass_file, argv[1], argv[2])) == 0 &&
	    (rc = write_chain(t->conf->node.tls_dir, argv[0], &chain)) == 0 && reload)
		rc = tell_gateway(t, argv[0]);
	buf_wipe_free(&chain);
	return rc;
}
