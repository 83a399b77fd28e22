/* The proxy's notice: what the peer said, in the words of lib/mail/dsn. */
#include "smtpd/notice.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "mail/dsn.h"

#define DSN_TEXT 12

static int
build(
    const struct notice_facts *f, struct dsn_rcpt *rcpts, char (*status)[DSN_TEXT], struct buf *out)
{
	char before[512], msgid[512];
	struct dsn_facts d = {
	    .hostname = f->hostname,
	    .to = f->sender,
	    .subject = "Your message was not delivered to everybody",
	    .msgid = msgid,
	    .log_id = "",
	    .envid = f->envid,
	    .before = before,
	    .after = "The others have it. To reach these, send it to them once more;\n"
		     "the gateway does not try again by itself.",
	    .label = "The mail server said: ",
	    .utf8 = f->utf8,
	    .arrived = f->arrived,
	    .now = f->now,
	    .rcpts = rcpts,
	    .n = f->n,
	    .message = f->copy,
	    .what = DSN_FIELDS,
	    .hide_subject = f->hide_subject,
	};
	size_t i;

	(void)snprintf(msgid, sizeof msgid, "%s.%llx.notice@%s", f->qid, (unsigned long long)f->now,
	    f->hostname);
	(void)snprintf(before, sizeof before,
	    "This is the mail gateway at %s.\n\n"
	    "Your message was sent to some of its recipients, but not to these:",
	    f->hostname);
	for (i = 0; i < f->n; i++)
		/* Nobody tries again: a reply that was meant for a while is final here. */
		rcpts[i] = (struct dsn_rcpt){
		    .addr = f->rcpts[i].addr,
		    .orcpt = f->rcpts[i].orcpt,
		    .action = DSN_FAILED,
		    .status = answer_dsn(status[i], DSN_TEXT, f->rcpts[i].answer),
		    .mta = f->peer,
		    .code = f->rcpts[i].answer->code,
		    .text = f->rcpts[i].answer->text,
		};
	return dsn_build(&d, out);
}

int
notice_build(const struct notice_facts *f, struct buf *out)
{
	struct dsn_rcpt *rcpts = calloc(f->n + 1, sizeof *rcpts);
	char(*status)[DSN_TEXT] = calloc(f->n + 1, sizeof *status);
	int rc = -1;

	if (rcpts != NULL && status != NULL)
		rc = build(f, rcpts, status, out);
	else
		errno = ENOMEM;
	free(rcpts);
	free(status);
	return rc;
}

int
notice_is_encrypted(struct octets *copy)
{
	return dsn_is_encrypted(copy);
}
