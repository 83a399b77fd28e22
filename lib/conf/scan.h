#ifndef CONF_SCAN_H
#define CONF_SCAN_H

#include "conf/table.h"

/* The errors of one load: all counted, the first CONF_ERRORS_MAX kept. */
struct conf_errors {
	const char *file;
	unsigned count;
	struct conf_error_line {
		unsigned line;
		char text[ERR_TEXT_MAX]; /* with file and line */
	} v[CONF_ERRORS_MAX];
};

/* One error; line 0 when it belongs to the file as a whole. */
void conf_error(struct conf_errors *errs, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A value of the file made printable and short, in one of 8 rotating buffers. */
const char *conf_show(const char *s, size_t n);

/* A section as it stands in the file. */
struct scan_section {
	enum conf_section_id id;
	unsigned line;
	char title[64]; /* "" for sections without one */
	unsigned key_line[CONF_KEYS_MAX]; /* 0: not set here */
	unsigned first[CONF_KEYS_MAX], count[CONF_KEYS_MAX]; /* of value_line */
};

struct scan {
	struct scan_section *sections;
	size_t nsections;
	unsigned *value_line; /* line of each value of each key */
	size_t nvalues;
};

/*
 * Go over the text before libconfuse does.  libconfuse stops at the first unknown name, keeps no
 * lines, takes the last of two equal keys or titles, replaces ${VARIABLE}, skips characters that
 * it does not know, and miscounts lines after a C comment.  So: comments, unknown options and
 * repeated sections are blanked out in text (after being reported), and the lines of the others
 * are noted.  What is wrong in its grammar is left for libconfuse to say.
 *
 * text	n octets, changed in place
 *
 * Returns 0 (libconfuse may be given the text), or -1: not even that (reported), or ENOMEM.
 */
int conf_scan(struct scan *s, char *text, size_t n, struct conf_errors *errs);
void conf_scan_free(struct scan *s);

#endif
