/* Writing delivery status notifications. */
#include "mail/dsn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/enc.h"
#include "mail/header.h"
#include "mail/utf8.h"
#include "mail/value.h"
#include "mail/write.h"

#define LINE_LEN 998 /* RFC 5322, 2.1.1, without CRLF */
#define FIELD_MAX 2000 /* octets of one returned field; longer ones are left out */
#define FIELDS_MAX (16 * 1024) /* of all */
#define RCPTS_SHOWN 100 /* recipients named in the text for people; the report has all */
#define VALUE_MAX 2048 /* octets of one value from outside, made printable */
#define FOLD_AT 900 /* octets of a line of the report, before it is folded */
#define WRAP_AT 76 /* columns of the text for people */

#define EIGHTBIT "Content-Transfer-Encoding: 8bit\r\n"

int
dsn_is_8bit(const char *s)
{
	for (; *s != '\0'; s++)
		if ((uint8_t)*s >= 0x80)
			return 1;
	return 0;
}

/*
 * Text from outside as it may stand in a line: controls are gone, and what is not ASCII unless the
 * notice is SMTPUTF8 and it is UTF-8.  Line ends stay when lines is set, else become spaces.
 */
static const char *
safe(const struct dsn_facts *f, const char *s, int lines, char out[VALUE_MAX])
{
	size_t n = 0, left = strlen(s);
	unsigned len;
	uint32_t cp;

	while (left > 0 && n + 5 < VALUE_MAX) {
		len = (uint8_t)*s < 0x80 ? 1 : mail_utf8_next((const uint8_t *)s, left, &cp);
		if (len <= 1) {
			if (*s == '\n')
				out[n++] = lines ? '\n' : ' ';
			else if (*s == '\t' || *s == '\r')
				out[n++] = ' ';
			else
				out[n++] = *s < ' ' || *s > '~' ? '?' : *s;
			len = 1;
		} else if (f->utf8) {
			memcpy(out + n, s, len);
			n += len;
		} else
			out[n++] = '?';
		s += len;
		left -= len;
	}
	out[n] = '\0';
	return out;
}

static void
date_text(char *out, size_t outsz, uint64_t when)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t t = (time_t)when;
	struct tm tm;

	if (when > INT32_MAX * 100ULL || gmtime_r(&t, &tm) == NULL) {
		t = 0;
		(void)gmtime_r(&t, &tm);
	}
	(void)snprintf(out, outsz, "%.3s, %d %.3s %d %02d:%02d:%02d +0000", days + 3 * tm.tm_wday,
	    tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
	    tm.tm_sec);
}

static int
put_date(struct buf *b, const char *name, uint64_t when)
{
	char date[64];

	if (when == 0)
		return 0;
	date_text(date, sizeof date, when);
	return buf_printf(b, "%s: %s\r\n", name, date);
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

/*
 * Octets of s that go into a line of so many: up to its last blank there, else what there is room
 * for, whole characters of UTF-8.
 */
static size_t
line_part(const char *s, size_t room)
{
	size_t n = strlen(s), i;

	if (n <= room)
		return n;
	for (i = room; i > room / 2; i--)
		if (s[i] == ' ')
			return i;
	for (n = room; n > 1 && ((uint8_t)s[n] & 0xc0) == 0x80; n--)
		continue;
	return n;
}

/* A value of one line, folded where it is too long: name, then text. */
static int
put_folded(struct buf *b, const char *name, const char *text)
{
	size_t n = line_part(text, FOLD_AT);
	int rc = buf_printf(b, "%s%.*s\r\n", name, (int)n, text);

	for (text += n; rc == 0 && *text != '\0'; text += n) {
		text += strspn(text, " ");
		if (*text == '\0')
			break;
		n = line_part(text, FOLD_AT);
		rc = buf_printf(b, " %.*s\r\n", (int)n, text);
	}
	return rc;
}

static int
put_head(const struct dsn_facts *f, const char *boundary, struct buf *b)
{
	char date[64], to[VALUE_MAX];
	int eightbit = f->utf8 || (f->what == DSN_MESSAGE && f->eightbit);

	date_text(date, sizeof date, f->now);
	return buf_printf(b,
	    "From: Mail Delivery System <MAILER-DAEMON@%s>\r\n"
	    "To: %s\r\n"
	    "Subject: %s\r\n"
	    "Date: %s\r\n"
	    "Message-ID: <%s>\r\n"
	    "Auto-Submitted: auto-replied\r\n"
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
	    "\tboundary=\"%s\"\r\n%s"
	    "\r\n"
	    "--%s\r\n"
	    "Content-Type: text/plain; charset=%s\r\n%s"
	    "\r\n",
	    f->hostname, safe(f, f->to, 0, to), f->subject, date, f->msgid, boundary,
	    eightbit ? EIGHTBIT : "", boundary, f->utf8 ? "utf-8" : "us-ascii",
	    f->utf8 ? EIGHTBIT : "");
}

/* Our own paragraphs. */
static int
put_lines(struct buf *b, const char *s)
{
	const char *end;
	int rc = 0;

	while (rc == 0 && *s != '\0') {
		end = strchrnul(s, '\n');
		rc = buf_printf(b, "%.*s\r\n", (int)(end - s), s);
		s = *end == '\n' ? end + 1 : end;
	}
	return rc;
}

/* The words of a reply, one indented line for each of its own, and more where that is long. */
static int
put_reply(const struct dsn_facts *f, const struct dsn_rcpt *r, struct buf *b)
{
	char text[VALUE_MAX], code[16] = "";
	const char *p = safe(f, r->text, 1, text), *end, *label = "";
	size_t n, used;
	int rc;

	if (r->code == 0 && *p == '\0')
		return 0;
	if (r->code != 0)
		(void)snprintf(code, sizeof code, "%u%s", r->code, *p != '\0' ? " " : "");
	if (r->mta[0] != '\0')
		label = f->label;
	rc = buf_printf(b, "    %s%s", label, code);
	used = 4 + strlen(label) + strlen(code);
	do {
		end = strchrnul(p, '\n');
		while (rc == 0 && p < end) {
			n = line_part(p, used + 20 < WRAP_AT ? WRAP_AT - used : 20);
			if (n > (size_t)(end - p))
				n = (size_t)(end - p);
			rc = buf_printf(b, "%.*s", (int)n, p);
			p += n;
			p += p < end && *p == ' ';
			used = 4;
			if (rc == 0 && p < end)
				rc = buf_puts(b, "\r\n    ");
		}
		if (rc == 0)
			rc = buf_puts(b, *end == '\n' ? "\r\n    " : "\r\n");
		p = end + 1;
	} while (rc == 0 && *end == '\n');
	return rc;
}

static int
put_text(const struct dsn_facts *f, struct buf *b)
{
	char addr[VALUE_MAX];
	size_t i;
	int rc = put_lines(b, f->before);

	for (i = 0; rc == 0 && i < f->n && i < RCPTS_SHOWN; i++) {
		rc = buf_printf(b, "\r\n<%s>\r\n", safe(f, f->rcpts[i].addr, 0, addr));
		if (rc == 0)
			rc = put_reply(f, &f->rcpts[i], b);
	}
	if (rc == 0 && f->n > RCPTS_SHOWN)
		rc = buf_printf(b, "\r\nand %zu more\r\n", f->n - RCPTS_SHOWN);
	if (rc == 0 && f->after[0] != '\0')
		rc = buf_puts(b, "\r\n");
	return rc == 0 ? put_lines(b, f->after) : rc;
}

/* In ASCII (RFC 6533, 3: utf-8-addr-xtext). -1: it is too long for a line so. */
static int
spell(const char *addr, char out[FOLD_AT])
{
	const uint8_t *p = (const uint8_t *)addr;
	size_t left = strlen(addr), n = 0;
	uint32_t cp;
	unsigned len;

	for (; left > 0; p += len, left -= len) {
		len = mail_utf8_next(p, left, &cp);
		if (len == 0 || cp <= ' ' || cp == 0x7f) {
			len = len == 0 ? 1 : len;
			cp = '?';
		}
		if (n + 12 > FOLD_AT)
			return -1;
		if (cp >= 0x80 || cp == '\\')
			n += (size_t)snprintf(out + n, FOLD_AT - n, "\\x{%X}", (unsigned)cp);
		else
			out[n++] = (char)cp;
	}
	out[n] = '\0';
	return 0;
}

/* An address as its type says. */
static int
put_address(const struct dsn_facts *f, const char *addr, struct buf *b)
{
	char text[VALUE_MAX], spelt[FOLD_AT];

	if (dsn_is_8bit(addr) && !f->utf8 && spell(addr, spelt) == 0)
		return buf_printf(b, "utf-8; %s\r\n", spelt);
	return buf_printf(b, "%s; %s\r\n", dsn_is_8bit(addr) && f->utf8 ? "utf-8" : "rfc822",
	    safe(f, addr, 0, text));
}

static int
put_original(const struct dsn_facts *f, const char *given, struct buf *b)
{
	char text[VALUE_MAX], orcpt[VALUE_MAX];

	if (given[0] == '\0')
		return 0;
	(void)strlcpy(text, given, sizeof text);
	if (strncasecmp(text, "utf-8;", 6) != 0)
		xtext_decode(text);
	return put_folded(b, "Original-Recipient: ", safe(f, text, 0, orcpt));
}

static int
put_rcpt(const struct dsn_facts *f, const struct dsn_rcpt *r, struct buf *b)
{
	static const char *const actions[] = {
	    [DSN_FAILED] = "failed",
	    [DSN_DELAYED] = "delayed",
	    [DSN_DELIVERED] = "delivered",
	    [DSN_RELAYED] = "relayed",
	};
	char line[VALUE_MAX + 32], text[VALUE_MAX], status[VALUE_MAX];
	int rc;

	if (buf_puts(b, "\r\n") == -1 || put_original(f, r->orcpt, b) == -1 ||
	    buf_puts(b, "Final-Recipient: ") == -1 || put_address(f, r->addr, b) == -1 ||
	    buf_printf(b, "Action: %s\r\nStatus: %s\r\n", actions[r->action],
		safe(f, r->status, 0, status)) == -1)
		return -1;
	if (r->mta[0] != '\0' &&
	    buf_printf(b, "Remote-MTA: dns; %s\r\n", safe(f, r->mta, 0, text)) == -1)
		return -1;
	if (r->code != 0 || r->text[0] != '\0') {
		(void)safe(f, r->text, 0, text);
		if (r->code != 0)
			(void)snprintf(line, sizeof line, "%u %s", r->code, text);
		else
			(void)strlcpy(line, text, sizeof line);
		/* What we say ourselves is no reply of SMTP. */
		rc = put_folded(b,
		    r->mta[0] != '\0' ? "Diagnostic-Code: smtp; " : "Diagnostic-Code: X-Postern; ",
		    line);
		if (rc == -1)
			return -1;
	}
	if (put_date(b, "Last-Attempt-Date", r->last) == -1)
		return -1;
	if (f->log_id[0] != '\0' && buf_printf(b, "Final-Log-ID: %s\r\n", f->log_id) == -1)
		return -1;
	return r->action == DSN_DELAYED ? put_date(b, "Will-Retry-Until", r->until) : 0;
}

static int
put_report(const struct dsn_facts *f, const char *boundary, struct buf *b)
{
	char envid[VALUE_MAX], text[VALUE_MAX];
	size_t i;
	int rc;

	rc = buf_printf(b,
	    "\r\n--%s\r\n"
	    "Content-Type: message/%sdelivery-status\r\n%s"
	    "\r\n"
	    "Reporting-MTA: dns; %s\r\n",
	    boundary, f->utf8 ? "global-" : "", f->utf8 ? EIGHTBIT : "", f->hostname);
	if (rc == 0 && f->envid[0] != '\0') {
		(void)strlcpy(envid, f->envid, sizeof envid);
		xtext_decode(envid);
		rc = buf_printf(b, "Original-Envelope-Id: %s\r\n", safe(f, envid, 0, text));
	}
	if (rc == 0)
		rc = put_date(b, "Arrival-Date", f->arrived);
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
dsn_is_encrypted(struct octets *message)
{
	struct mail_header h;
	int yes;

	if (mail_header_load(&h, message, 0, message->size) == -1)
		return 1;
	yes = has_encrypted_type(&h);
	mail_header_free(&h);
	return yes;
}

/* May this field be shown as it is, in a part without transfer encoding? */
static int
is_plain(const struct dsn_facts *f, const uint8_t *p, size_t n)
{
	size_t i, line = 0;

	for (i = 0; i < n; i++) {
		if (p[i] == 0 || p[i] == 0x7f || (!f->utf8 && p[i] >= 0x80) ||
		    (p[i] == '\r' && (i + 1 == n || p[i + 1] != '\n')) ||
		    (p[i] == '\n' && (i == 0 || p[i - 1] != '\r')))
			return 0;
		line = p[i] == '\n' ? 0 : line + 1;
		if (line > LINE_LEN + 1)
			return 0;
	}
	return n >= 2 && p[n - 2] == '\r' && p[n - 1] == '\n' &&
	       (!f->utf8 || mail_utf8_valid(p, n));
}

static int
is_shown(const struct dsn_facts *f, const struct mail_field *x)
{
	static const char *const known[] = {
	    "Message-ID", "Date", "From", "Sender", "To", "Cc", "Subject", "In-Reply-To"};
	size_t i;

	if (x->name.n == 0 || (f->hide_subject && mail_field_is(x, "Subject")))
		return 0;
	for (i = 0; f->what == DSN_FIELDS && i < sizeof known / sizeof known[0]; i++)
		if (mail_field_is(x, known[i]))
			return 1;
	return f->what != DSN_FIELDS;
}

static int
put_fields(const struct dsn_facts *f, struct buf *b)
{
	struct mail_header h;
	struct mail_field x;
	size_t pos = 0, total = 0;
	int rc = 0;

	if (mail_header_load(&h, f->message, 0, f->message->size) == -1)
		return -1;
	while (rc == 0 && mail_field_next(&h, &pos, &x)) {
		if (!is_shown(f, &x) || x.len > FIELD_MAX || total + x.len > FIELDS_MAX ||
		    !is_plain(f, h.data + x.off, x.len))
			continue;
		total += x.len;
		rc = buf_put(b, h.data + x.off, x.len);
	}
	mail_header_free(&h);
	return rc;
}

static int
put_returned(const struct dsn_facts *f, const char *boundary, struct buf *b)
{
	struct sink to = sink_buf(b);
	const char *type = f->utf8 ? "message/global-headers" : "text/rfc822-headers";
	int whole = f->what == DSN_MESSAGE && f->message->size <= f->message_max;

	if (whole)
		type = f->utf8 ? "message/global" : "message/rfc822";
	if (buf_printf(b, "\r\n--%s\r\nContent-Type: %s\r\n%s\r\n", boundary, type,
		f->utf8 || (whole && f->eightbit) ? EIGHTBIT : "") == -1)
		return -1;
	return whole ? sink_copy(&to, f->message, 0, f->message->size) : put_fields(f, b);
}

int
dsn_build(const struct dsn_facts *f, struct buf *out)
{
	char boundary[MAIL_BOUNDARY_LEN + 1];

	mail_boundary_random(boundary);
	if (put_head(f, boundary, out) == -1 || put_text(f, out) == -1 ||
	    put_report(f, boundary, out) == -1 ||
	    (f->message != NULL && put_returned(f, boundary, out) == -1))
		return -1;
	return buf_printf(out, "\r\n--%s--\r\n", boundary);
}
