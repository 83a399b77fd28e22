#ifndef CRYPTOD_DAEMON_H
#define CRYPTOD_DAEMON_H

#include "proc/proc.h"

extern const struct proc cryptod_proc;

#endif
