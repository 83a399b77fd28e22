#ifndef PROXY_READFILE_H
#define PROXY_READFILE_H

#include "base/buf.h"
#include "base/err.h"

/*
 * All of a file that the configuration names, before the jail.
 *
 * what		the configuration key that names it, for messages
 * out		at most out->max octets
 *
 * 0, or -1 with e: as open(2), EFBIG.
 */
int proxy_read_file(const char *path, const char *what, struct buf *out, struct err *e);

#endif
