#ifndef MODEL_CONSUMER_H
#define MODEL_CONSUMER_H

#include "base/rec.h"

/*
 * The organisation's records: managed domains, consumers, their certificates.  The same tables
 * give storage, messages, JSON and validation.
 */
#define CONSUMER_ADDRS_MAX 64
#define CONSUMER_LOGINS_MAX 32
#define CERT_RAW_MAX                                                                               \
	(96 * 1024) /* octets of a stored certificate; fits a frame with its record                \
		     */

#define FACTOR_HASH_LEN 48 /* 16 octets of salt, SHA-256 of salt and gateway password */

#define PHRASE_LEN 16 /* letters of a consumer's phrase: 48 bits */

/* Consumers' addresses take mail always.  Others: the server behind us is asked; those listed; all.
 */
enum domain_recipients { DOMAIN_ASK, DOMAIN_LIST, DOMAIN_ANY };

enum consumer_kind { CONSUMER_INTERNAL, CONSUMER_EXTERNAL };

/* A domain that this organisation's mail is written in. */
#define REC_DOMAIN(F, L)                                                                           \
	F(STR, name, 1, 255) /* ASCII lower case, A-labels */                                      \
	F(STR, tenant, 1, 64)                                                                      \
	F(U8, recipients, 0, 2) /* enum domain_recipients: who takes mail at it, for mx */

/* A recipient that is no consumer: its domain's list has it too. "@domain": all of it. */
#define REC_RECIPIENT(F, L)                                                                        \
	F(STR, addr, 2, 320)                                                                       \
	F(STR, tenant, 1, 64)

#define REC_ADDRESS(F, L) F(STR, addr, 3, 320) /* as address_normalise gives it */

/* A name with which the consumer logs in at a peer; "*" stands for every peer of the tenant. */
#define REC_LOGIN(F, L)                                                                            \
	F(STR, peer, 1, 64)                                                                        \
	F(STR, name, 1, 320)

/* A person or a device: internal ones have private keys here, external ones only certificates. */
#define REC_CONSUMER(F, L)                                                                         \
	F(STR, id, 1, 64) /* letters, digits, "._@+-" */                                           \
	F(STR, tenant, 1, 64)                                                                      \
	F(U8, kind, 0, 1) /* enum consumer_kind */                                                 \
	F(STR, name, 0, 255)                                                                       \
	F(BYTES, factor, 0, FACTOR_HASH_LEN) /* of the gateway password; empty: there is none */   \
	F(STR, phrase, 0, PHRASE_LEN) /* in banners, known to nobody else; lower-case letters */   \
	L(address, addresses, 0, CONSUMER_ADDRS_MAX)                                               \
	L(login, logins, 0, CONSUMER_LOGINS_MAX)

REC_DECLARE(domain, REC_DOMAIN)
REC_DECLARE(recipient, REC_RECIPIENT)
REC_DECLARE(address, REC_ADDRESS)
REC_DECLARE(login, REC_LOGIN)
REC_DECLARE(consumer, REC_CONSUMER)

#endif
