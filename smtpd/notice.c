/* Writing a delivery status notification. */
#include "smtpd/notice.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/enc.h"
#include "mail/header.h"
#include "mail/utf8.h"
#include "mail/value.h"
#include "mail/write.h"

#define FIELD_MAX 2000 /* octets of one returned field; longer ones are left out */
#define FIELDS_MAX (16 * 1024) /* of all */
#define RCPTS_SHOWN 100 /* recipients named in the text for people; the report has all */

static void
date_text(char *out, size_t outsz, uint64_t when)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t t = (time_t)when;
	struct tm tm;

	(void)gmtime_r(&t, &tm);
	(void)snprintf(out, outsz, "%.3s, %d %.3s %d %02d:%02d:%02d +0000", days + 3 * tm.tm_wday,
	    tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
	    tm.tm_sec);
}

/* RFC 3461, 4: xtext back to what it stands for; what would end a line stays as it is. */
static void
xtext_decode(char *s)
{
	char *to = s;
	uint8_t c;

	for (; *s != '\0'; s++) {
		if (*s == '+' && s[1] != '\0' && hex_decode(&c, 1, s + 1, 2) == 1 && c >= ' ' &&
		    c < 0x7f) {
			*to++ = (char)c;
			s += 2;
		} else
			*to++ = *s;
	}
	*to = '\0';
}

static int
put_head(const struct notice_facts *f, const char *boundary, struct buf *b)
{
	char date[64];

	date_text(date, sizeof date, f->now);
	return buf_printf(b,
	    "From: Mail Delivery System <MAILER-DAEMON@%s>\r\n"
	    "To: %s\r\n"
	    "Subject: Your message was not delivered to everybody\r\n"
	    "Date: %s\r\n"
	    "Message-ID: <%s.%llx.notice@%s>\r\n"
	    "Auto-Submitted: auto-replied\r\n"
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
	    "\tboundary=\"%s\"\r\n"
	    "\r\n"
	    "--%s\r\n"
	    "Content-Type: text/plain; charset=%s\r\n%s"
	    "\r\n",
	    f->hostname, f->sender, date, f->qid, (unsigned long long)f->now, f->hostname, boundary,
	    boundary, f->utf8 ? "utf-8" : "us-ascii",
	    f->utf8 ? "Content-Transfer-Encoding: 8bit\r\n" : "");
}

/* The peer's words, one indented line for each of its own. */
static int
put_answer(const struct answer *a, const char *first, const char *rest, struct buf *b)
{
	const char *p = a->text, *end;
	int rc;

	rc = buf_printf(b, "%s%u", first, a->code);
	do {
		end = strchrnul(p, '\n');
		if (rc == 0)
			rc = buf_printf(
			    b, "%s%.*s\r\n", p == a->text ? " " : rest, (int)(end - p), p);
		p = end + 1;
	} while (*end == '\n');
	return rc;
}

static int
put_text(const struct notice_facts *f, struct buf *b)
{
	size_t i;
	int rc;

	rc = buf_printf(b,
	    "This is the mail gateway at %s.\r\n\r\n"
	    "Your message was sent to some of its recipients, but not to these:\r\n",
	    f->hostname);
	for (i = 0; rc == 0 && i < f->n && i < RCPTS_SHOWN; i++) {
		rc = buf_printf(b, "\r\n<%s>\r\n", f->rcpts[i].addr);
		if (rc == 0)
			rc =
			    put_answer(f->rcpts[i].answer, "    The mail server said: ", "    ", b);
	}
	if (rc == 0 && f->n > RCPTS_SHOWN)
		rc = buf_printf(b, "\r\nand %zu more\r\n", f->n - RCPTS_SHOWN);
	if (rc == 0)
		rc = buf_puts(b,
		    "\r\nThe others have it. To reach these, send it to them once more;\r\n"
		    "the gateway does not try again by itself.\r\n");
	return rc;
}

static int
put_rcpt(const struct notice_facts *f, const struct notice_rcpt *r, struct buf *b)
{
	const char *type = f->utf8 ? "utf-8" : "rfc822";
	char dsn[12], line[ANSWER_LINE_MAX + 1], orcpt[512];
	int rc;

	/* Nobody tries again: a reply that was meant for a while is final here. */
	(void)answer_dsn(dsn, sizeof dsn, r->answer);
	(void)answer_line(line, sizeof line, r->answer);
	rc = buf_puts(b, "\r\n");
	if (rc == 0 && r->orcpt[0] != '\0') {
		(void)strlcpy(orcpt, r->orcpt, sizeof orcpt);
		xtext_decode(orcpt);
		rc = buf_printf(b, "Original-Recipient: %s\r\n", orcpt);
	}
	if (rc == 0)
		rc = buf_printf(b,
		    "Final-Recipient: %s; %s\r\n"
		    "Action: failed\r\n"
		    "Status: %s\r\n"
		    "Remote-MTA: dns; %s\r\n"
		    "Diagnostic-Code: smtp; %s\r\n",
		    type, r->addr, dsn, f->peer, line);
	return rc;
}

static int
put_report(const struct notice_facts *f, const char *boundary, struct buf *b)
{
	char date[64], envid[128];
	size_t i;
	int rc;

	date_text(date, sizeof date, f->arrived);
	rc = buf_printf(b,
	    "\r\n--%s\r\n"
	    "Content-Type: message/%sdelivery-status\r\n%s"
	    "\r\n"
	    "Reporting-MTA: dns; %s\r\n",
	    boundary, f->utf8 ? "global-" : "",
	    f->utf8 ? "Content-Transfer-Encoding: 8bit\r\n" : "", f->hostname);
	if (rc == 0 && f->envid[0] != '\0') {
		(void)strlcpy(envid, f->envid, sizeof envid);
		xtext_decode(envid);
		rc = buf_printf(b, "Original-Envelope-Id: %s\r\n", envid);
	}
	if (rc == 0)
		rc = buf_printf(b, "Arrival-Date: %s\r\n", date);
	for (i = 0; rc == 0 && i < f->n; i++)
		rc = put_rcpt(f, &f->rcpts[i], b);
	return rc;
}

static int
has_encrypted_type(const struct mail_header *h)
{
	char type[64];
	struct mail_field f;
	size_t used, pos = 0;

	while (mail_field_next(h, &pos, &f)) {
		if (!mail_field_is(&f, "Content-Type"))
			continue;
		(void)mail_value_flatten(f.body.p, f.body.n, type, sizeof type, &used);
		if (strcmp(type, "multipart/encrypted") == 0 ||
		    strncmp(type, "application/pkcs7", 17) == 0 ||
		    strncmp(type, "application/pgp", 15) == 0)
			return 1;
	}
	return 0;
}

int
notice_is_encrypted(struct octets *copy)
{
	struct mail_header h;
	int yes;

	if (mail_header_load(&h, copy, 0, copy->size) == -1)
		return 1;
	yes = has_encrypted_type(&h);
	mail_header_free(&h);
	return yes;
}

/* May this field be shown as it is, in a part without transfer encoding? */
static int
is_plain(const struct notice_facts *f, const uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i] == 0 || p[i] == 0x7f || (!f->utf8 && p[i] >= 0x80))
			return 0;
	return !f->utf8 || mail_utf8_valid(p, n);
}

static int
put_fields(const struct notice_facts *f, struct buf *b)
{
	static const char *const shown[] = {
	    "Message-ID", "Date", "From", "Sender", "To", "Cc", "Subject", "In-Reply-To"};
	struct mail_header h;
	struct mail_field x;
	size_t pos = 0, i, total = 0;
	int rc = 0;

	if (mail_header_load(&h, f->copy, 0, f->copy->size) == -1)
		return -1;
	while (rc == 0 && mail_field_next(&h, &pos, &x)) {
		for (i = 0; i < sizeof shown / sizeof shown[0]; i++)
			if (mail_field_is(&x, shown[i]))
				break;
		if (i == sizeof shown / sizeof shown[0] || x.len > FIELD_MAX ||
		    total + x.len > FIELDS_MAX || !is_plain(f, h.data + x.off, x.len) ||
		    (f->hide_subject && strcmp(shown[i], "Subject") == 0))
			continue;
		total += x.len;
		rc = buf_put(b, h.data + x.off, x.len);
	}
	mail_header_free(&h);
	return rc;
}

int
notice_build(const struct notice_facts *f, struct buf *out)
{
	char boundary[MAIL_BOUNDARY_LEN + 1];

	mail_boundary_random(boundary);
	if (put_head(f, boundary, out) == -1 || put_text(f, out) == -1 ||
	    put_report(f, boundary, out) == -1 ||
	    buf_printf(out, "\r\n--%s\r\nContent-Type: %s\r\n%s\r\n", boundary,
		f->utf8 ? "message/global-headers" : "text/rfc822-headers",
		f->utf8 ? "Content-Transfer-Encoding: 8bit\r\n" : "") == -1 ||
	    put_fields(f, out) == -1 || buf_printf(out, "\r\n--%s--\r\n", boundary) == -1)
		return -1;
	return 0;
}
