#ifndef SMTPD_SMTPD_H
#define SMTPD_SMTPD_H

#include "proc/proc.h"

extern const struct proc smtpd;

#endif
