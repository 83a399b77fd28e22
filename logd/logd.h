#ifndef LOGD_LOGD_H
#define LOGD_LOGD_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/log.h"
#include "proc/proc.h"

extern const struct proc logd;

/* ---- line.c ---- */

#define LINE_STAMP_MAX 32
#define LINE_HOST_MAX 64 /* octets that the host may take */
#define LINE_TAG_MAX 64 /* octets of log.tag */
/* Octets of a finished line with everything in front, its line end and a NUL. */
#define LINE_OUT_MAX (4 * LOG_LINE_MAX + 256)

struct line {
	enum log_level level;
	const char *tag; /* log.tag */
	const char *who; /* the process: smtpd */
	uint32_t pid;
	const char *text; /* as it came; cleaned here, unless escaped */
	int escaped; /* 1: by event_line */
	const char *stamp; /* line_stamp */
};

/* "Nov 22 13:45:01", local time, in a static buffer: made anew each second only. */
const char *line_stamp(time_t now);

/*
 * For a file: "Nov 22 13:45:01 host postern/smtpd[12]: text\n".  host is cut at its first dot.
 * Returns the octets written to out, which holds LINE_OUT_MAX.
 */
size_t line_for_file(char *out, const struct line *l, const char *host);

/* For a syslog socket (RFC 3164, 4.1, without a host): "<22>Nov 22 13:45:01 postern/smtpd...". */
size_t line_for_syslog(char *out, const struct line *l, int facility);

/* ---- names.c ---- */

/* The program that a line is of: the process' own name, or the one of Postfix's that writes such.
 */
const char *line_name(int postfix_names, enum proc_id who);
const char *event_name(int postfix_names, enum proc_id who, unsigned kind);

/* ---- counts.c ---- */

/* What happened since the start, for Prometheus. */
void counts_event(const struct log_event *e);
void counts_put(struct buf *b);

/* ---- output.c ---- */

/*
 * Where lines go.  Open both as root, before the jail.  Lines are held until output_flush or until
 * they are OUTPUT_BATCH octets or OUTPUT_LINES: then a file takes them in one write.  What cannot
 * be written is counted; only a syslog daemon whose queue is full is waited for, a moment and not
 * again before it took a line.
 */
#define OUTPUT_BATCH (64 * 1024)
#define OUTPUT_LINES 512

struct output;

struct output *output_open(const struct conf *c, uint32_t uid, uint32_t gid, struct err *e);
void output_close(struct output *o); /* what is held is lost */
void output_line(struct output *o, const struct line *l);
void output_flush(struct output *o);

/* Go on with this new file (taken over), or connect to syslog again (-1). */
void output_reopen(struct output *o, int fd);

/* The new configuration; -1 with e when it wants another place, which a jail cannot reach. */
int output_reload(struct output *o, const struct conf *c, struct err *e);

struct output_counts {
	uint64_t written, lost;
	char trouble[128]; /* why lines are being lost now, or "" */
};

void output_count(const struct output *o, struct output_counts *n);

#endif
