#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stddef.h>

/*
 * Log lines.  A library or daemon calls log_*; where the line goes is the sink's business: to
 * stderr in tools and before a daemon's channel to logd stands, to logd afterwards.
 */
enum log_level { LOG_L_ERR, LOG_L_WARN, LOG_L_INFO, LOG_L_DEBUG };

#define LOG_LINE_MAX 2048 /* octets of one line with its NUL; longer lines are cut with "..." */
#define LOG_FIELD_MAX 512 /* octets that one outside value may take in a line */

typedef void (*log_sink)(enum log_level level, const char *line, void *arg);

/* Where lines go from now on; NULL for stderr ("ident: line"). */
void log_set_sink(log_sink sink, void *arg);

/* Name shown by the stderr sink, not copied. Lines above max are dropped before formatting. */
void log_init(const char *ident, enum log_level max);

void log_err(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Make text from outside safe for a log line.  Every value that a client, peer, message or key
 * gave passes through here and nowhere else.  Printable ASCII stays but for: \ " [ ] < > , and
 * DEL and controls, which become \xHH; UTF-8 of well-formed sequences stays; space stays.
 *
 * s, n	the text; need not be NUL-terminated
 *
 * Returns out, NUL-terminated, "..." at the end when it did not fit in outsz (at least 8).
 */
char *log_escape(char *out, size_t outsz, const void *s, size_t n);

/*
 * The same for text that is read as a sentence, as a reply is: <...> and [...] stay where they
 * enclose nothing but octets of an address or a host's name and no "=" is in front, which would
 * make a field of them.
 */
char *log_escape_text(char *out, size_t outsz, const void *s, size_t n);

/*
 * The same for a whole line that its writer has escaped already, so that nobody can forge one:
 * only controls, line separators and malformed UTF-8 become \xHH.
 */
char *log_clean(char *out, size_t outsz, const void *s, size_t n);

/*
 * log_escape into one of 8 rotating static buffers of LOG_FIELD_MAX octets: for use directly in
 * an argument list.  s may be NULL (gives "-").
 */
const char *log_str(const char *s);

#endif
