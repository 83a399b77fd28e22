#ifndef SMTPD_DNSBL_H
#define SMTPD_DNSBL_H

#include "conf/conf.h"
#include "ipc/msg_dns.h"

/*
 * Lists of addresses in DNS (RFC 5782): what their answers weigh.  Each zone is asked once, also
 * when it stands several times in gate.dnsbl, for other answers.
 */
#define DNSBL_ZONES_MAX 64 /* of a gate; further ones are not asked */

struct dnsbl {
	struct conf_dnsbl *rules;
	size_t n;
	const char *zones[DNSBL_ZONES_MAX]; /* point into rules */
	size_t nzones;
	int threshold;
};

/* 0, or -1 with ENOMEM.  What is no rule (conf_check refuses it) is left out. */
int dnsbl_init(struct dnsbl *d, const struct conf_gate *g);
void dnsbl_free(struct dnsbl *d);

/* What is known of one client, zeroed at first. */
#define DNSBL_TEXT_MAX 256
struct dnsbl_score {
	int sum;
	int most; /* the weight of the zone that is named */
	const char *zone; /* NULL: none has listed it; points into struct dnsbl */
	char text[DNSBL_TEXT_MAX]; /* of that zone */
};

/*
 * Add what zone number i has answered.
 *
 * Returns 1 when it says of itself that it may not be asked from here (127.255.255.0/24, as some
 * do), which counts for nothing; else 0.
 */
int dnsbl_add(
    const struct dnsbl *d, size_t i, const struct dns_list_rep *rep, struct dnsbl_score *s);

/* Is the client to be refused? */
int dnsbl_refuses(const struct dnsbl *d, const struct dnsbl_score *s);

#endif
