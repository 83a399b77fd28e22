#ifndef SMTPD_BOUNCE_H
#define SMTPD_BOUNCE_H

#include "smtpd/journal.h"

/* Sending the notices of the journal, now and after every start, until each is taken. */

/* dir: descriptor of the journal's folder, kept. 0, or -1 with e. */
int bounce_start(int dir, struct err *e);

/* Owe this notice from now on; on the disk when it returns 0. -1 with e. */
int bounce_owe(const struct notice *n, struct err *e);

/* No new attempts (drain); bounce_busy tells whether one is under way. */
void bounce_stop(void);
int bounce_busy(void);

/* Notices that wait. */
unsigned bounce_waiting(void);

#endif
