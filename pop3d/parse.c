/* Lines of clients and of the peer's CAPA, taken apart. */
#include "pop3d/parse.h"

#include <string.h>
#include <strings.h>

#include "proxy/sasl.h"

size_t
parse_command(struct args *a, const char *line)
{
	size_t word = strcspn(line, " ");

	memset(a, 0, sizeof *a);
	a->all = line + word + (line[word] == ' ');
	return word;
}

int
parse_numbers(struct args *a)
{
	const char *p = a->all;
	uint64_t v;

	a->n = 0;
	while (*p != '\0') {
		if (a->n == NUMBERS_MAX || *p < '0' || *p > '9')
			return -1;
		for (v = 0; *p >= '0' && *p <= '9'; p++) {
			if (v > UINT32_MAX)
				return -1;
			v = v * 10 + (uint64_t)(*p - '0');
		}
		a->v[a->n++] = v;
		if (*p != ' ' && *p != '\0')
			return -1;
		p += strspn(p, " ");
	}
	return 0;
}

size_t
parse_retr(uint64_t *number, const uint8_t *p, size_t n)
{
	char line[RETR_LINE_MAX];
	const uint8_t *lf = memchr(p, '\n', n < sizeof line ? n : sizeof line);
	struct args a;
	size_t len;

	if (lf == NULL || lf == p || lf[-1] != '\r')
		return 0;
	len = (size_t)(lf - p) - 1;
	memcpy(line, p, len);
	line[len] = '\0';
	if (strlen(line) != len || parse_command(&a, line) != 4 ||
	    strncasecmp(line, "RETR", 4) != 0 || parse_numbers(&a) == -1 || a.n != 1 || a.v[0] == 0)
		return 0;
	*number = a.v[0];
	return len + 2;
}

/* The mechanisms among the words of a line. */
static unsigned
mechanisms(const char *p)
{
	unsigned found = 0;
	size_t n;
	int m;

	for (p += strspn(p, " "); *p != '\0'; p += n, p += strspn(p, " ")) {
		n = strcspn(p, " ");
		if ((m = sasl_mech_find(p, n)) != -1)
			found |= 1u << m;
	}
	return found;
}

void
parse_capability(struct capabilities *c, const char *line)
{
	size_t n = strcspn(line, " ");

	if (n == 4 && strncasecmp(line, "USER", n) == 0)
		c->user = true;
	else if (n == 4 && strncasecmp(line, "SASL", n) == 0)
		c->mechs = mechanisms(line + n);
	else if (n == 4 && strncasecmp(line, "UIDL", n) == 0)
		c->uidl = true;
	else if (n == 14 && strncasecmp(line, "AUTH-RESP-CODE", n) == 0)
		c->auth_codes = true;
	else if (n == 10 && strncasecmp(line, "PIPELINING", n) == 0)
		c->pipelining = true;
	else if (n == 4 && strncasecmp(line, "STLS", n) == 0)
		c->stls = true;
}
