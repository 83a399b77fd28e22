#ifndef CONF_TABLE_H
#define CONF_TABLE_H

#include "conf/conf.h"

/*
 * The options of postern.conf, each declared once: parsing, bounds, defaults, the dump and the
 * test of the manual page all read this table.
 */
enum conf_type {
	CONF_T_NUM, /* uint64_t, decimal */
	CONF_T_SIZE, /* uint64_t octets, K, M or G may follow */
	CONF_T_BOOL, /* int */
	CONF_T_WORD, /* int, one of words */
	CONF_T_NAME, /* char *, of a section or tenant */
	CONF_T_HOST, /* char *, host name or address */
	CONF_T_DOMAIN, /* char *, host name */
	CONF_T_PATH, /* char *, absolute */
	CONF_T_MARKS, /* char *, punctuation */
	CONF_T_RESOLVERS, /* struct conf_addrs, address@port */
	CONF_T_NETS, /* struct conf_nets */
	CONF_T_PORTS, /* struct conf_addrs, address with or without port */
	CONF_T_TEXT, /* char *, printable ASCII without quotes: OpenSSL's lists */
	CONF_T_CERTS, /* struct conf_strings, name or absolute path */
	CONF_T_WORDS, /* struct conf_strings, printable ASCII without blanks */
	CONF_T_PRINTS, /* struct conf_strings, SHA-256 in hexadecimal, colons allowed */
	CONF_T_PAIRS /* struct conf_strings, NAME=NAME */
};

struct conf_word {
	const char *text; /* NULL at the end */
	int value;
};

struct conf_key {
	const char *name;
	enum conf_type type;
	size_t off; /* in the section's struct */
	uint64_t min, max; /* of numbers and of the count of a list */
	const char *def; /* as it would stand in the file; "" for nothing; NULL: required, or
			  * worked out by conf_complete when computed is set */
	const struct conf_word *words;
	int computed;
};

enum conf_section_id {
	CONF_S_NODE,
	CONF_S_LOG,
	CONF_S_IGNITION,
	CONF_S_PROCESSES,
	CONF_S_WORKERS,
	CONF_S_DNS,
	CONF_S_KEYD,
	CONF_S_LIMITS,
	CONF_S_QUEUE,
	CONF_S_PROFILE,
	CONF_S_ACTION,
	CONF_S_GATE,
	CONF_S_ROUTE,
	CONF_S_PEER,
	CONF_S_CONNECTOR,
	CONF_S_COUNT
};

#define CONF_KEYS_MAX 32 /* keys of one section; checked by conf_sections' test */

struct conf_section {
	const char *name;
	size_t off; /* in struct conf: of the struct, or of the pointer to the array */
	const struct conf_key *keys;
	unsigned nkeys;
	int titled; /* stands any number of times, with a name */
	size_t count_off, size; /* if so: of the array's count in struct conf; of an element */
};

/* What the struct of a titled section begins with. */
struct conf_titled {
	char *name;
	unsigned line;
};

extern const struct conf_section conf_sections[CONF_S_COUNT];

/* The array of a titled section, and how many are in it. */
void *conf_array(const struct conf *c, enum conf_section_id id, size_t *n);

/*
 * The value of a key of type CONF_T_WORD as it stands in a file.
 *
 * section	its struct: of a titled section one element of the array
 *
 * Returns "" if there is no such key, or if its value is none of its words.
 */
const char *conf_word(enum conf_section_id id, const void *section, const char *key);

/* Whether a key takes a list. */
static inline int
conf_is_list(enum conf_type t)
{
	return t == CONF_T_RESOLVERS || t == CONF_T_NETS || t == CONF_T_PORTS ||
	       t == CONF_T_CERTS || t == CONF_T_WORDS || t == CONF_T_PRINTS || t == CONF_T_PAIRS;
}

#endif
