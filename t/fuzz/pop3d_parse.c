/* Lines of POP3: nothing outside the line is pointed to, and numbers read are the numbers sent. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pop3d/maildrop.h"
#include "pop3d/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
must(int ok)
{
	if (!ok)
		abort();
}

static void
command(const char *line)
{
	char text[NUMBERS_MAX * 24 + 8] = "X";
	struct args a, b;
	size_t word = parse_command(&a, line), n = 1;
	unsigned i;

	must(word <= strlen(line) && memchr(line, ' ', word) == NULL);
	must(line[word] == ' ' ? a.all == line + word + 1 : a.all == line + strlen(line));
	if (parse_numbers(&a) == -1)
		return;
	must(a.n <= NUMBERS_MAX && a.all[strspn(a.all, " 0123456789")] == '\0');
	/* What goes to the peer is made of these. */
	for (i = 0; i < a.n; i++) {
		must(a.v[i] / 10 <= UINT32_MAX);
		n += (size_t)snprintf(text + n, sizeof text - n, " %" PRIu64, a.v[i]);
	}
	must(parse_command(&b, text) == 1 && parse_numbers(&b) == 0 && a.n == b.n);
	for (i = 0; i < a.n; i++)
		must(a.v[i] == b.v[i]);
}

/* What goes ahead of its turn is what the line says in its turn. */
static void
retr(const uint8_t *p, size_t n)
{
	char line[RETR_LINE_MAX + 1];
	uint64_t number = 0;
	size_t used = parse_retr(&number, p, n);
	struct args a;

	must(used <= n && used <= RETR_LINE_MAX && (used > 0) == (number > 0));
	if (used == 0)
		return;
	must(memchr(p, '\n', n) == p + used - 1 && p[used - 2] == '\r');
	memcpy(line, p, used - 2);
	line[used - 2] = '\0';
	must(strlen(line) == used - 2 && parse_command(&a, line) == 4);
	must(parse_numbers(&a) == 0 && a.n == 1 && a.v[0] == number);
}

/* A line says one thing at most, and says it again when it comes again. */
static void
capability(const char *line)
{
	struct capabilities c = {0}, before;

	parse_capability(&c, line);
	must(c.user + (c.mechs != 0) + c.uidl + c.auth_codes + c.pipelining <= 1);
	before = c;
	parse_capability(&c, line);
	must(c.user == before.user && c.mechs == before.mechs && c.uidl == before.uidl &&
	     c.auth_codes == before.auth_codes && c.pipelining == before.pipelining);
}

/* Listings of the peer: a slot that comes of a line bears the line's number. */
static void
listing(const char *line)
{
	static const struct proxy_route route;
	struct maildrop *d = maildrop_new(&route, "", "alice");
	uint64_t last = 0;
	struct slot *x;

	if (d == NULL)
		return;
	if ((x = maildrop_uidl_line(d, line, &last)) != NULL)
		must(x->number == strtoull(line, NULL, 10) && last == x->number);
	last = 0;
	if ((x = maildrop_list_line(d, line, &last)) != NULL) {
		must(x->number == strtoull(line, NULL, 10) && last == x->number);
		must(maildrop_list_line(d, line, &last) == NULL); /* they rise */
		must(maildrop_slot(d, last) != NULL && d->n == 1);
	}
	maildrop_free(d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *line = malloc(n + 1);

	if (line == NULL)
		return 0;
	memcpy(line, data, n);
	line[n] = '\0';
	command(line);
	retr((uint8_t *)line, n);
	capability(line);
	listing(line);
	free(line);
	return 0;
}
