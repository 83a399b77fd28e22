#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "keyd/keyd.h"

void
http_init(struct http *h)
{
	memset(h, 0, sizeof *h);
	line_init(&h->line, HTTP_LINE_MAX);
	buf_init(&h->body, OCSP_DER_MAX);
}

void
http_free(struct http *h)
{
	line_free(&h->line);
	buf_free(&h->body);
}

/* "HTTP/1.1 200 OK" */
static int
take_status(struct http *h, const char *s, struct err *e)
{
	static const char version[] = "HTTP/1.";
	const size_t v = sizeof version - 1;
	size_t i;

	if (strncmp(s, version, v) != 0 || !isdigit((unsigned char)s[v]) || s[v + 1] != ' ')
		return err_set(e, EBADMSG, "what answers does not speak HTTP");
	for (s += v + 2, i = 0; i < 3; i++) {
		if (s[i] < '0' || s[i] > '9')
			return err_set(e, EBADMSG, "HTTP status without a number");
		h->status = h->status * 10 + (s[i] - '0');
	}
	if (s[3] != '\0' && s[3] != ' ')
		return err_set(e, EBADMSG, "HTTP status without a number");
	if (h->status >= 300 && h->status < 400)
		return err_set(
		    e, EPROTO, "HTTP status %d, a redirection, which is not followed", h->status);
	if (h->status != 200)
		return err_set(e, EPROTO, "HTTP status %d", h->status);
	return 0;
}

static int
take_length(struct http *h, const char *s, struct err *e)
{
	size_t n = 0, i;

	for (i = 0; s[i] >= '0' && s[i] <= '9'; i++)
		if ((n = n * 10 + (size_t)(s[i] - '0')) > OCSP_DER_MAX)
			return err_set(
			    e, EMSGSIZE, "the answer has more than %d octets", OCSP_DER_MAX);
	if (i == 0 || s[i + strspn(s + i, " \t")] != '\0' || h->has_length)
		return err_set(e, EBADMSG, "the answer does not say one length");
	h->length = n;
	h->has_length = 1;
	return 0;
}

static int
take_field(struct http *h, const char *s, struct err *e)
{
	size_t n = strcspn(s, ":");
	const char *value = s + n + 1;

	if (n == 0 || s[n] != ':' || strcspn(s, " \t") < n)
		return err_set(e, EBADMSG, "a malformed HTTP header");
	value += strspn(value, " \t");
	if (n == 14 && strncasecmp(s, "Content-Length", n) == 0)
		return take_length(h, value, e);
	/* Nobody may answer a request of HTTP/1.0 like that (RFC 9112, 6.1), nor did we ask for it.
	 */
	if ((n == 17 && strncasecmp(s, "Transfer-Encoding", n) == 0) ||
	    (n == 16 && strncasecmp(s, "Content-Encoding", n) == 0 &&
		strcasecmp(value, "identity") != 0))
		return err_set(e, EPROTO, "the answer is encoded in a way that was not asked for");
	return 0;
}

static int
take_line(struct http *h, struct err *e)
{
	if ((h->line.flags & (LINE_NUL | LINE_BARE_CR)) != 0)
		return err_set(e, EBADMSG, "a malformed HTTP header");
	if (h->status == 0)
		return take_status(h, h->line.text, e);
	if (h->line.len == 0) {
		h->in_body = 1;
		return 0;
	}
	return take_field(h, h->line.text, e);
}

static enum http_status
too_long(struct err *e)
{
	(void)err_set(e, EMSGSIZE, "the HTTP header is too long");
	return HTTP_BAD;
}

static enum http_status
take_head(struct http *h, const uint8_t *p, size_t n, size_t *used, struct err *e)
{
	size_t got;

	while (!h->in_body) {
		switch (line_next(&h->line, p + *used, n - *used, &got)) {
		case LINE_MORE:
			*used += got;
			if (h->line.skipped > 0)
				return too_long(e);
			return HTTP_MORE;
		case LINE_OK:
			*used += got;
			h->head += got;
			break;
		default:
			return too_long(e);
		}
		if (h->head > HTTP_HEAD_MAX)
			return too_long(e);
		if (take_line(h, e) == -1)
			return HTTP_BAD;
	}
	return HTTP_DONE;
}

enum http_status
http_take(struct http *h, const uint8_t *p, size_t n, size_t *used, struct err *e)
{
	enum http_status s = HTTP_DONE;
	size_t take;

	*used = 0;
	if (!h->in_body && (s = take_head(h, p, n, used, e)) != HTTP_DONE)
		return s;
	take = n - *used;
	if (h->has_length && take > h->length - buf_len(&h->body))
		take = h->length - buf_len(&h->body);
	if (buf_put(&h->body, p + *used, take) == -1) {
		(void)err_set(e, errno,
		    errno == EMSGSIZE ? "the answer has more than %d octets"
				      : "no memory for an answer of %d octets",
		    OCSP_DER_MAX);
		return HTTP_BAD;
	}
	*used += take;
	return h->has_length && buf_len(&h->body) == h->length ? HTTP_DONE : HTTP_MORE;
}

enum http_status
http_end(struct http *h, struct err *e)
{
	if (h->in_body && !h->has_length)
		return HTTP_DONE;
	(void)err_set(e, ECONNRESET, "the answer ended too early");
	return HTTP_BAD;
}
