#ifndef SMTPD_PUT_H
#define SMTPD_PUT_H

#include "proc/chan.h"

/* The way to queued, of the whole process: for smtpd.c. */

/* queued's words; for struct proc's handlers. */
void put_on_answer(struct chan *c, struct ipc_msg *m);
void put_on_room(struct chan *c, struct ipc_msg *m);

/* The channel came or went (c NULL): what was under way fails. */
void put_plumbed(struct chan *c);

/* Is there no room for messages? */
int put_full(void);

/* Messages that wait for queued's word. */
unsigned put_count(void);

#endif
