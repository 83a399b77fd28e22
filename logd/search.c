/* What a search wants of a single event. */
#include <ctype.h>
#include <string.h>

#include "logd/archive.h"

static int
same(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/*
 * The set behind "[", up to its "]".  Returns what follows it, or NULL: it has no end, and the
 * bracket means itself.
 */
static const char *
set_end(const char *p)
{
	if (*p == '!' || *p == '^')
		p++;
	if (*p == ']')
		p++;
	p = strchr(p, ']');
	return p != NULL ? p + 1 : NULL;
}

static int
in_set(const char *p, const char *end, char c)
{
	int negated = *p == '!' || *p == '^', found = 0;
	char low;

	c = (char)tolower((unsigned char)c);
	for (p += negated; p < end - 1; p++) {
		low = (char)tolower((unsigned char)*p);
		if (p[1] == '-' && p + 2 < end - 1) {
			found |= c >= low && c <= (char)tolower((unsigned char)p[2]);
			p += 2;
		} else
			found |= c == low;
	}
	return found != negated;
}

/* One octet of the text; *next receives the rest of the pattern. */
static int
one(const char *p, char c, const char **next)
{
	const char *end;

	*next = p + 1;
	if (*p == '?')
		return 1;
	if (*p == '[' && (end = set_end(p + 1)) != NULL) {
		*next = end;
		return in_set(p + 1, end, c);
	}
	if (*p == '\\' && p[1] != '\0') {
		*next = p + 2;
		return same(p[1], c);
	}
	return same(*p, c);
}

int
search_glob(const char *pattern, const char *text)
{
	const char *p = pattern, *s = text, *star = NULL, *back = NULL, *next;

	/* A later star leaves nothing to an earlier one, so only the last needs another try. */
	while (*s != '\0') {
		if (*p == '*') {
			star = ++p;
			back = s;
		} else if (*p != '\0' && one(p, *s, &next)) {
			p = next;
			s++;
		} else if (star != NULL) {
			p = star;
			s = ++back;
		} else
			return 0;
	}
	return p[strspn(p, "*")] == '\0';
}

static int
fits(const char *pattern, const char *s)
{
	return pattern[0] == '\0' || search_glob(pattern, s);
}

/* "name[address]" as a whole, or one of the two. */
static int
client_fits(const char *pattern, const char *client)
{
	const char *open = strrchr(client, '[');
	char part[321];
	size_t n;

	if (fits(pattern, client))
		return 1;
	if (open == NULL || (n = strlen(client)) >= sizeof part || client[n - 1] != ']')
		return 0;
	memcpy(part, client, n);
	part[open - client] = part[n - 1] = '\0';
	return search_glob(pattern, part) || search_glob(pattern, part + (open - client) + 1);
}

/* A Message-ID with its angle brackets or without. */
static int
msgid_fits(const char *pattern, const char *id)
{
	char bare[256];
	size_t n = strlen(id);

	if (fits(pattern, id))
		return 1;
	if (n < 2 || n > sizeof bare || id[0] != '<' || id[n - 1] != '>')
		return pattern[0] == '<' && n > 0 && strlen(pattern) == n + 2 &&
		       strncasecmp(pattern + 1, id, n) == 0;
	memcpy(bare, id + 1, n - 2);
	bare[n - 2] = '\0';
	return search_glob(pattern, bare);
}

static int
has_sender(const struct log_event *e)
{
	return e->kind == EV_QUEUED || e->kind == EV_REJECT || e->kind == EV_EXPIRED ||
	       e->kind == EV_DELIVERY;
}

/* The empty sender is searched for as it is written. */
static int
sender_fits(const char *pattern, const struct log_event *e)
{
	if (strcmp(pattern, "<>") == 0)
		return e->sender[0] == '\0' && has_sender(e);
	return fits(pattern, e->sender);
}

int
search_fits(const struct log_search_req *q, const struct log_event *e)
{
	if (q->kinds != 0 && (q->kinds & 1U << e->kind) == 0)
		return 0;
	if (q->status != ES_NONE && e->status != q->status)
		return 0;
	if (e->when < q->since || (q->until != 0 && e->when >= q->until))
		return 0;
	if (q->tx[0] != '\0' && strcasecmp(q->tx, e->tx) != 0 && strcasecmp(q->tx, e->qid) != 0)
		return 0;
	if (q->tenant[0] != '\0' && strcmp(q->tenant, e->tenant) != 0)
		return 0;
	return sender_fits(q->sender, e) && fits(q->rcpt, e->rcpt) &&
	       (q->client[0] == '\0' || client_fits(q->client, e->client)) &&
	       msgid_fits(q->msgid, e->msgid);
}
