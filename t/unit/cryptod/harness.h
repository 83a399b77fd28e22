#ifndef UNIT_CRYPTOD_HARNESS_H
#define UNIT_CRYPTOD_HARNESS_H

#include "cryptod/cryptod.h"
#include "openpgp/params.h"
#include "t/unit/unit.h"

/* A key store in a folder of its own, the daemon's library on a loop, and peers that ask. */
extern struct event_base *base;
extern char dir[64];
extern const uint8_t seal[SEAL_KEY_LEN];

void harness_begin(void); /* an empty folder */
void harness_end(void);
int harness_load(struct err *e); /* cryptod_load on it */
void harness_init(void); /* load and cryptod_init */

/* The other end of a channel; by worker_bind for a worker. */
void harness_peer(struct ipc *c, enum proc_id who);
void harness_worker(struct ipc *filterd, struct ipc *c, const uint8_t id[WORKER_ID]);

/* policyd's channel as master plumbs it, so that cryptod knows which one it is. */
void harness_policyd(struct ipc *c);

/* Ask and run the loop until the answer is there. 0 and m, or -1: the channel was closed. */
int harness_ask(struct ipc *c, uint16_t type, const void *body, struct ipc_msg *m);

/* The two halves of it, and some turns of the loop in between. */
int harness_send(struct ipc *c, uint16_t type, const void *body);
int harness_answer(struct ipc *c, struct ipc_msg *m);
void harness_turns(unsigned n);

/* The status of an answer, whatever its type; ipc_done. -1: closed. */
int harness_status(struct ipc *c, uint16_t type, const void *body);

/* Make a key; its fingerprint. */
void harness_key(struct ipc *keyctl, enum key_kind kind, enum key_use use, uint8_t fpr[KEY_FPR]);

/* Import an RSA key made here; enum crypto_status, and its fingerprint when it is CRYPTO_OK. */
int harness_rsa(
    struct ipc *keyctl, unsigned bits, enum key_use use, uint64_t created, uint8_t fpr[KEY_FPR]);

/* The public half of a stored key. */
EVP_PKEY *harness_public(struct ipc *keyctl, const uint8_t fpr[KEY_FPR]);

#endif
