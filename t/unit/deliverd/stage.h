#ifndef UNIT_DELIVERD_STAGE_H
#define UNIT_DELIVERD_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "proc/proc.h"

/*
 * What deliverd asks of lib/proc, played by the test: a configuration and its files, a loop, a dnsd
 * and a keyd that know what they were told, queued and anvild behind channels.
 */

/* A configuration with a relay connector and these sections; the daemon is deliverd. */
void stage_begin(const char *sections);
void stage_end(void);
void stage_conf(const char *sections); /* a reload, as daemon.c does it */

/* What proc_file gives for this path; text NULL: nothing. */
void stage_file(const char *path, const char *text);

/* ---- names; others do not exist ---- */

#define SECURE 1
#define SILENT 2 /* no answer ever comes */

/* records: "10 mx1.example.org, 20 mx2.example.org"; "" for none; ".": null MX */
void stage_mx(const char *domain, enum dns_status status, int how, const char *records);
/* addrs: "127.0.0.1 ::1"; canonical: "" or the name behind an alias */
void stage_addr(
    const char *name, enum dns_status status, int how, const char *addrs, const char *canonical);
/* One record; its data NULL: there is none. */
void stage_tlsa(const char *name, enum dns_status status, int how, unsigned usage,
    unsigned selector, unsigned matching, const uint8_t *data, size_t n);
/* mxs: "a.example.org *.example.org" */
void stage_sts(const char *domain, enum sts_mode mode, const char *mxs);
/* How often this was asked. */
unsigned stage_asked(uint16_t type, const char *name);

/* Answers to questions that wait are given by the loop; hold: not until stage_release. */
void stage_hold(void);
void stage_release(void);
void stage_time_out(void); /* those who wait hear that nobody answers */

/* ---- the loop ---- */

/* Run it until *n reaches want (20 seconds at most, then the test fails), or for ms. */
void stage_until(const unsigned *n, unsigned want);
void stage_run(unsigned ms);

/* Clocks go on by that; timers do not notice. */
void stage_skip(unsigned seconds);

/* ---- queued ---- */

struct stage_job {
	const char *route, *domain, *sender, *qid;
	const char *rcpts[20]; /* NULL at the end */
	const char *message; /* NULL: a small one */
	size_t
	    size; /* of a message of nothing but lines, where message is NULL; 0: the small one */
	bool requiretls;
	unsigned more; /* recipients besides: r0@example.org, ... */
};
/* Its number; answers come in stage_answers. */
unsigned stage_job(const struct stage_job *j);

struct stage_answer {
	bool there, site;
	size_t n;
	struct {
		enum job_status status;
		char dsn[16], mta[256], text[1001];
	} rcpts[20];
};
extern unsigned stage_answers;
const struct stage_answer *stage_answer(unsigned job);

/* "sent 2.0.0, delayed 4.4.1": of all recipients; then ", site". Valid until the next call. */
const char *stage_outcome(unsigned job);

void stage_queued_dies(void);

/* A question of gwctl; then all lines of the answer, each with \n. */
const char *stage_route_test(const char *domain, bool *ok);

/* ---- the log, anvild ---- */

struct stage_event {
	char qid[32], rcpt[128], relay[128], dsn[16], text[1001];
	unsigned status;
	uint32_t a, b, c, d;
};
extern struct stage_event stage_events[64];
extern unsigned stage_nevents;
/* All log lines so far, each with \n. */
extern char stage_log[16384];

struct stage_session {
	unsigned policy;
	char domain[128], mx[128], ip[64], result[64], reason[256], text[2001];
};
extern struct stage_session stage_sessions[32];
extern unsigned stage_nsessions;

#endif
