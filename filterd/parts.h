#ifndef FILTERD_PARTS_H
#define FILTERD_PARTS_H

#include "filterd/reading.h"

/* A message in which single parts are opened. */
#define BLOCKS_MAX 64 /* blocks of one message; each may cost a private-key operation */

struct inlining {
	struct reading *r;
	const struct sink *out;
	unsigned blocks; /* seen so far */
	unsigned opened, failed, foreign;
	unsigned no_integrity; /* of those that failed */
	int outside; /* text of the message that no block covers */
	int as_stored; /* signed text that is shown as it came */
};

/* A replaced part: kept until the header, which has the verdict, can be written. */
struct piece {
	uint32_t part;
	int entity; /* text is header and body; else the decoded text alone */
	struct spool text;
};

/*
 * What stands in a signed or encrypted part, or in a message of its own, is that one's business;
 * and what other readers may not see as a part by itself stays closed.
 */
int parts_may_open(const struct mail_index *ix, uint32_t i);

/* An attached file by its name (.pgp, .gpg, .asc) or type that may be ciphertext. */
int parts_attachment(const struct mail_index *ix, uint32_t i);

/*
 * PGP/MIME inside of another multipart, as mailing lists wrap it.  Only when no other part can
 * show markup, and when it is the only one: neither somebody's HTML around it nor that of another
 * plaintext must carry it away in a mail program that joins what it shows.
 */
int parts_nested(const struct mail_index *ix, uint32_t i);

/*
 * Open such a part.  READ_DONE: piece holds, to be freed; READ_NOT_OURS: it stays as it is;
 * READ_DEFER.
 */
enum read_result open_attachment(struct inlining *x, uint32_t i, struct piece *piece);
enum read_result open_nested(struct inlining *x, uint32_t i, struct piece *piece);

#endif
