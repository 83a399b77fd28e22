#ifndef CRYPTOD_VAULT_H
#define CRYPTOD_VAULT_H

#include <stdint.h>

#include "base/err.h"
#include "ipc/msg_keys.h"

/*
 * Where the sealing key lies while the key store is unlocked: a page of its own that is locked,
 * left out of core dumps and wiped in children; and its way to master and back, a sealed memfd.
 */

/*
 * As root, before the sandbox: make the page, and keep the whole process out of swap when the
 * limits permit.  0, or -1 with e.
 */
int vault_open(struct err *e);

void vault_put(const uint8_t seal[SEAL_KEY_LEN]);
const uint8_t *vault_get(void); /* NULL when there is none */
void vault_wipe(void);

/* The key in a memfd sealed against every change; -1 with errno. */
int vault_export(void);

/* Read such a memfd; fd stays the caller's. 0, or -1 with errno EBADMSG (not one). */
int vault_import(int fd, uint8_t seal[SEAL_KEY_LEN]);

#endif
