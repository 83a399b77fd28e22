#ifndef FILTERD_WARM_H
#define FILTERD_WARM_H

#include "base/err.h"

/*
 * Use everything once that securing and opening a message needs, with keys that are thrown away.
 * OpenSSL builds its tables of algorithms at their first use, which takes as long as securing ten
 * messages: done in the zygote, it is done for all workers.  It is a self-test besides.
 *
 * Returns 0, or -1 with e: this machine's libraries cannot do what a worker must.
 */
int warm_up(struct err *e);

#endif
