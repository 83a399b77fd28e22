#ifndef POLICYD_DB_H
#define POLICYD_DB_H

#include "base/err.h"
#include "model/stored_cert.h"

/*
 * The organisation's database: domains, consumers, certificates, and the indexes that lead to
 * them by address, by login and by key id.  Records of one tenant are never found for another.
 *
 * Addresses are looked up in lower case, the local part too: no mail system in use tells two
 * people apart by case, and a certificate must not be missed because somebody typed "Bob@".
 */

/* A record read from the database, with the octets that it points into. */
struct held {
	void *rec;
	struct buf octets;
};
void held_free(struct held *h);

/* Open the store in this folder; damage is an error that names the file. */
int db_open(const char *dir, const char *name, struct err *e);
void db_close(void);

/*
 * Look-ups.  1 found (h is filled, give it to held_free), 0 not, -1 with e.
 *
 * db_consumer		by id
 * db_consumer_addr	by tenant and address
 * db_consumer_login	by tenant, peer ("*" is tried after it) and normalised login
 */
int db_consumer(const char *id, struct held *h, struct err *e);
int db_consumer_addr(const char *tenant, const char *addr, struct held *h, struct err *e);
int db_consumer_login(
    const char *tenant, const char *peer, const char *login, struct held *h, struct err *e);

/* A domain of ours by its name, whose ever it is: 1 and h (a struct domain), 0, -1 with e. */
int db_domain(const char *name, struct held *h, struct err *e);

/* Is this address, or "@domain", in the list of recipients?  1, 0, -1 with e. */
int db_recipient(const char *addr, struct err *e);

/* Is it one of our own domains (of this tenant)? */
int db_domain_managed(const char *tenant, const char *domain, struct err *e);

/*
 * Certificates, at most max: of a consumer; or by key id (8 octets) or fingerprint of any of
 * their keys.  Each h[i].rec is a struct stored_cert.  Returns how many, or -1 with e.
 */
int db_certs_of(const char *consumer, struct held *h, size_t max, struct err *e);
int db_certs_by_id(const uint8_t *id, size_t n, struct held *h, size_t max, struct err *e);

/*
 * Changes, each one transaction.  0, or -1 with e; errno ENOENT (no such record), EEXIST (text
 * says whose), EINVAL (text says which field), ENOSPC, else EIO.
 *
 * db_consumer_put	everything but factor and phrase; who has no phrase yet gets one
 * db_consumer_factor	the stored form of a gateway password (model/factor.h), or empty
 * db_consumer_phrase	PHRASE_LEN lower-case letters
 */
int db_domain_put(const struct domain *d, struct err *e);
int db_domain_del(const char *name, struct err *e);
int db_recipients_put(
    const struct recipient *r, size_t n, struct err *e); /* tenant: the domain's */
int db_recipient_del(const char *addr, struct err *e);
int db_consumer_put(const struct consumer *c, int create, struct err *e);
int db_consumer_factor(const char *id, struct bytes factor, struct err *e);
int db_consumer_phrase(const char *id, const char *phrase, struct err *e);
int db_consumer_del(const char *id, struct err *e);
int db_cert_put(const struct stored_cert *c, struct err *e);
int db_cert_del(const uint8_t *fpr, size_t n, struct err *e);

/*
 * Pages of listings: up to max records behind after ("" or n 0: from the start).  Returns how
 * many, or -1 with e.
 */
int db_domains(const char *after, struct held *h, size_t max, struct err *e);
int db_recipients(const char *after, struct held *h, size_t max, struct err *e);
int db_consumers(const char *after, struct held *h, size_t max, struct err *e);
int db_certs(const uint8_t *after, size_t n, const char *consumer, struct held *h, size_t max,
    struct err *e);

/* Numbers for gwctl status; -1 when they cannot be read. */
int64_t db_count_domains(void);
int64_t db_count_consumers(void);
int64_t db_count_certs(void);

#endif
