#ifndef KEYCTL_IMPORTED_H
#define KEYCTL_IMPORTED_H

#include "base/buf.h"
#include "base/err.h"
#include "base/rec.h"
#include "ipc/msg_keys.h"

/* What the jailed reader of a file of secret keys gives back: bare parameters. */
#define IMPORT_FILE_MAX (16 * 1024 * 1024) /* octets of a file */
#define IMPORT_KEYS_MAX 4096 /* transferable secret keys in one file */
#define IMPORT_CERT_MAX 262144

#define REC_IMPORTED_KEY(F, L)                                                                     \
	F(U8, algo, 1, 255)                                                                        \
	F(U8, flags, 0, 255) /* KEY_*, evaluated */                                                \
	F(U8, primary, 0, 1)                                                                       \
	F(U64, created, 0, UINT32_MAX)                                                             \
	F(BYTES, fpr, KEY_FPR, KEY_FPR)                                                            \
	F(BYTES, params, 1, CERT_PARAMS_MAX)                                                       \
	F(BYTES, secret, 1, KEY_SECRET_MAX)
#define REC_IMPORTED_ADDR(F, L) F(STR, addr, 0, 320)
#define REC_IMPORTED(F, L)                                                                         \
	F(U32, total, 0, IMPORT_KEYS_MAX) /* transferable secret keys in the file */               \
	F(U32, code, 0, UINT32_MAX) /* errno, 0: good; EACCES: a passphrase is needed */           \
	F(STR, text, 0, 511) /* when code is not 0 */                                              \
	F(STR, uid, 0, 1024) /* the primary user id */                                             \
	F(U32, missing, 0, 255) /* keys without private half */                                    \
	F(U32, unsupported, 0, 255)                                                                \
	F(BYTES, raw, 0, IMPORT_CERT_MAX) /* the public certificate */                             \
	L(imported_addr, addrs, 0, CERT_UIDS_MAX)                                                  \
	L(imported_key, keys, 0, CERT_KEYS_MAX)

REC_DECLARE(imported_key, REC_IMPORTED_KEY)
REC_DECLARE(imported_addr, REC_IMPORTED_ADDR)
REC_DECLARE(imported, REC_IMPORTED)

struct import_ask {
	const uint8_t *p; /* the file */
	size_t n;
	unsigned index; /* which of its keys */
	const char *pass; /* or NULL */
	uint64_t now;
};

/*
 * Read one key of the file: a jail_fn (keyctl.h).  arg is a struct import_ask; appends a struct
 * imported, encoded, also when the key cannot be read.  Returns 0, or -1.
 */
int import_read(const void *arg, struct buf *out);

/*
 * The one use that each key gets; 0: none (left out).
 *
 * - A subkey: its own, signing before decryption if it has both.
 * - The primary: certify; but sign, when it may and no subkey of the file does (GnuPG's "SC"
 *   primaries); but decrypt, when it may, another key signs and none decrypts.
 */
void import_uses(const struct imported *im, uint8_t uses[CERT_KEYS_MAX]);

#endif
