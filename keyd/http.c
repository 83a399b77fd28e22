#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "keyd/keyd.h"

#define STATUS_OK 200
#define CHUNK_DIGITS 8

void
http_init(struct http *h, size_t max, const char *type, int chunks)
{
	memset(h, 0, sizeof *h);
	line_init(&h->line, HTTP_LINE_MAX);
	buf_init(&h->body, max);
	h->type = type;
	h->chunks = chunks;
}

void
http_free(struct http *h)
{
	line_free(&h->line);
	buf_free(&h->body);
}

static int
too_large(const struct http *h, struct err *e)
{
	return err_set(e, EMSGSIZE, "the answer has more than %zu octets", h->body.max);
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
	/* RFC 9110, 15.2: what is to come before the answer. 101 changes the protocol. */
	if (h->status == STATUS_OK ||
	    (h->chunks && h->status >= 100 && h->status < 200 && h->status != 101))
		return 0;
	return err_set(e, EPROTO, "HTTP status %d", h->status);
}

static int
take_length(struct http *h, const char *s, struct err *e)
{
	size_t n = 0, i;

	for (i = 0; s[i] >= '0' && s[i] <= '9'; i++)
		if ((n = n * 10 + (size_t)(s[i] - '0')) > h->body.max)
			return too_large(h, e);
	if (i == 0 || s[i + strspn(s + i, " \t")] != '\0' || h->has_length)
		return err_set(e, EBADMSG, "the answer does not say one length");
	h->length = n;
	h->has_length = 1;
	return 0;
}

/* RFC 9112, 6.1: with HTTP/1.1 the answer may come in chunks, and in nothing else. */
static int
take_encoding(struct http *h, const char *s, struct err *e)
{
	if (!h->chunks || h->chunked || strcasecmp(s, "chunked") != 0)
		return err_set(e, EPROTO, "the answer is encoded in a way that was not asked for");
	h->chunked = 1;
	return 0;
}

/* "text/plain", "text/plain; charset=utf-8" */
static int
is_type(const char *value, const char *type)
{
	size_t n = strlen(type);

	return strncasecmp(value, type, n) == 0 &&
	       (value[n] == '\0' || strchr("; \t", value[n]) != NULL);
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
	if (n == 17 && strncasecmp(s, "Transfer-Encoding", n) == 0)
		return take_encoding(h, value, e);
	/* We did not ask for any. */
	if (n == 16 && strncasecmp(s, "Content-Encoding", n) == 0 &&
	    strcasecmp(value, "identity") != 0)
		return err_set(e, EPROTO, "the answer is encoded in a way that was not asked for");
	if (n == 12 && h->type != NULL && strncasecmp(s, "Content-Type", n) == 0 &&
	    !is_type(value, h->type))
		return err_set(e, EPROTO, "the answer is not %s", h->type);
	h->typed |= n == 12 && strncasecmp(s, "Content-Type", n) == 0;
	return 0;
}

static int
end_head(struct http *h, struct err *e)
{
	if (h->status != STATUS_OK) {
		h->status = 0;
		h->has_length = h->chunked = h->typed = 0;
		return 0;
	}
	if (h->type != NULL && !h->typed)
		return err_set(e, EPROTO, "the answer does not say that it is %s", h->type);
	/* RFC 9112, 6.3: somebody means to smuggle. */
	if (h->chunked && h->has_length)
		return err_set(e, EBADMSG, "the answer has a length and chunks");
	h->at = h->chunked ? HTTP_IN_SIZE : HTTP_IN_BODY;
	return 0;
}

/* RFC 9112, 7.1: "1a", with extensions behind ";". */
static int
take_size(struct http *h, const char *s, struct err *e)
{
	size_t i, n = strspn(s, "0123456789abcdefABCDEF");

	h->length = 0;
	for (i = 0; i < n && i < CHUNK_DIGITS; i++)
		h->length =
		    h->length * 16 + (size_t)(isdigit((unsigned char)s[i])
						  ? s[i] - '0'
						  : tolower((unsigned char)s[i]) - 'a' + 10);
	if (n == 0 || n > CHUNK_DIGITS || (s[n] != '\0' && strchr("; \t", s[n]) == NULL))
		return err_set(e, EBADMSG, "a malformed chunk");
	if (h->length > h->body.max - buf_len(&h->body))
		return too_large(h, e);
	h->at = h->length > 0 ? HTTP_IN_CHUNK : HTTP_IN_TRAILER;
	return 0;
}

static int
take_line(struct http *h, struct err *e)
{
	if ((h->line.flags & (LINE_NUL | LINE_BARE_CR)) != 0)
		return err_set(e, EBADMSG, "a malformed HTTP header");
	switch (h->at) {
	case HTTP_IN_SIZE:
		return take_size(h, h->line.text, e);
	case HTTP_BEHIND_CHUNK:
		if (h->line.len > 0)
			return err_set(e, EBADMSG, "a malformed chunk");
		h->at = HTTP_IN_SIZE;
		return 0;
	case HTTP_IN_TRAILER:
		if (h->line.len == 0)
			h->at = HTTP_AT_END;
		return 0;
	default:
		break;
	}
	if (h->status == 0)
		return take_status(h, h->line.text, e);
	return h->line.len == 0 ? end_head(h, e) : take_field(h, h->line.text, e);
}

static enum http_status
too_long(struct err *e)
{
	(void)err_set(e, EMSGSIZE, "the HTTP header is too long");
	return HTTP_BAD;
}

/* One line; HTTP_DONE when it was taken. */
static enum http_status
next_line(struct http *h, const uint8_t *p, size_t n, size_t *used, struct err *e)
{
	size_t got;

	switch (line_next(&h->line, p + *used, n - *used, &got)) {
	case LINE_MORE:
		*used += got;
		return h->line.skipped > 0 ? too_long(e) : HTTP_MORE;
	case LINE_OK:
		*used += got;
		h->lines += got;
		break;
	default:
		return too_long(e);
	}
	if (h->lines > HTTP_HEAD_MAX)
		return too_long(e);
	return take_line(h, e) == 0 ? HTTP_DONE : HTTP_BAD;
}

/* Octets of the body. */
static int
take_octets(struct http *h, const uint8_t *p, size_t n, size_t *used, struct err *e)
{
	int counted = h->at == HTTP_IN_CHUNK || h->has_length;
	size_t take = n - *used;

	if (counted && take > h->length)
		take = h->length;
	if (buf_put(&h->body, p + *used, take) == -1) {
		if (errno == EMSGSIZE)
			return too_large(h, e);
		return err_set(e, errno, "no memory for the answer");
	}
	*used += take;
	h->length -= counted ? take : 0;
	if (counted && h->length == 0)
		h->at = h->at == HTTP_IN_CHUNK ? HTTP_BEHIND_CHUNK : HTTP_AT_END;
	return 0;
}

enum http_status
http_take(struct http *h, const uint8_t *p, size_t n, size_t *used, struct err *e)
{
	enum http_status s;

	*used = 0;
	while (h->at != HTTP_AT_END) {
		if (h->at == HTTP_IN_BODY || h->at == HTTP_IN_CHUNK) {
			if (take_octets(h, p, n, used, e) == -1)
				return HTTP_BAD;
			if (*used == n && h->at != HTTP_AT_END)
				return HTTP_MORE;
		} else if ((s = next_line(h, p, n, used, e)) != HTTP_DONE)
			return s;
	}
	return HTTP_DONE;
}

enum http_status
http_end(struct http *h, struct err *e)
{
	if (h->at == HTTP_AT_END || (h->at == HTTP_IN_BODY && !h->has_length))
		return HTTP_DONE;
	(void)err_set(e, ECONNRESET, "the answer ended too early");
	return HTTP_BAD;
}
