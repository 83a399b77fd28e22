#ifndef ANVILD_TLSRPT_DAY_H
#define ANVILD_TLSRPT_DAY_H

#include <sys/tree.h>

#include "base/rec.h"
#include "ipc/messages.h"
#include "store/store.h"

/* What was seen of TLS with a domain within a day: what one report (RFC 8460) is made of. */

#define DAYS_MAX 10000 /* kept at once */
#define DAYS_OCTETS (16 * 1024 * 1024) /* in them */
#define DAY_POLICIES_MAX 8 /* policies of a domain in a day: they may change */
#define DAY_DETAILS_MAX 64 /* different failures in a day; further ones are counted only */

#define REC_TLSRPT_DETAIL(F, L)                                                                    \
	F(STR, result, 1, 64)                                                                      \
	F(STR, mx, 0, 255)                                                                         \
	F(STR, ip, 0, 64)                                                                          \
	F(STR, our_ip, 0, 64)                                                                      \
	F(STR, reason, 0, 255)                                                                     \
	F(U64, count, 1, UINT64_MAX)
#define REC_TLSRPT_POLICY(F, L)                                                                    \
	F(U8, type, 0, 2) /* enum tls_policy */                                                    \
	F(STR, text, 0, 2000)                                                                      \
	F(U64, good, 0, UINT64_MAX) /* sessions */                                                 \
	F(U64, failed, 0, UINT64_MAX)                                                              \
	L(tlsrpt_detail, details, 0, DAY_DETAILS_MAX)
#define REC_TLSRPT_DAY(F, L)                                                                       \
	F(U32, day, 0, UINT32_MAX) /* since the epoch, UTC */                                      \
	F(STR, domain, 1, 255)                                                                     \
	F(U64, id, 0, UINT64_MAX) /* of the report; random */                                      \
	F(U64, due, 0, UINT64_MAX) /* seconds since the epoch */                                   \
	L(tlsrpt_policy, policies, 0, DAY_POLICIES_MAX)
REC_DECLARE(tlsrpt_detail, REC_TLSRPT_DETAIL)
REC_DECLARE(tlsrpt_policy, REC_TLSRPT_POLICY)
REC_DECLARE(tlsrpt_day, REC_TLSRPT_DAY)

struct day {
	RB_ENTRY(day) entry;
	struct tlsrpt_day r; /* its strings and lists are its own */
	size_t octets;
	int dirty; /* not in the store as it is */
	int forced; /* to be sent now */
};

/* In the order of their days, then domains. */
struct days {
	RB_HEAD(day_tree, day) tree;
	unsigned count;
	size_t octets;
	uint64_t left_out; /* sessions for which there was no room */
};

void days_init(struct days *d);
void days_clear(struct days *d);

/* Count a session.  now: seconds since the epoch.  A domain that is no host name is left out. */
void days_add(struct days *d, const struct tls_session *s, uint64_t now);

struct day *days_first(struct days *d);
struct day *days_next(struct day *x);
struct day *days_find(struct days *d, uint32_t day, const char *domain);

/* The first one behind day and domain. */
struct day *days_after(struct days *d, uint32_t day, const char *domain);

/* Take it out: it is the caller's, for day_free or days_return, which adds it to what came since.
 */
void days_take(struct days *d, struct day *x);
void days_return(struct days *d, struct day *x);
void day_free(struct day *x);

/*
 * Write what is dirty; nothing is then.  s may be NULL: all stays as it is.  days_erase: what there
 * is of this day and domain goes.
 *
 * Return 0, or -1 with e.
 */
int days_save(struct days *d, struct store *s, unsigned table, struct err *e);
int days_erase(struct store *s, unsigned table, uint32_t day, const char *domain, struct err *e);

/* All that the store has, beside what is there. 0, or -1 with e. */
int days_load(struct days *d, struct store *s, unsigned table, struct err *e);

/* Sessions of all policies. */
void day_sum(const struct tlsrpt_day *r, uint64_t *good, uint64_t *failed);

#endif
