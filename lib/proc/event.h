#ifndef PROC_EVENT_H
#define PROC_EVENT_H

#include <stddef.h>

#include "ipc/messages.h"

/*
 * What happens to mail, for the log: each event is a line in Postfix's grammar and, in logd's
 * database, a record.
 */

/* Octets of the line of an event with its NUL. */
#define EVENT_LINE_MAX 2048

/*
 * Tell logd, in order with the log lines of this process and as they are (proc/sink.h): it waits up
 * to 20 ms for company, proc_log_push hands it over at once.  Everything is copied.
 *
 * e	text from outside as it came; a NULL string counts as "".  pid and when are filled in when
 *they are 0.  level LOG_L_ERR (0) is taken for LOG_L_INFO: nothing that happens to mail is an error
 *	of ours.  What is longer than a field of log_event may be is cut, a number brought to its
 *	bound: the event is logged in every case.
 *
 * Without logd, as in tools, the line goes to standard error.
 */
void proc_event(const struct log_event *e);

/*
 * The line of an event, without time, program and level, everything from outside escaped:
 *
 *	EV_CONNECT	connect from CLIENT, connector=NAME	(the last with a queue id only)
 *	EV_DISCONNECT	disconnect from CLIENT TEXT
 *	EV_LOST		WHAT CLIENT: TEXT		("lost connection after DATA from")
 *	EV_REJECT	NOQUEUE: reject: WHAT CLIENT: TEXT; from=<> to=<> proto= helo=<>
 *	EV_CLIENT	QID: client=CLIENT, sasl_method=, sasl_username=
 *	EV_LOGIN	the same and relay=, (TEXT); of proxies that carry no message
 *	EV_LOGIN_FAILED	CLIENT: SASL MECHANISM authentication failed: TEXT, sasl_username=
 *	EV_MESSAGE	QID: message-id=<>
 *	EV_QUEUED	QID: from=<>, size=, nrcpt= (queue active)
 *	EV_CRYPTO	QID: crypto=TEXT, nrcpt=	(the text has been escaped by its writer)
 *	EV_DELIVERY	QID: to=<>, orig_to=<>, relay=, delay=, delays=a/b/c/d, dsn=, status=sent
 *(TEXT) EV_HELD		QID: to=<>, status=held (TEXT) EV_NOTICE	QID: TEXT: RCPT
 *	EV_EXPIRED	QID: from=<>, status=expired, returned to sender
 *	EV_REMOVED	QID: removed
 *	EV_ADMIN	QID: TEXT
 *
 * What is "" or 0 is left out where Postfix leaves it out.  from=<> of a reject stands where a
 * sender is there or what begins with RCPT, DATA, BDAT or END-OF-MESSAGE.  A kind whose line has no
 * queue id in Postfix gets "QID: " in front when there is one.
 *
 * out	receives at most outsz octets with a NUL, "..." at the end of a value that was cut;
 *	EVENT_LINE_MAX is enough for everything that matters
 *
 * Returns the octets written, without the NUL.
 */
size_t event_line(char *out, size_t outsz, const struct log_event *e);

/* "connect", "reject"...; "?" for what is none. */
const char *event_kind_name(unsigned kind);

/* "sent", "deferred", "bounced"; "" for ES_NONE and what is none. */
const char *event_status_name(unsigned status);

#endif
