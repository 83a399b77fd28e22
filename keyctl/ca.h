#ifndef KEYCTL_CA_H
#define KEYCTL_CA_H

#include "keyctl/cacert.h"
#include "keyctl/keyctl.h"

/* Inside the verbs ca: one of the two authorities. */
struct ca {
	uint8_t fpr[KEY_FPR]; /* of its key */
	struct cacert view;
	struct buf der; /* buf_free it */
};

/* Ask cryptod for it. 0, EX_NOINPUT when there is none (not said), or another exit code, said. */
int ca_get(struct keyctl *t, unsigned authority, struct ca *out);

/*
 * What to do with the certificate on clients' machines, to standard output.
 *
 * file		its name, or NULL: not written yet
 */
void ca_hints(const struct cacert *view, const char *file);

#endif
