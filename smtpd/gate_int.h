#ifndef SMTPD_GATE_INT_H
#define SMTPD_GATE_INT_H

#include "base/netaddr.h"
#include "smtpd/dnsbl.h"
#include "smtpd/gate.h"

/*
 * What a gate has of the configuration: copied once for all of its clients, so that a reload may
 * take the configuration away.
 */
struct gate_rules {
	struct gate_rules *next; /* of those that are current */
	unsigned refs;
	char name[65];
	char hostname[HOST_MAX]; /* ours */
	uint64_t greet_wait; /* seconds */
	uint64_t tarpit; /* the same */
	int counted; /* anvild is to be asked when a client comes */
	int messages, recipients; /* their rates are limited */
	int helo_required, helo_check, greylist;
	struct dnsbl dnsbl;
};

/* Each get wants its drop; NULL: no memory. */
struct gate_rules *gate_rules_get(const struct conf_gate *g);
void gate_rules_drop(struct gate_rules *r);
void gate_rules_renew(void);

/* What is wrong with a name in HELO. */
enum helo_fault { HELO_GOOD, HELO_SYNTAX, HELO_OURS, HELO_LITERAL };

/*
 * helo		what it calls itself		hostname	ours
 * from		where it comes from
 */
enum helo_fault gate_helo_judge(const char *helo, const char *hostname, const struct netaddr *from);

#endif
