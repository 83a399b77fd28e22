#ifndef FILTERD_DISPATCH_H
#define FILTERD_DISPATCH_H

#include "proc/proc.h"

/*
 * The dispatcher of filterd: keeps idle workers ready and seats one at each session that asks.
 * It moves descriptors and reads nothing that came from outside.
 */
extern const struct proc filterd;

#endif
