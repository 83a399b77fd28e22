/* A hostile server's HTTP, 1.0 and 1.1: at once and in pieces it says the same; then as a URL. */
#include <stdlib.h>
#include <string.h>

#include "keyd/keyd.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static enum http_status
play(struct http *h, const uint8_t *p, size_t n, size_t step, int chunks)
{
	enum http_status s = HTTP_MORE;
	size_t from = 0, to = 0, used;
	struct err e;

	http_init(h, OCSP_DER_MAX, chunks ? "text/plain" : NULL, chunks);
	while (s == HTTP_MORE && to < n) {
		to = n - to < step ? n : to + step;
		s = http_take(h, p + from, to - from, &used, &e);
		if (used > to - from || buf_len(&h->body) > OCSP_DER_MAX ||
		    (s == HTTP_MORE && to - from - used > HTTP_LINE_MAX + 2))
			abort();
		from += used;
	}
	return s == HTTP_MORE ? http_end(h, &e) : s;
}

static void
both(const uint8_t *p, size_t n, int chunks)
{
	enum http_status at_once, pieces;
	struct http a, b;

	at_once = play(&a, p, n, n + 1, chunks);
	pieces = play(&b, p, n, 7, chunks);
	if (at_once != pieces)
		abort();
	if (at_once == HTTP_DONE &&
	    (buf_len(&a.body) != buf_len(&b.body) ||
		memcmp(buf_ptr(&a.body), buf_ptr(&b.body), buf_len(&a.body)) != 0))
		abort();
	http_free(&a);
	http_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct url u;
	struct err e;

	both(p, n, 0);
	both(p, n, 1);
	if (url_parse(p, n, &u, &e) == 0 && (u.host[0] == '\0' || u.port == 0 || u.path[0] != '/' ||
						strpbrk(u.path, "\r\n ") != NULL))
		abort();
	return 0;
}
