#ifndef FOLDER_H
#define FOLDER_H

#include <stdint.h>

#include "store/store.h"

/* A store in a folder of its own below TMPDIR, for tests. */
struct folder {
	char dir[64];
	struct store_options o;
};

#define FIRST 0
#define SECOND 1

extern const uint8_t folder_secret[STORE_SECRET_LEN];

void folder_make(struct folder *f, int sealed);
void folder_remove(struct folder *f);
char *folder_file(const struct folder *f, const char *file); /* a static path */

/* Open, or fail the test. */
struct store *folder_open(struct folder *f);

/* The value that test record i of a table has; its length, up to 6000 octets. */
size_t folder_value(unsigned table, unsigned i, uint8_t *out);

/* Fill n records per table in several transactions, replacing and deleting some on the way. */
void folder_fill(struct folder *f, unsigned n);

/* 0 when the store opens and holds exactly what folder_fill made; 1 refused; aborts otherwise. */
int folder_verify(struct folder *f, unsigned n, struct err *e);

#endif
