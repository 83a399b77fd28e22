#ifndef UNIT_SMTPD_DOOR_H
#define UNIT_SMTPD_DOOR_H

#include "conf/conf.h"
#include "ipc/messages.h"

/*
 * Around sessions of the queue: this process is smtpd with a connector for each service; policyd,
 * queued, dnsd, anvild and filterd are played by hand, and so is the client; logd listens.
 */
struct door {
	struct conf_connector connectors[3]; /* "in", "out", "users": mx, relay, submission */
	struct ipc policyd, queued, dnsd, anvild, filterd, logd;
	int client; /* its socket; -1 */
	char said[256 * 1024]; /* what the client has heard and not looked at */
	struct ipc_msg m; /* the question in hand */
	struct ipc *of; /* who is asked; NULL: there is none */
};
extern struct door door;

void door_begin(void);
void door_end(void);

void door_turn(void);

/* A client comes to a connector; what it says; what it hears, up to now. */
void door_come(const char *connector);
void door_leave(void);
void door_say(const char *text);
void door_send(const void *p, size_t n);
const char *door_heard(void);

/* It says something and hears just that. */
void door_talk(const char *text, const char *answer);

/* The next question to somebody; it must be of this type.  Valid until it is answered. */
const void *door_asked(struct ipc *peer, uint16_t type);
void door_answer(uint16_t type, const void *body);
int door_silent(struct ipc *peer); /* 1: nothing was asked */

/* policyd is asked about this address, and says so. */
void door_whose(const char *addr, enum whose_addr whose, const char *tenant, const char *consumer);
void door_whose_later(const char *addr);
void door_screen(int worker); /* session_open_req too, the first time */

/* queued is away, or a new one. */
void door_queued(int there);

#endif
