#ifndef CONF_LOAD_H
#define CONF_LOAD_H

#include "conf/scan.h"

/* One load under way: what was read so far and where it stood. */
struct conf_load {
	struct conf *c;
	struct scan scan;
	struct conf_errors errs;
	const struct scan_section *single[CONF_S_COUNT]; /* NULL: not in the file */
	const struct scan_section *peer[CONF_SECTIONS_MAX]; /* of c->peers[i] */
	const struct scan_section *connector[CONF_SECTIONS_MAX];
};

/* Whether the file sets the key; sec may be NULL. */
int conf_given(const struct scan_section *sec, const char *key);

/* Line of a key of a section that stands in the file; that of the section if it is not set. */
unsigned conf_line(const struct scan_section *sec, const char *key);

/* Line of the i-th value of a key. */
unsigned conf_value_line(
    const struct conf_load *l, const struct scan_section *sec, const char *key, size_t i);

/*
 * Set the key of a section's struct, or append to its list, from the text of one value.
 *
 * Returns 0, or -1 with errno ENOMEM, or EINVAL and in why what would have been right.
 */
int conf_value_set(
    const struct conf_key *k, void *section, const char *text, char *why, size_t whysz);

/* Free what conf_value_set made for this key. */
void conf_value_free(const struct conf_key *k, void *section);

/* Write a key's value as it stands in a file. Returns 0, or -1 with errno. */
int conf_value_dump(const struct conf_key *k, const void *section, const struct sink *to);

/* Fill in computed values, resolve names, and check what concerns more than one value. */
void conf_complete(struct conf_load *l);

#endif
