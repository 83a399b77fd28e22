#ifndef GWCTL_GWCTL_H
#define GWCTL_GWCTL_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "conf/conf.h"
#include "ipc/control.h"
#include "ipc/messages.h"

/*
 * The administrator's hand on the gateway.  Every verb is a function that gets its own words
 * (argv[0] is the verb, or the last word of it) and returns an exit code of sysexits.h, having
 * said on stderr what went wrong and what to do.
 */
struct gwctl {
	const char *config;
	const char *run_dir; /* -r: where to find the gateway without its configuration, or NULL */
	struct conf *conf; /* NULL until gwctl_conf */
	int warn; /* gwctl_conf says what is allowed and should be known, too */
	struct ipc master, policy; /* fd -1: not connected */
};

int gwctl_main(int argc, char *argv[]);

int verb_setup(struct gwctl *t, int argc, char *argv[]);
int verb_config_check(struct gwctl *t, int argc, char *argv[]);
int verb_config_dump(struct gwctl *t, int argc, char *argv[]);
int verb_status(struct gwctl *t, int argc, char *argv[]);
int verb_doctor(struct gwctl *t, int argc, char *argv[]);
int verb_log(struct gwctl *t, int argc, char *argv[]);
int verb_trace(struct gwctl *t, int argc, char *argv[]);
int verb_reload(struct gwctl *t, int argc, char *argv[]);
int verb_reopen(struct gwctl *t, int argc, char *argv[]);
int verb_stop(struct gwctl *t, int argc, char *argv[]);
int verb_tls_connectors(struct gwctl *t, int argc, char *argv[]);
int verb_tls_actions(struct gwctl *t, int argc, char *argv[]);
int verb_tls_profiles(struct gwctl *t, int argc, char *argv[]);
int verb_tls_install(struct gwctl *t, int argc, char *argv[]);
int verb_tls_reports(struct gwctl *t, int argc, char *argv[]);
int verb_domain_add(struct gwctl *t, int argc, char *argv[]);
int verb_domain_del(struct gwctl *t, int argc, char *argv[]);
int verb_domain_list(struct gwctl *t, int argc, char *argv[]);
int verb_recipient_add(struct gwctl *t, int argc, char *argv[]);
int verb_recipient_del(struct gwctl *t, int argc, char *argv[]);
int verb_recipient_list(struct gwctl *t, int argc, char *argv[]);
int verb_route_list(struct gwctl *t, int argc, char *argv[]);
int verb_route_test(struct gwctl *t, int argc, char *argv[]);
int verb_queue_list(struct gwctl *t, int argc, char *argv[]);
int verb_queue_summary(struct gwctl *t, int argc, char *argv[]);
int verb_queue_show(struct gwctl *t, int argc, char *argv[]);
int verb_queue_flush(struct gwctl *t, int argc, char *argv[]);
int verb_queue_hold(struct gwctl *t, int argc, char *argv[]);
int verb_queue_release(struct gwctl *t, int argc, char *argv[]);
int verb_queue_requeue(struct gwctl *t, int argc, char *argv[]);
int verb_queue_delete(struct gwctl *t, int argc, char *argv[]);
int verb_queue_check(struct gwctl *t, int argc, char *argv[]);
int verb_consumer_add(struct gwctl *t, int argc, char *argv[]);
int verb_consumer_set(struct gwctl *t, int argc, char *argv[]);
int verb_consumer_del(struct gwctl *t, int argc, char *argv[]);
int verb_consumer_password(struct gwctl *t, int argc, char *argv[]);
int verb_consumer_phrase(struct gwctl *t, int argc, char *argv[]);
int verb_consumer_show(struct gwctl *t, int argc, char *argv[]);
int verb_consumer_list(struct gwctl *t, int argc, char *argv[]);
int verb_key_import(struct gwctl *t, int argc, char *argv[]);
int verb_key_list(struct gwctl *t, int argc, char *argv[]);
int verb_key_show(struct gwctl *t, int argc, char *argv[]);
int verb_key_delete(struct gwctl *t, int argc, char *argv[]);
int verb_key_export(struct gwctl *t, int argc, char *argv[]);

/* ---- gwctl.c ---- */

/* Say what is wrong and return code; or the code that e's errno stands for. */
int complain(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int complain_err(const struct err *e);

/* The usage of the verb at work; EX_USAGE. */
int complain_usage(void);

/* The configuration, loaded once: 0, or the exit code, every error having been said. */
int gwctl_conf(struct gwctl *t);

/* A connection to master, made once, and a request for one of CTL_*: 0 or the exit code. */
int gwctl_master(struct gwctl *t);
int gwctl_control(struct gwctl *t, unsigned verb, int timeout);

/*
 * Ask policyd (connecting to it at first).
 *
 * want	the answer; when something is wrong policyd says so with admin_rep, and it is said here
 *
 * Returns 0 and m (ipc_done(&t->policy, m)), or the exit code.
 */
int gwctl_ask(struct gwctl *t, uint16_t type, const void *body, uint16_t want, struct ipc_msg *m);

/* A change that is answered with admin_rep alone: 0 or the exit code. */
int gwctl_change(struct gwctl *t, uint16_t type, const void *body);

/* ---- text.c ---- */

#define SHOWN_MAX 512 /* octets of one outside value on the terminal, with its NUL */

/*
 * Text from outside (user ids, names, notes) as it may be printed: controls, line separators and
 * malformed UTF-8 become \xHH.  One of 16 rotating static buffers; NULL gives "-".
 */
const char *shown(const char *s);

#define DATE_TEXT 32
/* "2026-01-31", and with the time of day; "-" for 0. UTC. */
const char *date_text(uint64_t t, char out[DATE_TEXT]);
const char *time_text(uint64_t t, char out[DATE_TEXT]);

/* "3 d 4 h", "12 min", "7 s". */
const char *span_text(uint64_t seconds, char out[DATE_TEXT]);

/*
 * Fingerprint or key id as people write it: 16, 40 or 64 digits, blanks, colons and 0x allowed.
 * Returns its octets (8, 20, 32), or 0 when it is none. out holds 32.
 */
size_t parse_key_id(const char *s, uint8_t *out);

/* "Type yes": 1, 0; -1 without a terminal. */
int ask_yes(const char *question);

/* ---- term.c ---- */

/* What standard output can show.  A pipe or file gets plain ASCII lines of any length. */
struct term {
	int tty, colour, utf8;
	size_t columns; /* of the terminal; 80 when nobody knows */
};
const struct term *term_out(void);

/* Columns that a text takes. */
size_t text_width(const char *s);

/* Octets of s that fit into so many columns. */
size_t text_fit(const char *s, size_t columns);

enum tint { TINT_NONE, TINT_HEAD, TINT_GOOD, TINT_WARN, TINT_BAD };

/* Print the n first octets of s, in colour where term_out() has it. */
void put_tinted(enum tint tint, const char *s, size_t n);

/*
 * Tell on a terminal at standard error how far a long job is, at most a few times a second; all 0:
 * nobody knows how much it is.  progress_clear takes the line away: before anything else is
 * printed.
 */
void progress(const char *what, size_t done, size_t all);
void progress_clear(void);

/* ---- table.c ---- */

#define TABLE_COLUMNS_MAX 12

/* Rows that are held until their columns' widths are known. */
struct cell {
	char *text;
	enum tint tint;
};
struct table {
	unsigned columns;
	struct cell *cells;
	size_t n, room; /* cells */
	int failed; /* out of memory */
};

/* Begin with the heads of the columns, NULL at the end. */
void table_begin(struct table *t, const char *const heads[]);

/* Begin without heads. */
void table_begin_bare(struct table *t, unsigned columns);

/* A row, one string a column, already fit to be printed; "" is shown as "-". */
void table_row(struct table *t, const char *const cells[]);

/* Colour a column of the last row. */
void table_tint(struct table *t, unsigned column, enum tint tint);

/* Print and free; 0 or the exit code. */
int table_end(struct table *t);

/*
 * The same in a box with a title, on a terminal as wide as that and not wider: the last column is
 * cut.  An arrow can come in at the top and leave at the bottom.
 */
#define BOX_ARROW 36 /* its column, the box's first being 0 */
#define BOX_IN 1
#define BOX_OUT 2
int table_box(struct table *t, const char *title, int arrows);

/*
 * The options of a listing, "[-q | --json]": LIST_*, or -1 (usage, said).  With LIST_NAMES there is
 * one name a line and nothing else: for scripts, and for what completes command lines.
 */
enum { LIST_TABLE, LIST_JSON, LIST_NAMES };
int list_options(int argc, char *argv[]);

/* Records as JSON, one after the other: {"NAME": [ ... ]}, so that no list is too long. */
struct json_list {
	size_t n;
	int failed;
};
void json_list_begin(struct json_list *l, const char *name);
void json_list_item(struct json_list *l, const struct rec *r, const void *v);
int json_list_end(struct json_list *l); /* 0 or the exit code */

/* One record, for people to read. 0 or the exit code. */
int json_print(const struct rec *r, const void *v);

#endif
