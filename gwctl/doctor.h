#ifndef GWCTL_DOCTOR_H
#define GWCTL_DOCTOR_H

#include "gwctl/gwctl.h"

/*
 * gwctl doctor: everything that has to be right so that mail flows, looked at one by one.  Each
 * finding says what is wrong and what to do.
 */
enum doctor_level { DOCTOR_GOOD, DOCTOR_NOTE, DOCTOR_WRONG };

#define DOCTOR_FINDINGS_MAX 1000

#define REC_DOCTOR_FINDING(F, L)                                                                   \
	F(STR, level, 1, 8) /* good; note: will be trouble, or may be; wrong */                    \
	F(STR, area, 1, 16) /* config, daemons, clock, spool, ports, tls, dns */                   \
	F(STR, about, 0, 1024)                                                                     \
	F(STR, text, 0, 1023)                                                                      \
	F(STR, remedy, 0, 1023)
REC_DECLARE(doctor_finding, REC_DOCTOR_FINDING)

struct doctor {
	struct gwctl *t;
	const char *area; /* that is looked at */
	struct doctor_finding *v;
	size_t n, size;
	unsigned wrong, notes;
	int failed; /* out of memory */
	int running; /* the gateway is */
	int timeout; /* ms for one question */
};

/* One finding about something ("" for the area as a whole). remedy: "" when it is good. */
void doctor_say(struct doctor *d, enum doctor_level level, const char *about, const char *remedy,
    const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* doctor_local.c: what this machine shows by itself. */
void doctor_config(struct doctor *d);
void doctor_daemons(struct doctor *d);
void doctor_clock(struct doctor *d);
void doctor_spool(struct doctor *d);
void doctor_ports(struct doctor *d);
void doctor_tls(struct doctor *d);

/* doctor_dns.c: what the world sees of us, asked of our own dnsd. */
void doctor_dns(struct doctor *d);

#endif
