#ifndef KEYCTL_IMPORT_H
#define KEYCTL_IMPORT_H

#include "keyctl/imported.h"
#include "keyctl/keyctl.h"

/* Inside the verb import: from a file's or a GnuPG home's octets into the key store. */

/* What the verb was told. */
struct import_options {
	const char *consumer, *passphrase_file;
	const char *home; /* a GnuPG home, or NULL */
	const char *certificate; /* with tls, or NULL */
	int tls;
};

/* One key as the jail read it: rec points into mem. */
struct import_answer {
	struct imported *rec;
	struct buf mem;
};
void import_answer_free(struct import_answer *a);

/* 0, or the exit code, said. */
int import_read_jailed(const char *name, const struct import_ask *ask, struct import_answer *a);

/* Certificates with their keys, for the last line of many. */
struct import_count {
	int quiet; /* only what is wrong is said of each */
	unsigned fresh, there, failed;
};

/*
 * Give cryptod and policyd what was read, and count it as fresh or there.
 *
 * name		for messages
 *
 * Returns 0, or the exit code, said.
 */
int import_one(struct keyctl *t, const struct import_options *o, const char *name,
    const struct imported *im, struct import_count *count);

/* All secret keys of o->home; and the key of TLS in a PEM file. 0 or the exit code, said. */
int import_home(struct keyctl *t, const struct import_options *o);
int import_tls(struct keyctl *t, const struct import_options *o, const char *name);

/*
 * Call fn with the key of a backup that has its certificate in the same file; its passphrase is
 * asked for.  0, fn's exit code, or one that was said.
 */
struct tls_key;
int read_tls_backup(const char *name, const char *passphrase_file,
    int (*fn)(void *arg, const struct tls_key *k), void *arg);

#endif
