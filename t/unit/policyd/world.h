#ifndef UNIT_POLICYD_WORLD_H
#define UNIT_POLICYD_WORLD_H

#include "ipc/messages.h"
#include "policyd/db.h"
#include "policyd/policyd.h"
#include "t/unit/unit.h"

/*
 * policyd on a database in a folder of its own, and everybody around it played by hand: proxies,
 * filterd with its workers, cryptod, the tools.
 *
 * Domains: acme.test (tenant default), other.test (tenant other).  People: alice and chief of
 * acme.test, mallory of acme.test, eve of other.test, bob@out.test from outside.
 */
extern struct ipc smtpd, pop3d, filterd, cryptod, gwctl, keyctl;
extern char world_dir[64];

void world_begin(void);
void world_end(void); /* also closes what is open */
void world_people(void); /* domains and consumers as above */

/* Have policyd handle what has arrived. */
void world_turn(void);
void world_plumb(struct ipc *c, enum proc_id peer); /* a (new) channel to policyd */

/* Ask and wait for the answer: m for ipc_done. */
void world_ask(struct ipc *c, uint16_t type, const void *body, uint16_t want, struct ipc_msg *m);
/* Send without waiting. Returns the request id. */
uint64_t world_send(struct ipc *c, uint16_t type, const void *body);
/* Has anything come? 1 and m, or 0. */
int world_poll(struct ipc *c, struct ipc_msg *m);
/* A change by gwctl or keyctl: enum admin_status, and what it said. */
unsigned world_change(struct ipc *tool, uint16_t type, const void *body, char text[501]);

/* ---- logins ---- */

struct opened {
	uint8_t id[SESSION_ID];
	char consumer[65];
};
struct opened world_login(const char *peer, const char *authzid, const char *authcid);
struct opened world_login_at(
    const char *tenant, const char *peer, const char *authzid, const char *authcid, int by_address);

/* A worker that serves this session. */
void world_worker(struct ipc *c, const uint8_t session[SESSION_ID]);

/* ---- certificates ---- */

/* How they are made, seconds from now; 0: not. */
struct making {
	const char *uid;
	int64_t made, expires; /* e.g. -1000, -10: expired ten seconds ago */
	int revoked;
	int keys; /* 0: primary, signing and encryption subkey; 1: signs only */
};

struct made {
	struct stored_cert c;
	struct cert *rec;
	struct buf raw;
	uint8_t sign[20], encrypt[20], primary[20];
};
void make_cert(struct made *m, const struct making *how, const char *consumer, int secret);
/* The same certificate with a user id more. */
void made_free(struct made *m);
/* Made and put by keyctl (secret) or gwctl. */
void world_cert(struct made *m, const struct making *how, const char *consumer, int secret);

/* The grant that cryptod was given and that wants no answer, for ipc_done. */
void world_granted(struct ipc_msg *m);

/* cryptod dies. Its successor, by world_plumb, is asked for the grants that could not be given: */
void world_cryptod_dies(void);

/* it answers one; its request, for ipc_done. */
void world_grant(struct ipc_msg *m, enum crypto_status status);

#endif
