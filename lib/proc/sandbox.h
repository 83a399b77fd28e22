#ifndef PROC_SANDBOX_H
#define PROC_SANDBOX_H

#include <stdint.h>

#include "base/err.h"

/*
 * What a process may still do: system calls (seccomp; unknown ones get ENOSYS), files
 * (Landlock), resources.  Declared by each daemon as a table beside its struct proc.
 */
enum sandbox_calls { /* sets of system calls, to be or-ed */
	SB_BASE = 0, /* always: memory, time, read/write, poll/epoll, IPC with descriptors */
	SB_NET = 1 << 0, /* accept, connect, sockets of AF_INET and AF_INET6 */
	SB_FILES = 1 << 1, /* openat below allowed folders, ftruncate, fdatasync, unlink, rename */
	SB_MAPFILE = 1 << 2, /* map files (LMDB) */
	SB_FORK = 1 << 3, /* fork without exec, wait, kill, narrow a child's sandbox */
	SB_THREADS = 1 << 4,
	SB_UNIX = 1 << 5, /* connect to a Unix datagram socket (syslog) */
	SB_MEMFD = 1 << 6, /* memfd_create, seals */
	SB_TMPFILE = 1 << 7, /* openat of O_TMPFILE relative to a directory descriptor */
	SB_EXEC = 1 << 8, /* tools only: run allowed programs (sandbox_allow_exec), which talk to
			   * each other through Unix sockets in writable folders */
	SB_ACCEPT = 1 << 10, /* take connections at sockets that were opened before */
	SB_BIND = 1 << 9 /* bind sockets of SB_NET: the resolver's, of datagrams */
};

#define SB_PATHS_MAX 16

struct sandbox {
	unsigned calls; /* enum sandbox_calls */
	unsigned starting; /* more of them, until start has returned (store_open forks) */
	unsigned files; /* RLIMIT_NOFILE; 0: what the configuration needs */
	uint64_t memory; /* RLIMIT_AS in octets; 0: none */
	uint64_t file_size; /* RLIMIT_FSIZE; 0: none */
};

/*
 * Folders (or single files) that stay reachable; set from a daemon's open callback, before the
 * sandbox closes.  Everything else under the file system is refused by Landlock.  The path is
 * looked up now: the current folder is the jail already, the root is not changed yet, so "." is
 * the jail and an absolute path may lie outside it (reach it by a descriptor opened in open).
 *
 * writable	1: read and write below path; 0: read only
 *
 * Returns 0, or -1 with e (too many, path missing).
 */
int sandbox_allow(const char *path, int writable, struct err *e);

/* A program that may be run, with SB_EXEC; also the loader of shared objects. */
int sandbox_allow_exec(const char *path, struct err *e);

/* The same for a folder that is open already: in a child that may open nothing.  fd stays the
 * caller's. */
int sandbox_allow_fd(int fd, int writable, struct err *e);

/*
 * Close the sandbox: rlimits, no_new_privs, Landlock, seccomp.  Without Landlock in the kernel
 * it warns once and goes on; without seccomp it fails.  What was allowed is used up: entered once
 * more, later or in a forked child, it can only become narrower.
 */
int sandbox_enter(const struct sandbox *s, struct err *e);

/* Only the system calls once more, narrower: what struct sandbox calls "starting" is over. */
int sandbox_narrow(unsigned calls, struct err *e);

#endif
