#ifndef IPC_BLOB_H
#define IPC_BLOB_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/rec.h"

/*
 * The octets of a message on their way between processes.
 *
 * Up to 128 KiB they travel in the frame; up to 4 MiB in a memfd sealed against every change,
 * which the receiver checks and may map; beyond in an unnamed file, encrypted under a key that
 * travels with the descriptor and only ever read with pread (a mapped file that its sender
 * truncates is a SIGBUS).  Measured: copying through the socket beats a descriptor up to some
 * hundred KiB.
 */
#define BLOB_INLINE_MAX (128 * 1024)
#define BLOB_MEMFD_MAX (4 * 1024 * 1024)
#define BLOB_KEY 32 /* octets: AES-256-CTR */

enum blob_kind { BLOB_INLINE, BLOB_MEMFD, BLOB_FILE };

/* In a message, with the descriptor of the frame when it is not inline. */
#define REC_BLOB(F, L)                                                                             \
	F(U8, kind, 0, 2)                                                                          \
	F(U64, size, 0, INT64_MAX)                                                                 \
	F(BYTES, data, 0, BLOB_INLINE_MAX)                                                         \
	F(BYTES, key, 0, BLOB_KEY)
REC_DECLARE(blob, REC_BLOB)

/* A message being written, or written, or received. */
struct spool {
	enum blob_kind kind;
	uint64_t size; /* octets written so far */
	uint64_t max;
	int dirfd; /* where files go; -1: there is no such place, EFBIG beyond 4 MiB */
	struct buf mem;
	int fd;
	int sealed;
	const uint8_t *map;
	uint8_t key[BLOB_KEY];
	void *cipher; /* EVP_CIPHER_CTX that writes a file */
	void *reader; /* EVP_CIPHER_CTX that reads it */
};

/*
 * Begin an empty one.
 *
 * max		most octets it may hold; a write beyond fails with EFBIG
 * dirfd	directory for the unnamed file of a large message, not taken over; or -1
 */
void spool_init(struct spool *s, uint64_t max, int dirfd);
void spool_free(struct spool *s); /* wipes what was in memory, closes; may be called twice */

/* About n octets will be written: make room for them once, if they stay in memory. */
void spool_expect(struct spool *s, uint64_t n);

/* Append; 0, or -1 with errno (EFBIG, ENOSPC, EIO, ENOMEM); after -1 only spool_free. */
int spool_write(struct spool *s, const void *p, size_t n);
struct sink spool_sink(struct spool *s);

/* No more writes: seal. 0, or -1 with errno. Called by the next two when it was not. */
int spool_finish(struct spool *s);

/* A view for readers; valid while s lives and is not written to. */
int spool_octets(struct spool *s, struct octets *o);

/*
 * Describe s for a message. rec points into s. *fd is -1 or a duplicate that ipc_queue takes.
 *
 * Returns 0, or -1 with errno.
 */
int spool_send(struct spool *s, struct blob *rec, int *fd);

/*
 * Make s of what was received, after checking it: kind and descriptor go together, it is a
 * regular file of exactly the size said, a memfd bears the seals SEAL, SHRINK, GROW, WRITE.
 *
 * fd	of the message; taken over on success only
 * max	most octets accepted
 *
 * Returns 0, or -1 with errno EBADMSG (not what it says), EFBIG, ENOMEM.
 */
int spool_receive(struct spool *s, const struct blob *rec, int fd, uint64_t max);

#endif
