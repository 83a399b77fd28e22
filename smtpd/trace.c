/* The trace that a message gets here. */
#include "smtpd/trace.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DATE_MAX 40 /* octets with the NUL */

static void
date_text(char out[DATE_MAX], uint64_t when)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t t = (time_t)when;
	struct tm tm = {0};

	(void)gmtime_r(&t, &tm);
	(void)snprintf(out, DATE_MAX, "%.3s, %d %.3s %d %02d:%02d:%02d +0000",
	    days + 3 * (unsigned)tm.tm_wday, tm.tm_mday, months + 3 * (unsigned)tm.tm_mon,
	    tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* RFC 3848; RFC 6531, 4.3. */
static void
protocol(char out[16], const struct trace_facts *f)
{
	(void)snprintf(out, 16, "%s%s%s",
	    f->utf8    ? "UTF8SMTP"
	    : f->esmtp ? "ESMTP"
		       : "SMTP",
	    f->tls[0] != '\0' && (f->esmtp || f->utf8) ? "S" : "",
	    f->authed && (f->esmtp || f->utf8) ? "A" : "");
}

/* Text of others: as it is, but for what has no place in a field. */
static void
put_text(char *to, const char *s, int utf8)
{
	for (; *s != '\0'; s++)
		*to++ = (*s >= ' ' && *s <= '~') || (utf8 && *s < 0) ? *s : '?';
	*to = '\0';
}

int
trace_received(struct buf *out, const struct trace_facts *f)
{
	char helo[256], rcpt[1024], date[DATE_MAX], with[16];
	size_t had = buf_len(out);
	int rc;

	date_text(date, f->when);
	protocol(with, f);
	put_text(helo, strlen(f->helo) < sizeof helo ? f->helo : "", f->utf8);
	put_text(rcpt, f->rcpt != NULL && strlen(f->rcpt) < sizeof rcpt ? f->rcpt : "", f->utf8);
	rc =
	    buf_printf(out, "Received: from %s (%s [%s%s])\r\n", helo[0] != '\0' ? helo : "unknown",
		f->name, strchr(f->ip, ':') != NULL ? "IPv6:" : "", f->ip);
	if (rc == 0 && f->tls[0] != '\0')
		rc = buf_printf(out, "\t(using %s)\r\n", f->tls);
	if (rc == 0)
		rc = buf_printf(out, "\tby %s (Postern) with %s id %s", f->hostname, with, f->qid);
	if (rc == 0 && rcpt[0] != '\0')
		rc = buf_printf(out, "\r\n\tfor <%s>", rcpt);
	if (rc == 0)
		rc = buf_printf(out, "; %s\r\n", date);
	if (rc == -1)
		out->end = out->off + had;
	return rc;
}
