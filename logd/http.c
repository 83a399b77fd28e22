#include "logd/http.h"

#include <string.h>
#include <strings.h>

struct text {
	const char *p;
	size_t n;
};

static int
is(struct text t, const char *word)
{
	return t.n == strlen(word) && memcmp(t.p, word, t.n) == 0;
}

/* RFC 9110, 5.6.2 */
static int
is_token(struct text t)
{
	static const char chars[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t i;

	for (i = 0; i < t.n; i++)
		if (t.p[i] == '\0' || strchr(chars, t.p[i]) == NULL)
			return 0;
	return t.n > 0;
}

/* Up to c, which is taken too; the rest stays in t. 0 when there is no c. */
static int
take(struct text *t, char c, struct text *word)
{
	const char *at = memchr(t->p, c, t->n);

	if (at == NULL)
		return 0;
	*word = (struct text){t->p, (size_t)(at - t->p)};
	t->n -= word->n + 1;
	t->p = at + 1;
	return 1;
}

static int
is_printable(struct text t)
{
	size_t i;

	for (i = 0; i < t.n; i++)
		if (t.p[i] <= ' ' || t.p[i] > '~')
			return 0;
	return 1;
}

/* "GET /metrics HTTP/1.1". 0, or the status that refuses it. */
static unsigned
request_line(struct text line, int *head, int *minor)
{
	struct text method, target, path;

	if (!take(&line, ' ', &method) || !take(&line, ' ', &target) || !is_token(method) ||
	    target.n == 0 || !is_printable(target))
		return 400;
	if (line.n != 8 || memcmp(line.p, "HTTP/", 5) != 0)
		return 400;
	if (memcmp(line.p + 5, "1.", 2) != 0 || (line.p[7] != '0' && line.p[7] != '1'))
		return 505;
	*minor = line.p[7] - '0';
	*head = is(method, "HEAD");
	if (!*head && !is(method, "GET"))
		return 405;
	if (!take(&target, '?', &path))
		path = target;
	return is(path, "/metrics") ? 0 : 404;
}

/* 0, or the status that refuses it. */
static unsigned
field(struct text line, unsigned *hosts)
{
	struct text name;
	size_t i;

	/* A blank at the front would be a folded line (RFC 9112, 5.2). */
	if (!take(&line, ':', &name) || !is_token(name))
		return 400;
	for (i = 0; i < line.n; i++)
		if ((line.p[i] >= 0 && line.p[i] < ' ' && line.p[i] != '\t') || line.p[i] == 127)
			return 400;
	if (name.n == 4 && strncasecmp(name.p, "Host", 4) == 0)
		++*hosts;
	/* A request for figures has no body, and what is not read cannot be misunderstood. */
	if (name.n == 17 && strncasecmp(name.p, "Transfer-Encoding", 17) == 0)
		return 400;
	if (name.n == 14 && strncasecmp(name.p, "Content-Length", 14) == 0) {
		while (line.n > 0 && (*line.p == ' ' || *line.p == '\t')) {
			line.p++;
			line.n--;
		}
		return is(line, "0") ? 0 : 400;
	}
	return 0;
}

/* The next line, without its CRLF. 1; 0: it is not whole; -1: a line end that is none. */
static int
next_line(struct text *t, struct text *line)
{
	const char *lf = memchr(t->p, '\n', t->n);
	size_t n = lf != NULL ? (size_t)(lf - t->p) : t->n;

	/* Inside, or as the last octet when the LF is still to come. */
	if (n > 1 && memchr(t->p, '\r', n - 1) != NULL)
		return -1;
	if (lf == NULL)
		return 0;
	if (n == 0 || t->p[n - 1] != '\r')
		return -1;
	*line = (struct text){t->p, n - 1};
	t->p += n + 1;
	t->n -= n + 1;
	return 1;
}

enum http_status
http_request(const uint8_t *p, size_t n, unsigned *code)
{
	struct text rest = {(const char *)p, n < HTTP_REQUEST_MAX ? n : HTTP_REQUEST_MAX}, line;
	unsigned lines, hosts = 0, refused = 0, status;
	int head = 0, minor = 0, rc = 0;

	*code = 400;
	for (lines = 0; (rc = next_line(&rest, &line)) == 1; lines++) {
		if (lines > 0 && line.n == 0)
			break;
		status = lines == 0 ? request_line(line, &head, &minor) : field(line, &hosts);
		/* What is malformed goes before what is refused. */
		if (status == 400)
			return HTTP_BAD;
		if (refused == 0)
			refused = status;
	}
	if (rc == -1)
		return HTTP_BAD;
	if (rc == 0) {
		*code = 431;
		return n >= HTTP_REQUEST_MAX ? HTTP_BAD : HTTP_MORE;
	}
	if (refused == 0 && minor == 1 && hosts != 1)
		refused = 400;
	if (refused != 0) {
		*code = refused;
		return HTTP_BAD;
	}
	return head ? HTTP_HEAD : HTTP_GET;
}

const char *
http_reason(unsigned code)
{
	switch (code) {
	case 200:
		return "OK";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 431:
		return "Request Header Fields Too Large";
	case 503:
		return "Service Unavailable";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Bad Request";
	}
}
