/* What a header asks of its deliveries. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "deliverd/job_int.h"

static const char field[] = "TLS-Required:";

/* "No", in any case, with white space around it. */
static bool
says_no(const uint8_t *p, size_t n)
{
	while (n > 0 && (*p == ' ' || *p == '\t')) {
		p++;
		n--;
	}
	if (n < 2 || strncasecmp((const char *)p, "no", 2) != 0)
		return false;
	for (p += 2, n -= 2; n > 0; p++, n--)
		if (*p != ' ' && *p != '\t' && *p != '\r')
			return false;
	return true;
}

static bool
look(const uint8_t *p, size_t n)
{
	const uint8_t *end;
	size_t line;

	for (; n > 0; p += line + 1, n -= line + 1) {
		if ((end = memchr(p, '\n', n)) == NULL)
			return false;
		line = (size_t)(end - p);
		if (line == 0 || (line == 1 && p[0] == '\r'))
			return false;
		if (line >= sizeof field - 1 && (p[0] == 'T' || p[0] == 't') &&
		    strncasecmp((const char *)p, field, sizeof field - 1) == 0 &&
		    says_no(p + sizeof field - 1, line - (sizeof field - 1)))
			return true;
	}
	return false;
}

bool
job_tls_optional(const struct octets *message)
{
	size_t n = message->size < JOB_HEAD_MAX ? (size_t)message->size : JOB_HEAD_MAX;
	uint8_t *copy;
	bool found;

	if (message->mem != NULL)
		return look(message->mem, n);
	if ((copy = malloc(n + 1)) == NULL)
		return false;
	found = octets_read(message, copy, n, 0) == 0 && look(copy, n);
	free(copy);
	return found;
}
