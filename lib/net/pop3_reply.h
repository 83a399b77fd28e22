#ifndef NET_POP3_REPLY_H
#define NET_POP3_REPLY_H

#include <stddef.h>

/* Status lines of a POP3 server (RFC 1939, 3; RFC 2449, 8; RFC 5034, 4). */
#define POP3_REPLY_LINE_MAX 2048 /* for line_init: 512 (RFC 2449, 4), and patience */

enum pop3_status {
	POP3_OK, /* +OK */
	POP3_ERR, /* -ERR */
	POP3_CONTINUE /* "+ ", the next step of AUTH */
};

struct pop3_reply {
	enum pop3_status status;
	char code[64]; /* of a -ERR, upper case without brackets: "SYS/TEMP", "IN-USE"; or "" */
	const char *text; /* into the line, behind the status; the code's brackets still in it */
	size_t len;
};

/*
 * One status line without CRLF.
 *
 * Returns 0, or -1 with errno EPROTO: neither of the three, or a control character other than TAB
 * in it; the connection is of no more use.
 */
int pop3_reply_parse(struct pop3_reply *r, const char *line, size_t n);

#endif
