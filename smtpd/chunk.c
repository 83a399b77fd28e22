/* BDAT, without a connection: its arguments, and what its octets are as text. */
#include "smtpd/chunk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/dots.h"

#define DIGITS_MAX 20 /* of chunk-size, RFC 3030, 2 */

int
chunk_parse(const char *args, uint64_t *size, int *last)
{
	size_t n = strspn(args, "0123456789");

	if (n == 0 || n > DIGITS_MAX)
		return -1;
	errno = 0;
	*size = strtoull(args, NULL, 10);
	if (errno != 0)
		return -1;
	args += n;
	*last = 0;
	if (*args == '\0')
		return 0;
	if (*args != ' ')
		return -1;
	args += strspn(args, " ");
	*last = strcasecmp(args, "LAST") == 0;
	return *last || *args == '\0' ? 0 : -1;
}

/* Octets of a line, its end not among them. */
static void
count(struct chunk *c, size_t n)
{
	c->line += n;
	if (c->line > c->longest)
		c->longest = c->line;
}

void
chunk_lines(struct chunk *c, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n, *lf, *at;

	/* From the first bad octet on it is lost, and not looked at any more. */
	while (p < end && c->flags == 0) {
		if (c->cr) {
			c->cr = 0;
			if (*p++ == '\n')
				c->line = 0;
			else
				c->flags |= DOTS_BARE_CR;
			continue;
		}
		lf = memchr(p, '\n', (size_t)(end - p));
		at = memchr(p, '\r', (size_t)((lf != NULL ? lf : end) - p));
		if (at == NULL)
			at = lf != NULL ? lf : end;
		count(c, (size_t)(at - p));
		p = at;
		if (p == end)
			break;
		if (*p++ == '\r')
			c->cr = 1;
		else
			c->flags |= DOTS_BARE_LF;
	}
}

void
chunk_lines_end(struct chunk *c)
{
	if (c->cr)
		c->flags |= DOTS_BARE_CR;
}

int
chunk_is_whole(const struct chunk *c)
{
	return c->line == 0 && !c->cr;
}
