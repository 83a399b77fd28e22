#ifndef CRYPTOD_MAKEKEY_H
#define CRYPTOD_MAKEKEY_H

#include <event2/event.h>

#include "base/err.h"
#include "openpgp/skey.h"

/*
 * Making an RSA key takes up to seconds: a forked child does it, so that mail goes on meanwhile.
 */
#define MAKEKEY_MAX 4 /* children at a time; more: EBUSY */
#define MAKEKEY_SECONDS 60 /* then the child is ended */

struct makekey;

/* k is the callee's; NULL: e says why. */
typedef void (*makekey_fn)(void *arg, struct pgp_skey *k, struct err *e);

/* Begin; done is called from the loop. NULL with e: EBUSY, or that of fork. */
struct makekey *makekey_begin(struct event_base *base, enum pgp_keytype type, uint64_t created,
    makekey_fn done, void *arg, struct err *e);

/* End all of them; each done is called with ECANCELED. */
void makekey_stop(void);

#endif
