#ifndef PROXY_CERTS_H
#define PROXY_CERTS_H

#include "conf/conf.h"
#include "keyprov/keyprov.h"
#include "net/tls.h"

/*
 * The certificates of connectors, each file once.  A set belongs to a configuration; what a new
 * set has in common with the old one (the same file with the same octets) is not made anew, so
 * that its staple stays.
 */
struct tls_file {
	struct tls_file *next;
	struct tls_cert *cert;
	uint8_t handle[KEYPROV_HANDLE];
	uint8_t digest[32]; /* of the file's octets */
	bool stapled; /* some profile wants it */
	struct staple *staple; /* the asking for it, or NULL */
	char path[];
};

/*
 * The set for the connectors of this service, in to.
 *
 * old	the set before
 *
 * 0, or -1 with e, which names connector and file.
 */
int certs_make(struct tls_file **to, const struct tls_file *old, const struct conf *conf,
    enum conf_service service, struct err *e);
void certs_free(struct tls_file **set);

struct tls_file *certs_find(struct tls_file *set, const char *path);
const struct tls_file *certs_of_handle(
    const struct tls_file *set, const uint8_t handle[KEYPROV_HANDLE]);

/* Warn of those that end soon, to be called once a day; tell the end of each in the status. */
void certs_warn(const struct tls_file *set);
void certs_status(const struct tls_file *set);

/* staple.c: have keyd asked for what is stapled, now and whenever it gets old. */
void staple_begin(struct tls_file *c);
void staple_end(struct tls_file *c);

/* to has the same certificate, and none asks for it: from's asking goes on as its. */
void staple_hand_on(struct tls_file *from, struct tls_file *to);

#endif
