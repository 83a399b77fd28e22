#include "mail/address.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mail/strings.h"
#include "mail/utf8.h"

#define STRINGS_MAX (4 * 1024 * 1024)

/* Octets that a dot-atom may have (RFC 5322, 3.2.3; RFC 6532, 3.2). */
static bool
is_atext(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c >= 0x80 || (c != 0 && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* May the local part stand without quotes? */
static bool
is_dot_atom(const char *s)
{
	if (*s == '\0' || *s == '.')
		return false;
	for (; *s != '\0'; s++)
		if (*s == '.' ? s[1] == '.' || s[1] == '\0' : !is_atext((uint8_t)*s))
			return false;
	return true;
}

/* A domain: labels of letters, digits, hyphens, "_" or UTF-8; or a literal in brackets. Makes
 * its ASCII letters lower case and drops a final dot. */
static bool
fix_domain(char *s)
{
	size_t n = strlen(s), i, label = 0;

	if (n == 0 || n > MAIL_DOMAIN_MAX)
		return false;
	for (i = 0; i < n; i++)
		if (s[i] >= 'A' && s[i] <= 'Z')
			s[i] |= 0x20;
	if (s[0] == '[') {
		for (i = 1; i < n - 1; i++)
			if (s[i] <= 32 || s[i] >= 127 || strchr("[]\\", s[i]) != NULL)
				return false;
		return n > 2 && s[n - 1] == ']';
	}
	if (s[n - 1] == '.')
		s[--n] = '\0';
	for (i = 0; i < n; i++) {
		uint8_t c = (uint8_t)s[i];

		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
		} else if (c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			   c == '-' || c == '_')
			label++;
		else
			return false;
	}
	return n > 0 && label > 0;
}

static bool
is_local(const char *s)
{
	size_t n = strlen(s), i;

	if (n == 0 || n > MAIL_LOCAL_MAX || !mail_utf8_valid(s, n))
		return false;
	for (i = 0; i < n; i++)
		if ((uint8_t)s[i] < 32 || s[i] == 127)
			return false;
	return true;
}

/* local and domain (both checked) as text; out holds MAIL_ADDR_MAX + 1. */
static size_t
put_addr(char *out, const char *local, const char *domain)
{
	size_t n = 0, len;
	bool quote = !is_dot_atom(local);

	if (quote)
		out[n++] = '"';
	for (; *local != '\0'; local++) {
		if (quote && (*local == '"' || *local == '\\'))
			out[n++] = '\\';
		out[n++] = *local;
	}
	if (quote)
		out[n++] = '"';
	if ((len = strlen(domain)) > 0) {
		out[n++] = '@';
		memcpy(out + n, domain, len);
		n += len;
	}
	out[n] = '\0';
	return n;
}

/* One list being parsed. */
struct list {
	const uint8_t *p, *end;
	struct mail_addrs *a;
	size_t room;
	const char *group;
	bool bad; /* the current entry is no mailbox */
	struct buf phrase, comment, local, domain;
	struct buf *words; /* phrase, or local once there was a "<" */
	bool angle, at, closed; /* seen in this entry */
	bool junk; /* text behind the address */
	bool long_phrase; /* cut: no local part, but still a display name */
	bool gap; /* white space since the last word */
	bool dot; /* a dot came last, and a word must or may join it */
	bool tail_dot; /* a dot came last */
	bool odd_dots; /* a dot at the start or end of the words, or two in a row: no local part */
	size_t natoms; /* words in the phrase */
};

/* An octet for one of the buffers; what does not fit spoils the entry. */
static int
put(struct list *s, struct buf *b, uint8_t c)
{
	if (c == 0 || (c < 32 && c != '\t') || c == 127) {
		s->bad = true;
		return 0;
	}
	if (buf_putc(b, c) == -1) {
		if (errno != EMSGSIZE)
			return -1;
		if (b == &s->phrase)
			s->long_phrase = true; /* a display name is only as long as fits */
		else
			s->bad = true;
	}
	return 0;
}

static int
parse_comment(struct list *s)
{
	size_t depth = 1;

	buf_reset(&s->comment);
	for (s->p++; s->p < s->end; s->p++) {
		uint8_t c = *s->p;

		if (c == '\\' && s->p + 1 < s->end)
			c = *++s->p;
		else if (c == '(')
			depth++;
		else if (c == ')' && --depth == 0) {
			s->p++;
			return 0;
		}
		/* only as much as fits */
		if (c != '\r' && c != '\n' &&
		    buf_putc(&s->comment, c < 32 || c == 127 ? ' ' : c) == -1 && errno != EMSGSIZE)
			return -1;
	}
	s->bad = true;
	return 0;
}

static int
parse_quoted(struct list *s, struct buf *to)
{
	for (s->p++; s->p < s->end; s->p++) {
		uint8_t c = *s->p;

		if (c == '"') {
			s->p++;
			return 0;
		}
		if (c == '\r' && s->p + 1 < s->end && s->p[1] == '\n')
			continue; /* a fold */
		if (c == '\n')
			continue;
		if (c == '\\' && s->p + 1 < s->end)
			c = *++s->p;
		if (put(s, to, c) == -1)
			return -1;
	}
	s->bad = true;
	return 0;
}

static int
parse_literal(struct list *s)
{
	struct buf *to = &s->domain;

	if (!s->at || buf_len(to) > 0)
		s->bad = true;
	for (; s->p < s->end; s->p++) {
		if (put(s, to, *s->p) == -1)
			return -1;
		if (*s->p == ']') {
			s->p++;
			return 0;
		}
	}
	s->bad = true;
	return 0;
}

static void
entry_reset(struct list *s)
{
	buf_reset(&s->phrase);
	buf_reset(&s->comment);
	buf_reset(&s->local);
	buf_reset(&s->domain);
	s->words = &s->phrase;
	s->bad = s->angle = s->at = s->closed = s->junk = s->gap = s->dot = false;
	s->tail_dot = s->odd_dots = s->long_phrase = false;
	s->natoms = 0;
}

static int
as_string(struct buf *b)
{
	int rc;

	b->max++; /* the NUL is not content */
	if ((rc = buf_putc(b, 0)) == 0)
		b->end--;
	b->max--;
	return rc;
}

/* Display text: encoded words undone, kept in the list's strings. */
static const char *
display(struct list *s, const struct buf *from)
{
	struct buf text;
	const char *kept = NULL;

	buf_init(&text, 4 * from->max + 64);
	if (buf_len(from) == 0)
		return "";
	if (mail_decode_text((struct bytes){buf_ptr(from), buf_len(from)}, &text) == 0)
		kept = mail_strings_add(s->a->strings, buf_ptr(&text), buf_len(&text));
	if (kept == NULL && errno == EMSGSIZE)
		kept = "";
	buf_free(&text);
	return kept;
}

/* Keep a mailbox whose parts are checked. */
static int
entry_keep(struct list *s, const char *local, const char *domain, const struct buf *shown)
{
	struct mail_addrs *a = s->a;
	struct mail_addr *v;
	char addr[MAIL_ADDR_MAX + 1];
	size_t n;

	if (a->n == MAIL_ADDRS_MAX) {
		a->cut = true;
		return 0;
	}
	if (a->n == s->room) {
		size_t room = s->room ? 2 * s->room : 4;

		if ((v = reallocarray(a->v, room, sizeof *v)) == NULL)
			return -1;
		a->v = v;
		s->room = room;
	}
	v = &a->v[a->n];
	n = put_addr(addr, local, domain);
	v->group = s->group;
	v->local = mail_strings_add(a->strings, local, strlen(local));
	v->domain = mail_strings_add(a->strings, domain, strlen(domain));
	v->addr = mail_strings_add(a->strings, addr, n);
	if (v->local == NULL || v->domain == NULL || v->addr == NULL) {
		if (errno != EMSGSIZE)
			return -1;
		a->cut = true;
		return 0;
	}
	if ((v->display = display(s, shown)) == NULL)
		return -1;
	a->n++;
	return 0;
}

/* A comma, semicolon, the end: what has been gathered is a mailbox, nothing, or bad. */
static int
entry_end(struct list *s)
{
	struct buf *local = s->angle ? &s->local : &s->phrase;
	const struct buf *shown = s->angle && buf_len(&s->phrase) > 0 ? &s->phrase : &s->comment;
	bool empty = !s->angle && !s->at && s->natoms == 0 && !s->bad;
	int rc = 0;

	if (!empty) {
		if (as_string(local) == -1 || as_string(&s->domain) == -1)
			return -1;
		/* several words are no local part, nor is "<" without ">" */
		if (s->bad || s->junk || s->dot || (s->odd_dots && (s->angle || s->at)) ||
		    (!s->at && s->tail_dot) || (s->angle && !s->closed) ||
		    (!s->angle && (s->natoms > 1 || s->long_phrase)) ||
		    (s->at && buf_len(&s->domain) == 0) ||
		    !mail_utf8_valid(buf_ptr(&s->domain), buf_len(&s->domain)) ||
		    !is_local((const char *)buf_ptr(local)) ||
		    (s->at && !fix_domain((char *)s->domain.data + s->domain.off)))
			s->a->bad++;
		else
			rc = entry_keep(s, (const char *)buf_ptr(local),
			    (const char *)buf_ptr(&s->domain), shown);
	}
	entry_reset(s);
	return rc;
}

/* ":" ends a group's name, or a route inside of angle brackets. */
static int
colon(struct list *s)
{
	if (s->angle && !s->closed) {
		/* obs-route: what stood between "<" and ":" must be "@domain"s */
		if (!s->at || buf_len(&s->local) > 0 || buf_len(&s->domain) == 0)
			s->bad = true;
		s->at = s->dot = s->gap = false;
		buf_reset(&s->domain);
		s->natoms = 0;
		return 0;
	}
	if (s->group != NULL || s->at || s->angle || s->natoms == 0)
		s->bad = true;
	if (s->bad) {
		s->junk = true;
		return 0;
	}
	if ((s->group = display(s, &s->phrase)) == NULL)
		return -1;
	s->a->groups++;
	entry_reset(s);
	return 0;
}

/* A word (atom or quoted string) begins in an addr-spec or a phrase. */
static int
word_begins(struct list *s, struct buf **to)
{
	s->tail_dot = false;
	if (s->closed) {
		s->junk = true;
		*to = &s->comment; /* goes nowhere that matters: the entry is bad */
		return 0;
	}
	if (s->at) {
		*to = &s->domain;
		/* two words in a domain need a dot between them */
		if (buf_len(&s->domain) > 0 && !s->dot)
			s->junk = true;
		s->dot = false;
		return 0;
	}
	*to = s->words;
	if (s->natoms > 0 && !s->dot) {
		if (s->angle)
			s->bad = true;
		else if (s->gap && put(s, *to, ' ') == -1)
			return -1;
		s->natoms++;
	} else if (s->natoms == 0)
		s->natoms = 1;
	s->dot = false;
	return 0;
}

static int
atom(struct list *s)
{
	struct buf *to;

	if (word_begins(s, &to) == -1)
		return -1;
	for (; s->p < s->end && is_atext(*s->p); s->p++)
		if (put(s, to, *s->p) == -1)
			return -1;
	s->gap = false;
	return 0;
}

static int
dot(struct list *s)
{
	struct buf *to = s->at ? &s->domain : s->words;

	s->p++;
	if (s->closed) {
		s->junk = true;
		return 0;
	}
	/* In a phrase "J. Doe" is common; as a local part it fails: see natoms. */
	if (!s->at && !s->angle && s->gap && buf_len(to) > 0) {
		s->natoms++;
		if (put(s, to, ' ') == -1)
			return -1;
	}
	if (buf_len(to) == 0 && s->at)
		s->bad = true;
	if (buf_len(to) == 0 || s->tail_dot)
		s->odd_dots = true;
	s->tail_dot = true;
	if (s->natoms == 0)
		s->natoms = 1;
	s->gap = false;
	s->dot = s->at || s->angle || (s->p < s->end && is_atext(*s->p));
	return put(s, to, '.');
}

static void
angle_begins(struct list *s)
{
	s->p++;
	if (s->angle || s->at) {
		s->bad = true;
		return;
	}
	s->angle = true;
	s->dot = s->gap = s->tail_dot = s->odd_dots = false;
	s->natoms = 0;
	s->words = &s->local;
}

static void
at_sign(struct list *s)
{
	s->p++;
	if (s->closed)
		s->junk = true;
	else if (s->at) /* a second @, but for the next domain of a route */
		s->bad = true;
	else {
		if (s->tail_dot)
			s->odd_dots = true;
		s->at = true;
		s->dot = s->gap = s->tail_dot = false;
	}
}

/* "," inside of "<@a,@b:" goes on with the route. */
static bool
in_route(const struct list *s)
{
	return s->angle && !s->closed && s->at && buf_len(&s->local) == 0;
}

static int
token(struct list *s)
{
	struct buf *to;
	int rc;

	switch (*s->p) {
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		s->gap = true;
		s->p++;
		return 0;
	case '(':
		s->gap = true;
		return parse_comment(s);
	case '"':
		if (word_begins(s, &to) == -1)
			return -1;
		if (s->at)
			s->bad = true; /* no quoted strings in a domain */
		rc = parse_quoted(s, to);
		s->gap = false;
		return rc;
	case '<':
		angle_begins(s);
		return 0;
	case '>':
		s->p++;
		if (!s->angle || s->closed)
			s->bad = true;
		s->closed = true;
		return 0;
	case '@':
		at_sign(s);
		return 0;
	case '[':
		return parse_literal(s);
	case '.':
		return dot(s);
	case ',':
		s->p++;
		if (in_route(s)) {
			s->at = s->dot = false;
			buf_reset(&s->domain);
			return 0;
		}
		return entry_end(s);
	case ';':
		s->p++;
		if (s->group == NULL)
			s->bad = s->natoms > 0 || s->at || s->angle;
		rc = entry_end(s);
		s->group = NULL;
		return rc;
	case ':':
		s->p++;
		return colon(s);
	default:
		if (is_atext(*s->p))
			return atom(s);
		s->bad = true;
		s->p++;
		return 0;
	}
}

int
mail_addrs_parse(struct mail_addrs *a, struct bytes body)
{
	struct list s = {.p = body.p, .end = body.p + body.n, .a = a};
	int rc = -1;

	memset(a, 0, sizeof *a);
	if ((a->strings = mail_strings_new(STRINGS_MAX)) == NULL)
		return -1;
	buf_init(&s.phrase, 1024);
	buf_init(&s.comment, 1024);
	buf_init(&s.local, MAIL_LOCAL_MAX + 1);
	buf_init(&s.domain, MAIL_DOMAIN_MAX + 2);
	entry_reset(&s);
	while (s.p < s.end)
		if (token(&s) == -1)
			goto out;
	if (entry_end(&s) == 0)
		rc = 0;
	if (s.group != NULL)
		a->bad++; /* a group that is not closed */
out:
	buf_free(&s.phrase);
	buf_free(&s.comment);
	buf_free(&s.local);
	buf_free(&s.domain);
	return rc;
}

void
mail_addrs_free(struct mail_addrs *a)
{
	free(a->v);
	mail_strings_free(a->strings);
	memset(a, 0, sizeof *a);
}

/* A header that all readers cut into the same lines. */
static const char *
ambiguous(const struct mail_header *h)
{
	const uint8_t *p = h->data, *end = p + h->len, *lf;
	bool bare = false, crlf = false;

	if (h->cut)
		return "the header is too long";
	if (h->len > 0 && memchr(p, 0, h->len) != NULL)
		return "the header contains NUL";
	for (; p < end; p = lf + 1) {
		const uint8_t *cr;

		lf = memchr(p, '\n', (size_t)(end - p));
		cr = memchr(p, '\r', (size_t)((lf != NULL ? lf : end) - p));
		if (cr != NULL && cr + 1 != lf)
			return "the header contains a bare CR";
		if (lf == NULL)
			break;
		if (lf > h->data && lf[-1] == '\r')
			crlf = true;
		else
			bare = true;
	}
	return bare && crlf ? "the header's lines end in different ways" : NULL;
}

int
mail_from_single(const struct mail_header *h, char *out, size_t outsz, struct err *e)
{
	struct mail_field f;
	struct mail_addrs a;
	const char *why;
	unsigned n;
	int rc = -1;

	if ((why = ambiguous(h)) != NULL)
		return err_set(e, EINVAL, "%s", why);
	if ((n = mail_header_count(h, "From")) != 1)
		return err_set(
		    e, EINVAL, n == 0 ? "there is no From field" : "there are %u From fields", n);
	if (!mail_header_get(h, "From", 0, &f))
		return err_set(e, EINVAL, "there is no From field");
	if (mail_addrs_parse(&a, f.body) == -1) {
		err_sys(e, "the From field cannot be read");
		goto out;
	}
	if (a.bad > 0 || a.cut)
		err_set(e, EINVAL, "the From field is malformed");
	else if (a.groups > 0)
		err_set(e, EINVAL, "the From field has a group");
	else if (a.n != 1)
		err_set(e, EINVAL, "the From field has %zu addresses", a.n);
	else if (a.v[0].domain[0] == '\0')
		err_set(e, EINVAL, "the From address has no domain");
	else if (strlcpy(out, a.v[0].addr, outsz) >= outsz)
		err_set(e, EINVAL, "the From address is too long");
	else
		rc = 0;
out:
	mail_addrs_free(&a);
	return rc;
}

const char *
mail_addr_domain(const char *addr)
{
	const char *at = strrchr(addr, '@');

	return at != NULL ? at + 1 : "";
}

/* The local part at s: unquoted into out (MAIL_LOCAL_MAX + 1). Octets used, or -1. */
static ssize_t
take_local(const char *s, size_t n, char *out)
{
	size_t i = 0, len = 0;
	bool quoted = n > 0 && s[0] == '"', done = false;

	for (i = quoted; i < n && !done; i++) {
		char c = s[i];

		if (quoted && c == '"') {
			done = true;
			continue;
		}
		if (quoted && c == '\\') {
			if (++i == n)
				break;
			c = s[i];
		} else if (!quoted && c != '.' && !is_atext((uint8_t)c))
			break;
		if (len == MAIL_LOCAL_MAX) {
			errno = EMSGSIZE;
			return -1;
		}
		out[len++] = c;
	}
	out[len] = '\0';
	if (memchr(out, 0, len) != NULL || (quoted && !done) || !is_local(out) ||
	    (!quoted && !is_dot_atom(out))) {
		errno = EINVAL;
		return -1;
	}
	return (ssize_t)i;
}

/* The domain at s, up to n: fixed into out (MAIL_DOMAIN_MAX + 1). 0, or -1. */
static int
take_domain(const char *s, size_t n, char *out)
{
	if (n > MAIL_DOMAIN_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	memcpy(out, s, n);
	out[n] = '\0';
	if (memchr(s, 0, n) != NULL || !mail_utf8_valid(out, n) || !fix_domain(out)) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

int
mail_addr_normalise(const char *addr, char *out, size_t outsz)
{
	char local[MAIL_LOCAL_MAX + 1], domain[MAIL_DOMAIN_MAX + 1], text[MAIL_ADDR_MAX + 1];
	size_t n = strlen(addr);
	ssize_t used;

	if ((used = take_local(addr, n, local)) == -1)
		return -1;
	if (addr[used] != '@') {
		errno = EINVAL;
		return -1;
	}
	if (take_domain(addr + used + 1, n - (size_t)used - 1, domain) == -1)
		return -1;
	put_addr(text, local, domain);
	if (strlcpy(out, text, outsz) >= outsz) {
		errno = EMSGSIZE;
		return -1;
	}
	return 0;
}

/* "@a,@b:" at s: octets to skip, 0 when there is no route, -1 when it is malformed. */
static ssize_t
skip_route(const char *s, size_t n)
{
	char domain[MAIL_DOMAIN_MAX + 1];
	size_t i = 0, start;

	if (n == 0 || s[0] != '@')
		return 0;
	for (;;) {
		if (i == n || s[i] != '@')
			return -1;
		for (start = ++i; i < n && s[i] != ',' && s[i] != ':' && s[i] != '>'; i++)
			;
		if (i == n || s[i] == '>' || take_domain(s + start, i - start, domain) == -1)
			return -1;
		if (s[i++] == ':')
			return (ssize_t)i;
	}
}

int
mail_path_parse(struct mail_path *p, const char *s, size_t n, size_t *used)
{
	const char *gt;
	ssize_t len;
	size_t i = 1;

	memset(p, 0, sizeof *p);
	errno = EINVAL;
	if (n < 2 || s[0] != '<')
		return -1;
	if (s[1] == '>') {
		p->null = true;
		*used = 2;
		return 0;
	}
	if ((len = skip_route(s + i, n - i)) == -1) {
		errno = EINVAL;
		return -1;
	}
	i += (size_t)len;
	if ((len = take_local(s + i, n - i, p->local)) == -1)
		return -1;
	i += (size_t)len;
	errno = EINVAL;
	if (i == n || (gt = memchr(s + i, '>', n - i)) == NULL)
		return -1;
	if (s[i] == '@') {
		if (take_domain(s + i + 1, (size_t)(gt - s) - i - 1, p->domain) == -1)
			return -1;
	} else if (s[i] != '>' || strcasecmp(p->local, "postmaster") != 0)
		return -1;
	put_addr(p->addr, p->local, p->domain);
	for (i = 0; p->addr[i] != '\0'; i++)
		p->utf8 = p->utf8 || (uint8_t)p->addr[i] >= 0x80;
	*used = (size_t)(gt - s) + 1;
	return 0;
}
