#ifndef KEYD_STS_H
#define KEYD_STS_H

#include <stdint.h>
#include <sys/queue.h>
#include <sys/tree.h>

#include "base/rec.h"
#include "ipc/messages.h"
#include "keyd/keyd.h"

/* MTA-STS (RFC 8461): what a domain says of TLS to its MX. */

/* sts_policy.c */

#define STS_ID_MAX 32 /* octets; RFC 8461, 3.1 */
#define STS_POLICY_OCTETS (64 * 1024) /* of a policy as it is fetched; 3.3 suggests it */
#define STS_TEXT_MAX 2000 /* octets of what is known in it */
#define STS_AGE_MAX 31557600 /* seconds; 3.2 */

/*
 * The record of "_mta-sts.DOMAIN" (3.1): of the TXT records exactly one begins with "v=STSv1;", and
 * it has an id.
 *
 * id	STS_ID_MAX + 1 octets
 *
 * Returns 0, or -1 with e: as if there was none.
 */
int sts_record(const struct dns_txt *v, size_t n, char *id, struct err *e);

struct sts_policy {
	enum sts_mode mode; /* none, testing, enforce */
	uint64_t max_age; /* seconds, STS_AGE_MAX at most */
	size_t nmx;
	char mx[STS_MXS_MAX][HOST_MAX + 2]; /* "mail.example.org", "*.example.org", in lower case */
	char text[STS_TEXT_MAX + 1]; /* the fields that are known, "name: value", with \n
				      * between them */
};

/* A policy (3.2). 0, or -1 with e: it is not well-formed, and counts as none. */
int sts_parse(const uint8_t *p, size_t n, struct sts_policy *out, struct err *e);

/* sts_kept.c: domains of late, with their policies; these are kept over restarts */

#define KEPT_MAX 10000 /* domains with a policy, and as many without */
#define KEPT_OCTETS (16 * 1024 * 1024) /* of policies */

#define REC_STS_KEPT(F, L)                                                                         \
	F(U64, fetched, 0, UINT64_MAX) /* seconds since the epoch */                               \
	F(U64, expires, 0, UINT64_MAX)                                                             \
	F(U64, used, 0, UINT64_MAX)                                                                \
	F(STR, id, 0, STS_ID_MAX)                                                                  \
	F(U8, mode, 0, 2)                                                                          \
	F(STR, text, 0, STS_TEXT_MAX)                                                              \
	L(sts_mx, mxs, 0, STS_MXS_MAX)
REC_DECLARE(sts_kept, REC_STS_KEPT)

struct lookup;

struct kept {
	RB_ENTRY(kept) by_name;
	TAILQ_ENTRY(kept) by_use;
	char domain[HOST_MAX];
	struct buf octets; /* what policy was decoded from */
	struct sts_kept *policy; /* NULL: none is known, or none that counts still */
	uint64_t used; /* seconds since the epoch */
	int dirty; /* policy is not in the store as it is */

	/* Of sts.c: what is known of the moment; times by clock_ms. */
	struct lookup *lookup; /* under way: the entry stays as long; or NULL */
	uint64_t checked; /* when the record was looked for; 0: never */
	int no_record; /* and there was none */
	char failed_id[STS_ID_MAX + 1]; /* whose policy could not be had */
	uint64_t failed; /* when; 0: never */
	char why[256];
	const char *failure; /* RFC 8460, 4.3.2; "" */
};

/* By name (lower case); NULL: not known, or, with make, no memory. */
struct kept *kept_find(const char *domain, int make);

/* It was asked for: the least recently used goes first. */
void kept_use(struct kept *k, uint64_t now);

/*
 * Keep a policy in the place of the one before: fetched now (seconds since the epoch), with the id
 * of the record.  0, or -1 with errno ENOMEM: the one before stays.
 */
int kept_put(struct kept *k, const struct sts_policy *p, const char *id, uint64_t now);

/* Its policy; one that has run out is dropped, and then it is NULL. */
const struct sts_kept *kept_policy(struct kept *k, uint64_t now);

/* Each that has a policy; NULL: no more.  k may be dropped once the next one is known. */
struct kept *kept_first(void);
struct kept *kept_next(struct kept *k);

/* What is known of the moment is void. */
void kept_forget_failures(void);

unsigned kept_policies(void);
void kept_clear(void);

/*
 * The store, in the folder dir: what is in there and counts is known from now on.  Without one all
 * goes on, but nothing is kept over restarts; that is logged.  name: of the folder, in messages.
 */
void kept_open(const char *dir, const char *name, uint64_t now);
void kept_save(void); /* what is dirty */
void kept_close(void);

/* sts.c: questions of deliverd */

#define STS_MS 60000 /* for a policy (3.3) */
#define STS_CHECK_MS 60000 /* a record is not looked for twice within that time */
#define STS_FAILED_MS (5 * 60 * 1000) /* nor a policy that could not be had (3.3) */
#define STS_REFRESH_S 86400 /* a policy is fetched anew when it is older (5.1 suggests it), ... */
#define STS_USED_S (30 * 86400) /* ... unless nobody has asked for it within that time */
#define STS_LOOKUPS_MAX 256 /* under way at once */
#define STS_WAITERS_MAX 4096 /* who wait for them */

int sts_start(const struct proc_env *env, struct err *e);
int sts_reload(const struct proc_env *env, struct err *e);
void sts_stop(void);

void sts_new(struct chan *c, uint64_t id, const struct sts_req *q);
void sts_forget(const struct chan *c); /* the asker is gone */

struct sts_counts {
	uint64_t asked, fetched, failed;
	unsigned open;
};
const struct sts_counts *sts_count(void);

#endif
