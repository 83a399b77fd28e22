#ifndef DELIVERD_DELIVERD_H
#define DELIVERD_DELIVERD_H

#include "proc/proc.h"

extern const struct proc deliverd;

#endif
