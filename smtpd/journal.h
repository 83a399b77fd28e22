#ifndef SMTPD_JOURNAL_H
#define SMTPD_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rec.h"

/*
 * Notices that are owed: one file each in the daemon's folder, so that they survive it.  A file
 * has its final name only once all of it is on the disk: written under another name, fdatasync,
 * renamed, and the folder synced.
 *
 *	INSTANCE.SECONDS.RANDOM.notice	whole; INSTANCE is the smtpd process that owes it
 *	INSTANCE.SECONDS.RANDOM.tmp	not whole: left by a crash, removed at start
 *
 * The contents: "PSTN" and the format's number, the record, SHA-256 of all before it.
 */
#define NOTICE_MAX (256 * 1024) /* octets of a notice's message */

#define REC_NOTICE(F, L)                                                                           \
	F(U64, created, 0, UINT64_MAX) /* seconds since the epoch */                               \
	F(STR, peer, 1, 64) /* through whose notify it goes */                                     \
	F(STR, qid, 1, 32) /* of the message it is about */                                        \
	F(STR, to, 1, 1024)                                                                        \
	F(U8, utf8, 0, 1) /* to needs SMTPUTF8 */                                                  \
	F(BYTES, message, 1, NOTICE_MAX)
REC_DECLARE(notice, REC_NOTICE)

#define JOURNAL_NAME_MAX 80 /* octets of a file's name with its NUL */

/*
 * Read a record of a file's whole contents.
 *
 * Returns a struct for free() whose strings point into p, or NULL with errno EBADMSG or ENOMEM.
 */
struct notice *journal_parse(const void *p, size_t n);

/*
 * Write a notice; when it returns, it is on the disk.
 *
 * dir	descriptor of the folder
 * name	receives the file's name
 *
 * Returns 0, or -1 with e; then nothing of it is left that would ever be sent.
 */
int journal_add(
    int dir, unsigned instance, const struct notice *n, char name[JOURNAL_NAME_MAX], struct err *e);

/*
 * Read one.  *own receives the octets that the result points into, both for free().
 *
 * Returns NULL with errno: ENOENT (somebody else has taken it), EBADMSG (damaged), others.
 */
struct notice *journal_read(int dir, const char *name, void **own);

/* It was sent or given up. */
void journal_remove(int dir, const char *name);

/*
 * Damaged: kept under another name, for an administrator to look at.
 */
void journal_set_aside(int dir, const char *name);

/*
 * Find the notices of an instance; what others have left, whose number is processes or above, is
 * taken over by instance 0.  With clean, unfinished files of this instance are removed.
 *
 * found	called with each name
 *
 * Returns how many, or -1 with e.
 */
int journal_scan(int dir, unsigned instance, unsigned processes, int clean,
    void (*found)(const char *name, void *arg), void *arg, struct err *e);

#endif
