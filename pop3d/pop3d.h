#ifndef POP3D_POP3D_H
#define POP3D_POP3D_H

#include "proc/proc.h"

extern const struct proc pop3d;

/* Descriptor of the folder for large messages. */
int pop3d_spooldir(void);

/* The same of the folder for what is remembered of maildrops. */
int pop3d_statedir(void);

#endif
