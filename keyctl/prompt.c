#include <errno.h>
#include <fcntl.h>
#include <readpassphrase.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "keyctl/keyctl.h"

int
on_terminal(void)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);

	if (fd == -1)
		return 0;
	close(fd);
	return 1;
}

static int progress_shown;

void
progress(const char *verb, const char *what, size_t done, size_t all)
{
	if (!isatty(STDERR_FILENO))
		return;
	(void)fprintf(stderr, "\r%s: %zu/%zu %s", verb, done, all, what);
	progress_shown = 1;
}

void
progress_clear(void)
{
	if (progress_shown)
		(void)fprintf(stderr, "\r%60s\r", "");
	progress_shown = 0;
}

static int
from_file(const char *file, char *out, struct err *e)
{
	uint8_t text[SEAL_SECRET_MAX];
	ssize_t n = -1;
	int fd;

	if ((fd = open(file, O_RDONLY | O_CLOEXEC)) == -1)
		return err_sys(e, "%s", file);
	n = seal_read(fd, file, 1, text, e);
	close(fd);
	if (n == -1)
		return -1;
	if (n >= PASS_MAX || memchr(text, '\0', (size_t)n) != NULL)
		n = err_set(e, EINVAL, "%s: a passphrase has at most %d octets and no NUL", file,
		    PASS_MAX - 1);
	else {
		memcpy(out, text, (size_t)n);
		out[n] = '\0';
	}
	explicit_bzero(text, sizeof text);
	return n == -1 ? -1 : 0;
}

int
ask_passphrase(const char *file, const char *what, int fresh, char *out, struct err *e)
{
	char prompt[400], again[PASS_MAX];
	int rc = -1;

	if (file != NULL)
		return from_file(file, out, e);
	progress_clear();
	if (!on_terminal())
		return err_set(e, EINVAL, "%s: no terminal to ask on; use --passphrase-file", what);
	(void)snprintf(prompt, sizeof prompt, "%s: ", what);
	if (readpassphrase(prompt, out, PASS_MAX, RPP_REQUIRE_TTY) == NULL)
		return err_sys(e, "%s", what);
	if (out[0] == '\0') {
		return err_set(e, EINVAL, "%s: empty", what);
	}
	if (!fresh)
		return 0;
	(void)snprintf(prompt, sizeof prompt, "%s, again: ", what);
	if (readpassphrase(prompt, again, sizeof again, RPP_REQUIRE_TTY) == NULL)
		err_sys(e, "%s", what);
	else if (strcmp(out, again) != 0)
		err_set(e, EINVAL, "%s: the two are not the same", what);
	else
		rc = 0;
	explicit_bzero(again, sizeof again);
	if (rc == -1)
		explicit_bzero(out, PASS_MAX);
	return rc;
}

int
ask_yes(const char *question)
{
	char prompt[800], answer[16];

	if (!on_terminal())
		return -1;
	(void)snprintf(prompt, sizeof prompt, "%s\nType yes to go on: ", question);
	if (readpassphrase(prompt, answer, sizeof answer, RPP_REQUIRE_TTY | RPP_ECHO_ON) == NULL)
		return 0;
	return strcasecmp(answer, "yes") == 0;
}
