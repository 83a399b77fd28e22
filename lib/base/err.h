#ifndef BASE_ERR_H
#define BASE_ERR_H

/*
 * What went wrong and where, for people.  Functions whose failure is shown to someone take a
 * struct err * as their last argument; functions whose caller only needs to branch set errno.
 * Both return -1.  There is no third convention.
 */
#define ERR_TEXT_MAX 512 /* octets with the final NUL; longer text is cut */

struct err {
	int code; /* errno value that fits best, never 0 after a failure */
	char text[ERR_TEXT_MAX];
};

/*
 * Fill e (may be NULL) and return -1, so that a function can "return err_set(e, EINVAL, ...)".
 *
 * code	errno value; errno is set to it as well
 * fmt	what was wrong, the value seen, and what to do
 */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As err_set, with ": " and strerror(errno) appended and the current errno as code. */
int err_sys(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
