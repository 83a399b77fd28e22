#ifndef ANVILD_ANVILD_H
#define ANVILD_ANVILD_H

#include "proc/proc.h"

extern const struct proc anvild;

#endif
