#include "anvild/tlsrpt_mail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <jansson.h>
#include <zlib.h>

#include "base/enc.h"
#include "mail/address.h"

#define DAY 86400
#define B64_LINE 57 /* octets that make a line of 76 */
#define TIME_TEXT 96 /* more than any time takes */

/* ---- who wants it ---- */

static const char version[] = "v=TLSRPTv1";

static int
is_wish(struct bytes t)
{
	size_t n = sizeof version - 1;

	if (t.n < n || memcmp(t.p, version, n) != 0)
		return 0;
	while (n < t.n && (t.p[n] == ' ' || t.p[n] == '\t'))
		n++;
	return n < t.n && t.p[n] == ';';
}

/* "a%40b" (RFC 3986, 2.1); -1 for what is none, or no ASCII. */
static int
unescape(const char *s, size_t n, char *out, size_t outsz)
{
	uint8_t one;
	size_t i, len = 0;

	for (i = 0; i < n; i++, len++) {
		if (len + 1 >= outsz)
			return -1;
		one = (uint8_t)s[i];
		if (one == '%') {
			if (n - i < 3 || hex_decode(&one, 1, s + i + 1, 2) != 1)
				return -1;
			i += 2;
		}
		if (one <= ' ' || one > '~')
			return -1;
		out[len] = (char)one;
	}
	out[len] = '\0';
	return 0;
}

/* "mailto:reports@example.org", perhaps with "?subject=...", which is not for us. */
static void
take_uri(const char *s, size_t n, struct ruas *out)
{
	static const char scheme[] = "mailto:";
	const size_t skip = sizeof scheme - 1;
	char text[RUA_MAX], addr[MAIL_ADDR_MAX + 1];
	const char *q;
	size_t i;

	if (n < skip || strncasecmp(s, scheme, skip) != 0 || out->n == RUAS_MAX)
		return;
	s += skip;
	n -= skip;
	if ((q = memchr(s, '?', n)) != NULL)
		n = (size_t)(q - s);
	if (unescape(s, n, text, sizeof text) == -1 ||
	    mail_addr_normalise(text, addr, sizeof addr) == -1 || strlen(addr) >= RUA_MAX ||
	    strpbrk(addr, "\"\\<>[]") != NULL)
		return;
	for (i = 0; i < out->n; i++)
		if (strcmp(out->v[i], addr) == 0)
			return;
	(void)strlcpy(out->v[out->n++], addr, RUA_MAX);
}

static void
take_uris(const char *s, size_t n, struct ruas *out)
{
	const char *comma;
	size_t len;

	while (n > 0) {
		comma = memchr(s, ',', n);
		len = comma != NULL ? (size_t)(comma - s) : n;
		n -= len + (comma != NULL);
		while (len > 0 && (*s == ' ' || *s == '\t')) {
			s++;
			len--;
		}
		while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
			len--;
		take_uri(s, len, out);
		s = comma != NULL ? comma + 1 : s + len;
	}
}

int
rua_parse(const struct dns_txt *v, size_t n, struct ruas *out, struct err *e)
{
	const char *s, *end, *semi;
	size_t i, found = 0, which = 0;

	out->n = 0;
	for (i = 0; i < n; i++)
		if (is_wish(v[i].text)) {
			which = i;
			found++;
		}
	if (found != 1)
		return err_set(e, ENOENT,
		    found == 0 ? "no record begins with v=TLSRPTv1"
			       : "several records begin with v=TLSRPTv1");
	s = (const char *)v[which].text.p;
	end = s + v[which].text.n;
	for (; s < end; s = semi + 1) {
		if ((semi = memchr(s, ';', (size_t)(end - s))) == NULL)
			semi = end;
		while (s < semi && (*s == ' ' || *s == '\t'))
			s++;
		if (semi - s > 4 && memcmp(s, "rua=", 4) == 0)
			take_uris(s + 4, (size_t)(semi - s - 4), out);
	}
	if (out->n == 0)
		return err_set(e, ENOENT, "no address with mailto: wants a report");
	return 0;
}

/* ---- the report ---- */

static void
time_text(char *out, size_t outsz, uint64_t when)
{
	const time_t t = (time_t)when;
	struct tm tm;

	(void)gmtime_r(&t, &tm);
	(void)snprintf(out, outsz, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
	    tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static uint64_t
begin_of(const struct report *r)
{
	return (uint64_t)r->day->day * DAY;
}

/* The last second that it is about. */
static uint64_t
end_of(const struct report *r)
{
	const uint64_t last = begin_of(r) + DAY - 1;

	return r->until < last ? r->until : last;
}

char *
report_id(const struct report *r, char *out, size_t outsz)
{
	(void)snprintf(out, outsz, "<%u.%016llx.tlsrpt@%s>", r->day->day,
	    (unsigned long long)r->day->id, r->hostname);
	return out;
}

/* What servers said may be anything; JSON and people get ASCII. */
static json_t *
string(const char *s, size_t n)
{
	char *copy = strndup(s, n);
	json_t *j;
	size_t i;

	if (copy == NULL)
		return NULL;
	for (i = 0; copy[i] != '\0'; i++)
		if (copy[i] < ' ' || copy[i] > '~')
			copy[i] = '?';
	j = json_string(copy);
	free(copy);
	return j;
}

/* The first failure stays: what is put behind it is dropped. */
static void
put(json_t **to, const char *key, json_t *value)
{
	if (*to != NULL && json_object_set_new(*to, key, value) == 0)
		return;
	if (*to == NULL)
		json_decref(value);
	json_decref(*to);
	*to = NULL;
}

static void
put_text(json_t **to, const char *key, const char *s)
{
	if (s[0] != '\0')
		put(to, key, string(s, strlen(s)));
}

static void
append(json_t **to, json_t *value)
{
	if (*to != NULL && json_array_append_new(*to, value) == 0)
		return;
	if (*to == NULL)
		json_decref(value);
	json_decref(*to);
	*to = NULL;
}

/* The policy's lines; with mx_only those of its mx. */
static json_t *
lines(const char *text, int mx_only)
{
	json_t *a = json_array();
	size_t n;

	for (; *text != '\0'; text += n + (text[n] == '\n')) {
		n = strcspn(text, "\n");
		if (!mx_only)
			append(&a, string(text, n));
		else if (n > 3 && memcmp(text, "mx:", 3) == 0)
			append(&a, string(text + 3 + strspn(text + 3, " \t"),
				       n - 3 - strspn(text + 3, " \t")));
	}
	return a;
}

static json_t *
policy(const struct tlsrpt_policy *p, const char *domain)
{
	static const char *const types[] = {
	    [TLSPOL_NONE] = "no-policy-found", [TLSPOL_STS] = "sts", [TLSPOL_TLSA] = "tlsa"};
	json_t *o = json_object();

	put_text(&o, "policy-type", types[p->type]);
	if (p->text[0] != '\0')
		put(&o, "policy-string", lines(p->text, 0));
	put_text(&o, "policy-domain", domain);
	if (p->type == TLSPOL_STS)
		put(&o, "mx-host", lines(p->text, 1));
	return o;
}

static json_t *
detail(const struct tlsrpt_detail *t)
{
	json_t *o = json_object();

	put_text(&o, "result-type", t->result);
	put_text(&o, "sending-mta-ip", t->our_ip);
	put_text(&o, "receiving-mx-hostname", t->mx);
	put_text(&o, "receiving-ip", t->ip);
	put(&o, "failed-session-count", json_integer((json_int_t)t->count));
	put_text(&o, "failure-reason-code", t->reason);
	return o;
}

static json_t *
of_policy(const struct tlsrpt_policy *p, const char *domain)
{
	json_t *o = json_object(), *sum = json_object(), *details = json_array();
	size_t i;

	put(&sum, "total-successful-session-count", json_integer((json_int_t)p->good));
	put(&sum, "total-failure-session-count", json_integer((json_int_t)p->failed));
	put(&o, "policy", policy(p, domain));
	put(&o, "summary", sum);
	for (i = 0; i < p->details.n; i++)
		append(&details, detail(&p->details.v[i]));
	if (p->details.n > 0)
		put(&o, "failure-details", details);
	else
		json_decref(details);
	return o;
}

static int
dump(const char *p, size_t n, void *arg)
{
	return buf_put(arg, p, n);
}

int
report_json(const struct report *r, struct buf *out)
{
	json_t *o = json_object(), *range = json_object(), *policies = json_array();
	char from[TIME_TEXT], to[TIME_TEXT], id[400], *end;
	size_t i;
	int rc = -1;

	time_text(from, sizeof from, begin_of(r));
	time_text(to, sizeof to, end_of(r));
	put_text(&range, "start-datetime", from);
	put_text(&range, "end-datetime", to);
	put_text(&o, "organization-name", r->hostname);
	put(&o, "date-range", range);
	put_text(&o, "contact-info", r->from);
	end = strchr(report_id(r, id, sizeof id), '>');
	if (end != NULL)
		*end = '\0';
	put_text(&o, "report-id", id + 1);
	for (i = 0; i < r->day->policies.n; i++)
		append(&policies, of_policy(&r->day->policies.v[i], r->day->domain));
	put(&o, "policies", policies);
	if (o == NULL)
		errno = ENOMEM;
	else if (json_dump_callback(o, dump, out, JSON_COMPACT) == 0)
		rc = 0;
	json_decref(o);
	return rc;
}

/* RFC 1952. */
static int
compress_to(const struct buf *in, struct buf *out)
{
	z_stream z = {.next_in = (Bytef *)buf_ptr(in), .avail_in = (uInt)buf_len(in)};
	uint8_t *p;
	size_t n;
	int rc = -1;

	if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) !=
	    Z_OK) {
		errno = ENOMEM;
		return -1;
	}
	n = deflateBound(&z, (uLong)buf_len(in));
	if ((p = buf_reserve(out, n)) != NULL) {
		z.next_out = p;
		z.avail_out = (uInt)n;
		if (deflate(&z, Z_FINISH) == Z_STREAM_END) {
			buf_added(out, n - z.avail_out);
			rc = 0;
		} else
			errno = ENOMEM;
	}
	(void)deflateEnd(&z);
	return rc;
}

static int
put_base64(struct buf *out, const struct buf *in)
{
	char line[B64_LEN(B64_LINE) + 3];
	size_t at, n, len;

	for (at = 0; at < buf_len(in); at += n) {
		n = buf_len(in) - at < B64_LINE ? buf_len(in) - at : B64_LINE;
		len = b64_encode(line, buf_ptr(in) + at, n);
		memcpy(line + len, "\r\n", 2);
		if (buf_put(out, line, len + 2) == -1)
			return -1;
	}
	return 0;
}

/* RFC 5322, 3.3, in UTC. */
static void
date_text(char *out, size_t outsz, uint64_t when)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {
	    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	const time_t t = (time_t)when;
	struct tm tm;

	(void)gmtime_r(&t, &tm);
	(void)snprintf(out, outsz, "%s, %d %s %d %02d:%02d:%02d +0000", days[tm.tm_wday % 7],
	    tm.tm_mday, months[tm.tm_mon % 12], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
	    tm.tm_sec);
}

static int
put_head(const struct report *r, const char *boundary, struct buf *out)
{
	char date[TIME_TEXT], id[400];
	size_t i;

	date_text(date, sizeof date, r->now);
	(void)report_id(r, id, sizeof id);
	if (buf_printf(out, "From: <%s>\r\nTo: ", r->from) == -1)
		return -1;
	for (i = 0; i < r->to->n; i++)
		if (buf_printf(out, "%s<%s>", i > 0 ? ",\r\n\t" : "", r->to->v[i]) == -1)
			return -1;
	/* RFC 8689, 5: that TLS does not work there is just what it may be about. */
	return buf_printf(out,
	    "\r\n"
	    "Subject: Report Domain: %s\r\n"
	    "\tSubmitter: %s\r\n"
	    "\tReport-ID: %s\r\n"
	    "Date: %s\r\n"
	    "Message-ID: %s\r\n"
	    "TLS-Report-Domain: %s\r\n"
	    "TLS-Report-Submitter: %s\r\n"
	    "TLS-Required: No\r\n"
	    "Auto-Submitted: auto-generated\r\n"
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=tlsrpt;\r\n"
	    "\tboundary=\"%s\"\r\n"
	    "\r\n",
	    r->day->domain, r->hostname, id, date, id, r->day->domain, r->hostname, boundary);
}

static int
put_parts(const struct report *r, const char *boundary, const struct buf *gz, struct buf *out)
{
	char from[TIME_TEXT], to[TIME_TEXT];
	uint64_t good, failed;

	time_text(from, sizeof from, begin_of(r));
	time_text(to, sizeof to, end_of(r));
	day_sum(r->day, &good, &failed);
	if (buf_printf(out,
		"--%s\r\n"
		"Content-Type: text/plain; charset=us-ascii\r\n"
		"\r\n"
		"This is a report about TLS (RFC 8460) of mail that %s\r\n"
		"sent to %s,\r\n"
		"from %s to %s.\r\n"
		"\r\n"
		"Sessions with TLS as it should be: %llu\r\n"
		"Sessions that failed: %llu\r\n"
		"\r\n"
		"--%s\r\n"
		"Content-Type: application/tlsrpt+gzip\r\n"
		"Content-Transfer-Encoding: base64\r\n"
		"Content-Disposition: attachment;\r\n"
		"\tfilename=\"%s!%s!%llu!%llu!%016llx.json.gz\"\r\n"
		"\r\n",
		boundary, r->hostname, r->day->domain, from, to, (unsigned long long)good,
		(unsigned long long)failed, boundary, r->hostname, r->day->domain,
		(unsigned long long)begin_of(r), (unsigned long long)end_of(r),
		(unsigned long long)r->day->id) == -1 ||
	    put_base64(out, gz) == -1)
		return -1;
	return buf_printf(out, "--%s--\r\n", boundary);
}

int
report_mail(const struct report *r, struct buf *out)
{
	struct buf json, gz;
	char boundary[64];
	int rc = -1;

	buf_init(&json, 1024 * 1024);
	buf_init(&gz, REPORT_MAX);
	/* "=_" is in no base64, nor in what else stands there. */
	(void)snprintf(
	    boundary, sizeof boundary, "=_%016llx_%u", (unsigned long long)r->day->id, r->day->day);
	if (report_json(r, &json) == 0 && compress_to(&json, &gz) == 0 &&
	    put_head(r, boundary, out) == 0 && put_parts(r, boundary, &gz, out) == 0)
		rc = 0;
	buf_free(&json);
	buf_free(&gz);
	return rc;
}
