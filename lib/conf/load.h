#ifndef CONF_LOAD_H
#define CONF_LOAD_H

#include "conf/scan.h"

/* One load under way: what was read so far and where it stood. */
struct conf_load {
	struct conf *c;
	struct scan scan;
	struct conf_errors errs, warns;
	const struct scan_section *single[CONF_S_COUNT]; /* NULL: not in the file */
	/* Of the i-th element of a titled section's array; NULL: not in the file. */
	const struct scan_section *titled[CONF_S_COUNT][CONF_SECTIONS_MAX + 1];
};

/* Whether the file sets the key; sec may be NULL. */
int conf_given(const struct scan_section *sec, const char *key);

/* Line of a key of a section that stands in the file; that of the section if it is not set. */
unsigned conf_line(const struct scan_section *sec, const char *key);

/* Line of the i-th value of a key. */
unsigned conf_value_line(
    const struct conf_load *l, const struct scan_section *sec, const char *key, size_t i);

/* How many values of a key stand in the file, wrong ones too; sec may be NULL. */
unsigned conf_count(const struct scan_section *sec, const char *key);

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

/* Append a copy; -1 with ENOMEM.  Free all, so that the list is empty. */
int conf_strings_add(struct conf_strings *l, const char *text);
void conf_strings_free(struct conf_strings *l);

/* Fill in computed values, resolve names, and check what concerns more than one value. */
void conf_complete(struct conf_load *l);

/*
 * Its parts, in this order (check.c).  What a wrong value has left NULL or empty may be met here.
 *
 * conf_check_profiles	tls_profile and action sections
 * conf_complete_peer	TLS towards a peer
 * conf_complete_action	a connector's action and profile
 * conf_complete_ports	what a connector binds, and starttls
 * conf_check_tls	TLS of a connector and certificates
 * conf_check_ports	of all: addresses taken twice, loops
 */
void conf_check_profiles(struct conf_load *l);
void conf_complete_peer(struct conf_load *l, struct conf_peer *p, const struct scan_section *at);
void conf_complete_action(
    struct conf_load *l, struct conf_connector *k, const struct scan_section *at);
void conf_complete_ports(
    struct conf_load *l, struct conf_connector *k, const struct scan_section *at);
void conf_check_tls(struct conf_load *l, struct conf_connector *k, const struct scan_section *at);
void conf_check_ports(struct conf_load *l);

/* Of a connector that puts mail into the queue; and all routes. */
void conf_check_queue(struct conf_load *l, struct conf_connector *k, const struct scan_section *at);
void conf_check_routes(struct conf_load *l);

void conf_no_memory(struct conf_load *l);

#endif
