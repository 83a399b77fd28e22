/* A hostile scraper: what comes in pieces ends as it does at once, and never before its end. */
#include <stdlib.h>
#include <string.h>

#include "logd/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	unsigned code, early_code;
	enum http_status s, early = HTTP_MORE;
	uint8_t *copy;
	size_t i;

	if (n > 2 * HTTP_REQUEST_MAX)
		n = 2 * HTTP_REQUEST_MAX;
	/* Exactly as long, so that one octet further is seen. */
	if ((copy = calloc(1, n > 0 ? n : 1)) == NULL)
		abort();
	if (n > 0)
		memcpy(copy, p, n);
	s = http_request(copy, n, &code);
	if (s == HTTP_BAD && strcmp(http_reason(code), "OK") == 0)
		abort();
	if (n >= HTTP_REQUEST_MAX && s == HTTP_MORE)
		abort();
	for (i = 0; i < n && early == HTTP_MORE; i++)
		early = http_request(copy, i, &early_code);
	if (early != HTTP_MORE && early != s)
		abort();
	free(copy);
	return 0;
}
