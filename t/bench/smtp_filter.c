/*
 * A before-queue content filter for Postfix (smtpd_proxy_filter), as small as one can be:
 *
 *	smtp_filter PORT NEXT PROCESSES [KEY]
 *
 * Commands go on to port NEXT as they are, and replies come back; a message is taken whole, then
 * passed on unchanged, or, with a KEY, signed and encrypted to that key as PGP/MIME by GPGME, a gpg
 * for each as GPGME does it.  So many PROCESSES serve a connection each.
 */
#include <gpgme.h>
#include <locale.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "t/bench/load.h"

#define MESSAGE_MAX (16 * 1024 * 1024)

/* One side of a connection, with what was read and not looked at yet. */
struct side {
	int fd;
	char buf[64 * 1024];
	size_t at, end;
};

static gpgme_ctx_t gpg;
static gpgme_key_t key;
static char *message;
static size_t message_len;

static void
must(gpgme_error_t e, const char *what)
{
	if (e != 0)
		errx(1, "%s: %s", what, gpgme_strerror(e));
}

static void
open_gpg(const char *who)
{
	(void)setlocale(LC_ALL, "");
	(void)gpgme_check_version(NULL);
	must(gpgme_new(&gpg), "gpgme");
	gpgme_set_armor(gpg, 1);
	must(gpgme_get_key(gpg, who, &key, 1), "key");
	must(gpgme_signers_add(gpg, key), "signer");
}

static int
put(int fd, const void *p, size_t n)
{
	const char *at = p;
	ssize_t k;

	for (; n > 0; n -= (size_t)k, at += k)
		if ((k = send(fd, at, n, MSG_NOSIGNAL)) == -1)
			return -1;
	return 0;
}

static int
fill(struct side *s)
{
	ssize_t n;

	if (s->at == s->end)
		s->at = s->end = 0;
	if (s->end == sizeof s->buf ||
	    (n = recv(s->fd, s->buf + s->end, sizeof s->buf - s->end, 0)) <= 0)
		return -1;
	s->end += (size_t)n;
	return 0;
}

/* The next line with its end; NULL when there is none any more. */
static char *
line(struct side *s, size_t *n)
{
	char *lf, *from;

	for (;;) {
		from = s->buf + s->at;
		lf = memchr(from, '\n', s->end - s->at);
		if (lf != NULL) {
			*n = (size_t)(lf + 1 - from);
			s->at += *n;
			return from;
		}
		if (s->at > 0) {
			memmove(s->buf, from, s->end - s->at);
			s->end -= s->at;
			s->at = 0;
		}
		if (fill(s) == -1)
			return NULL;
	}
}

/* Pass a whole reply on; its code, or -1. */
static int
pass_reply(struct side *from, int to)
{
	size_t n;
	char *l;

	do {
		if ((l = line(from, &n)) == NULL || n < 5 || put(to, l, n) == -1)
			return -1;
	} while (l[3] == '-');
	return atoi(l);
}

/* The text up to its end mark, which is part of it. */
static int
take_text(struct side *s)
{
	size_t n;
	char *l;

	message_len = 0;
	for (;;) {
		if ((l = line(s, &n)) == NULL || message_len + n > MESSAGE_MAX)
			return -1;
		memcpy(message + message_len, l, n);
		message_len += n;
		if (n == 3 && memcmp(l, ".\r\n", 3) == 0)
			return 0;
	}
}

/* GPGME ends lines with LF. */
static int
put_armour(int fd, const char *p, size_t n)
{
	char *out = malloc(2 * n), *to = out;
	size_t i;
	int rc;

	if (out == NULL)
		err(1, NULL);
	for (i = 0; i < n; i++) {
		if (p[i] == '\n')
			*to++ = '\r';
		*to++ = p[i];
	}
	rc = put(fd, out, (size_t)(to - out));
	free(out);
	return rc;
}

/* The header up to its empty line; fields about the content belong to the part inside. */
static size_t
head_end(void)
{
	char *p = memmem(message, message_len, "\r\n\r\n", 4);

	if (p == NULL)
		errx(1, "a message without a body");
	return (size_t)(p - message) + 2;
}

static int
put_head(int fd, size_t n)
{
	static const char type[] =
	    "MIME-Version: 1.0\r\nContent-Type: multipart/encrypted; boundary=\"=-=\";\r\n"
	    " protocol=\"application/pgp-encrypted\"\r\n\r\n--=-=\r\n"
	    "Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n--=-=\r\n"
	    "Content-Type: application/octet-stream\r\n\r\n";
	const char *p = message, *end = message + n, *lf;

	for (; p < end; p = lf + 1) {
		lf = memchr(p, '\n', (size_t)(end - p));
		if (strncasecmp(p, "Content-", 8) != 0 && strncasecmp(p, "MIME-", 5) != 0 &&
		    put(fd, p, (size_t)(lf + 1 - p)) == -1)
			return -1;
	}
	return put(fd, type, sizeof type - 1);
}

static int
put_encrypted(int fd)
{
	gpgme_key_t to[] = {key, NULL};
	gpgme_data_t in, out;
	size_t n, head = head_end();
	char *p;
	int rc;

	/* Dots stay stuffed: a filter for real mail would have to take them away first. */
	must(gpgme_data_new_from_mem(&in, message, message_len - 3, 0), "data");
	must(gpgme_data_new(&out), "data");
	must(gpgme_op_encrypt_sign(gpg, to, GPGME_ENCRYPT_ALWAYS_TRUST, in, out), "encrypt");
	gpgme_data_release(in);
	p = gpgme_data_release_and_get_mem(out, &n);
	rc = put_head(fd, head) == -1 || put_armour(fd, p, n) == -1 ||
		     put(fd, "\r\n--=-=--\r\n.\r\n", 14) == -1
		 ? -1
		 : 0;
	gpgme_free(p);
	return rc;
}

static void
serve(int fd, unsigned next)
{
	static struct side client, server;
	size_t n;
	char *l;
	int code, data;

	client.fd = fd;
	server.fd = load_connect(next);
	client.at = client.end = server.at = server.end = 0;
	load_no_delay(fd);
	if (pass_reply(&server, fd) == -1)
		goto out;
	while ((l = line(&client, &n)) != NULL) {
		data = n == 6 && strncasecmp(l, "DATA", 4) == 0;
		if (put(server.fd, l, n) == -1 || (code = pass_reply(&server, fd)) == -1)
			break;
		if (!data || code != 354)
			continue;
		if (take_text(&client) == -1 ||
		    (gpg != NULL ? put_encrypted(server.fd)
				 : put(server.fd, message, message_len)) == -1 ||
		    pass_reply(&server, fd) == -1)
			break;
		/* What GPGME started and let go: its CPU time is ours. */
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
out:
	close(fd);
	close(server.fd);
}

int
main(int argc, char *argv[])
{
	unsigned next, n, i;
	int listener, fd;

	if (argc != 4 && argc != 5)
		errx(64, "usage: smtp_filter PORT NEXT PROCESSES [KEY]");
	listener = load_listen(load_number(argv[1], 1, 65535));
	next = load_number(argv[2], 1, 65535);
	n = load_number(argv[3], 1, 1000);
	for (i = 0; i < n; i++) {
		if (fork() != 0)
			continue;
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
		if ((message = malloc(MESSAGE_MAX)) == NULL)
			err(1, NULL);
		if (argc == 5)
			open_gpg(argv[4]);
		while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) != -1)
			serve(fd, next);
		err(1, "accept4");
	}
	while (wait(NULL) > 0)
		;
	return 1;
}
