#ifndef UNIT_SMTPD_GATE_WORLD_H
#define UNIT_SMTPD_GATE_WORLD_H

#include "conf/conf.h"
#include "ipc/messages.h"
#include "smtpd/gate.h"

/*
 * Around a gate: this process is smtpd, whose connector "in" has a gate "default" without any
 * limit; anvild and dnsd are played by hand.
 */
struct gw {
	struct conf_gate rules;
	struct conf_connector connector;
	struct net exempt[1]; /* of rules */
	char *lists[4]; /* of rules */
	struct ipc anvild, dnsd;
	struct gate *g;
	int told; /* how often done was called and nobody has asked */
	char logged[4096];
	struct ipc_msg m; /* the question in hand */
};
extern struct gw gw;
extern const uint8_t gw_client_ip[4]; /* of gw_come */

void gw_begin(void);
void gw_end(void);

/* A new process of this kind. */
void gw_plumb(struct ipc *peer, enum proc_id id);

/* gate_open; of 192.0.2.1, who is shy. */
enum gate_verdict gw_come_as(const char *ip, const char *name, int shy);
enum gate_verdict gw_come(void);
void gw_leave(void);

void gw_turn(void);
enum gate_verdict gw_after(void); /* the verdict that was waited for */
void gw_untold(void); /* there is none yet */

/* What it is asked next, which is of this type; the answer; that it is asked nothing. */
const void *gw_asked(struct ipc *peer, uint16_t type);
void gw_reply(struct ipc *peer, uint16_t type, const void *body);
void gw_nothing_asked(struct ipc *peer);

/* anvild is asked about the client, and says so; hears that it has left, and nothing else. */
void gw_count(enum client_verdict v, int passed, const char *text);
void gw_left(int passed, unsigned errors);

/* dnsd is asked for the client's name. */
void gw_name_is(enum dns_status status, const char *name);

#endif
