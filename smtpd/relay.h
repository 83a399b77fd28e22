#ifndef SMTPD_RELAY_H
#define SMTPD_RELAY_H

#include "conf/conf.h"
#include "mail/address.h"
#include "smtpd/whose.h"

/*
 * May this client send to this recipient, and if not, why?  The one place that keeps a connector of
 * the queue from being an open relay.
 */
enum relay_verdict {
	RELAY_TAKE,
	RELAY_ASK, /* the server behind us knows whether he is there */
	RELAY_DENIED, /* 554 5.7.1: not for this client */
	RELAY_UNKNOWN, /* 550 5.1.1: nobody there */
	RELAY_OTHER, /* 452 4.5.3: of another tenant than the recipients before */
	RELAY_LATER /* 451: it cannot be said now */
};

struct relay_facts {
	enum conf_service service; /* CONF_MX, CONF_RELAY or CONF_SUBMISSION */
	int trusted; /* it may send to everywhere: by address, certificate or login */
	const struct mail_path *to; /* not <>; with a domain */
	const struct whose *whose;
	const char *tenant; /* mx: of the recipients before; "": there is none */
};

enum relay_verdict relay_judge(const struct relay_facts *f);

/*
 * Does a local part (unquoted) hold what some hosts take for a route to somewhere else: "%", "!",
 * "@", or a colon?
 */
int relay_is_route(const char *local);

#endif
