#ifndef KEYCTL_GPGKEYS_H
#define KEYCTL_GPGKEYS_H

#include "base/buf.h"
#include "base/rec.h"
#include "openpgp/seckey.h"

/*
 * Secret keys in and out of a GnuPG home, by gpg itself.  These run in a jail that may run gpg and
 * its agent; what they say of keys is outside input.
 */
#define HOME_KEYS_MAX 4096 /* keys of a home */
#define HOME_BATCH 16 /* keys exported or imported at a time */
#define HOME_SECONDS 300 /* for a batch: S2K costs gpg some 100 ms a subkey when idle */
#define HOME_ANSWER_MAX (HOME_BATCH * (PGP_SECKEY_MAX + 4096))

#define REC_HOME_KEY(F, L)                                                                         \
	F(STR, fpr, 0, 64) /* hex */                                                               \
	F(STR, uid, 0, 1024)                                                                       \
	F(U32, code, 0, UINT32_MAX) /* errno, 0: good; EACCES: a passphrase is needed */           \
	F(STR, text, 0, 511) /* when code is not 0 */                                              \
	F(U8, fresh, 0, 1) /* of an import: it was not there */                                    \
	F(BYTES, data, 0, PGP_SECKEY_MAX) /* of an export */
#define REC_HOME_ANSWER(F, L)                                                                      \
	F(U32, code, 0, UINT32_MAX) /* of everything, as above */                                  \
	F(STR, text, 0, 511)                                                                       \
	L(home_key, keys, 0, HOME_KEYS_MAX)

REC_DECLARE(home_key, REC_HOME_KEY)
REC_DECLARE(home_answer, REC_HOME_ANSWER)

enum home_op { HOME_LIST, HOME_EXPORT, HOME_IMPORT };

struct home_ask {
	enum home_op op;
	const char *gpg; /* the program */
	const char *home; /* for --homedir */
	const char *secret_dir; /* HOME_IMPORT: made when it is not there */
	size_t n; /* keys, at most HOME_BATCH */
	const char *fpr[HOME_BATCH]; /* HOME_EXPORT */
	struct bytes key[HOME_BATCH]; /* HOME_IMPORT: transferable secret keys */
	const char *pass; /* or NULL: of the keys that HOME_EXPORT takes out */
};

/*
 * A jail_fn.  arg is a struct home_ask; appends a struct home_answer, encoded: all secret keys, or
 * for EXPORT and IMPORT one item for each that was asked for, in that order.  Returns 0, or -1.
 */
int home_run(const void *arg, struct buf *out);

#endif
