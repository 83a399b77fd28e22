#ifndef KEYCTL_KEYCTL_H
#define KEYCTL_KEYCTL_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "conf/conf.h"
#include "ipc/control.h"
#include "ipc/messages.h"
#include "ipc/seal.h"
#include "openpgp/cert.h"
#include "openpgp/secret.h"
#include "proc/jail.h"

/*
 * The administrator's hand on the key store.  Every verb is a function that gets its own words
 * (argv[0] is the verb) and returns an exit code of sysexits.h, having said on stderr what went
 * wrong and what to do.
 */
struct keyctl {
	const char *config;
	struct conf *conf;
	struct ipc master, keys, policy; /* fd -1: not connected */
};

#define SLOW_CALL 120000 /* milliseconds: three RSA keys on a busy machine */

int keyctl_main(int argc, char *argv[]);

int verb_init(struct keyctl *t, int argc, char *argv[]);
int verb_unlock(struct keyctl *t, int argc, char *argv[]);
int verb_lock(struct keyctl *t, int argc, char *argv[]);
int verb_status(struct keyctl *t, int argc, char *argv[]);
int verb_generate(struct keyctl *t, int argc, char *argv[]);
int verb_import(struct keyctl *t, int argc, char *argv[]);
int verb_export(struct keyctl *t, int argc, char *argv[]);
int verb_list(struct keyctl *t, int argc, char *argv[]);
int verb_revoke(struct keyctl *t, int argc, char *argv[]);
int verb_ca_init(struct keyctl *t, int argc, char *argv[]);
int verb_ca_list(struct keyctl *t, int argc, char *argv[]);
int verb_ca_export(struct keyctl *t, int argc, char *argv[]);
int verb_ca_import(struct keyctl *t, int argc, char *argv[]);

/* keyctl.c: connections. 0, or the exit code, having said why. */
int connect_keys(struct keyctl *t);
int connect_policy(struct keyctl *t);

/* Say what is wrong and return code; or the code that e's errno stands for. */
int complain(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int complain_err(const struct err *e);
int complain_usage(const char *verb); /* EX_USAGE */

/* The exit code for an answer of cryptod's that is not CRYPTO_OK, its text said. */
int complain_status(unsigned status, const char *text);

/* prompt.c */
#define PASS_MAX 1024 /* octets with the final NUL */
int on_terminal(void); /* may questions be asked? */
/*
 * A passphrase from a private file, or from the terminal (twice when fresh).
 * Returns 0, or -1 with e. out holds PASS_MAX octets; wipe it.
 */
int ask_passphrase(const char *file, const char *what, int fresh, char *out, struct err *e);
/*
 * "import: 120/1000 keys" on one line of stderr, if that is a terminal; progress_clear takes it
 * away, complain and questions do so themselves.
 */
void progress(const char *verb, const char *what, size_t done, size_t all);
void progress_clear(void);
/* "Type yes": 1, 0; -1 without a terminal. */
int ask_yes(const char *question);

/* Write b to a new file, or (NULL) to standard output; mode as of open(2). 0 or the exit code. */
int write_file(const char *name, unsigned mode, struct buf *b);

/* The octets of a file, at most out's maximum. 0 or the exit code. */
int read_file(const char *name, struct buf *out);

/* remote.c: asking cryptod and policyd. */

/* Give cryptod a key. 0 and out: what it has now; or the exit code. */
struct put_result {
	int fresh; /* 0: it was there */
	unsigned use;
	uint8_t fpr[KEY_FPR];
};
int put_key(struct keyctl *t, const struct key_import_req *req, struct put_result *out);

struct pgp_secret remote_secret(struct keyctl *t); /* signs by key_certify_req */

/* The consumer with this id, or (id NULL) this address; its id in out. 0 or the exit code. */
#define CONSUMER_ID 65
int find_consumer(
    struct keyctl *t, const char *id, const char *addr, int quiet, char out[CONSUMER_ID]);

/* A stored certificate of one's own; rec points into mem. */
struct held_cert {
	struct stored_cert *rec; /* NULL: none */
	struct buf mem;
};
void held_free(struct held_cert *h);

/*
 * The stored certificate that has this key; consumer: of this one only, or NULL.
 * Returns 0 (h->rec NULL when there is none; for held_free), or the exit code.
 */
int find_cert(struct keyctl *t, struct bytes fpr, const char *consumer, struct held_cert *h);

/* Merge with what policyd has, evaluate (jailed), store as a certificate whose keys are here. */
int store_cert(struct keyctl *t, const char *consumer, const void *raw, size_t n);

/* One key of cryptod with its private half: a loaded key, or NULL with *code. */
struct pgp_skey *fetch_key(struct keyctl *t, struct bytes fpr, enum key_use *use, int *code);

/* Call each for every key; stops at the first exit code that is not 0. */
int each_key(struct keyctl *t, int (*each)(void *arg, const struct key_info *k), void *arg);

/* text.c */
int parse_fpr(const char *s, uint8_t fpr[KEY_FPR]); /* 40 digits, blanks and 0x; 0 or -1 */
int parse_span(const char *s, uint64_t *seconds); /* "2y", "18m", "4w", "90d", "never" (0) */
/*
 * Text from a key or database as it may stand on a terminal: controls, line separators and
 * malformed UTF-8 become \xHH; cut when long.  Returns out.
 */
#define SHOWN_MAX 256
const char *shown(const char *s, char out[SHOWN_MAX]);
const char *date_text(uint64_t t, char out[16]); /* "2026-01-31"; "-" for 0 */

#endif
