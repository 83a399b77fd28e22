#ifndef UNIT_KEYPROV_HOLDER_H
#define UNIT_KEYPROV_HOLDER_H

#include <event2/event.h>
#include <stdbool.h>
#include <sys/queue.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "keyprov/keyprov.h"

/* Certificates, and who holds their private keys: what cryptod is to a proxy. */

enum kind { RSA_2048, RSA_3072, EC_P256, EC_P384, EC_P521, ED_25519, KINDS };

struct cert {
	X509 *x;
	EVP_PKEY *key; /* the real one; the holder finds it by its handle */
	EVP_PKEY *remote; /* of the provider; NULL for a certificate that needs none */
	struct cert *next;
	uint8_t handle[KEYPROV_HANDLE];
};

/* A self-signed certificate for "mail.example.org" whose key the holder has. */
struct cert *cert_make(enum kind kind);
void cert_free(struct cert *c);

enum answer {
	ANSWER_NOW, /* from within sign */
	ANSWER_AFTER, /* delay_ms later */
	ANSWER_HOLD, /* when the test says so */
	ANSWER_REFUSE, /* sign itself fails */
	ANSWER_FAILURE,
	ANSWER_GARBAGE /* garbage octets that are no signature */
};

struct held {
	TAILQ_ENTRY(held) next;
	struct keyprov_job *job;
	const struct cert *cert;
	struct event *timer;
	uint16_t scheme;
	size_t n;
	uint8_t data[KEYPROV_DATA_MAX];
};

extern struct holder {
	struct event_base *base;
	enum answer answer;
	unsigned delay_ms;
	size_t garbage;
	TAILQ_HEAD(, held) held;
	unsigned asked, pending, cancelled;
	uint16_t scheme; /* of the last */
	int may_wait;
} holder;

/* RSA keys take long to make: once, before all tests, which share them. */
void holder_prepare(void);

/* Before and after a test. */
void holder_start(void);
void holder_stop(void);

/* Answer what is held; ok false: with a failure.  Its connection is continued. */
void holder_release(struct held *h, bool ok);

#endif
