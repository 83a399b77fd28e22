#ifndef KEYCTL_EXPORT_H
#define KEYCTL_EXPORT_H

#include "keyctl/keyctl.h"

/* Inside the verb export. */

/* What the verb was told. */
struct export_options {
	int secret, yes, tls, all;
	const char *passphrase_file, *output;
	const char *home; /* a GnuPG home to write to, or NULL */
	const char *what; /* fingerprint, address or handle; NULL with all */
};

/*
 * Call each for the certificates meant by all or what, with secret only for those whose private
 * keys are here; stops at the first exit code that is not 0.
 *
 * Returns that, or 0, or the exit code when there is none, said.
 */
int export_each(struct keyctl *t, const struct export_options *o,
    int (*each)(void *arg, const struct stored_cert *sc), void *arg);

/* Append a certificate with its private keys, protected by the passphrase. 0 or the exit code. */
int export_secret(
    struct keyctl *t, const struct stored_cert *sc, const char *pass, struct buf *out);

/* All that is meant, to o->home.  0 or the exit code, said. */
int export_home(struct keyctl *t, const struct export_options *o, const char *pass);

/* Append a key of TLS, PEM under the passphrase. 0 or the exit code, said. */
int export_tls(struct keyctl *t, const char *handle, const char *pass, struct buf *out);

#endif
