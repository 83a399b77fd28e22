#include "mail/mime_head.h"

#include <errno.h>
#include <string.h>

#include "mail/strings.h"
#include "mail/value.h"

/* Keep a string; what is over the bound is "" and noted. NULL only without memory. */
static const char *
keep(struct mail_index *ix, const char *s, size_t n)
{
	const char *copy;

	if (n == 0)
		return "";
	if ((copy = mail_strings_add(ix->strings, s, n)) != NULL)
		return copy;
	if (errno != EMSGSIZE)
		return NULL;
	ix->truncated |= MAIL_TRUNC_STRINGS;
	return "";
}

/* The same in lower case (ASCII). */
static const char *
keep_lower(struct mail_index *ix, const char *s, size_t n)
{
	char low[MAIL_PARAM_MAX + 1];
	size_t i;

	if (n > MAIL_PARAM_MAX)
		n = MAIL_PARAM_MAX;
	for (i = 0; i < n; i++)
		low[i] = (char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] | 0x20 : s[i]);
	return keep(ix, low, n);
}

static bool
is_token(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (s[i] <= 32 || s[i] == 127 || strchr("()<>@,;:\\\"/[]?=", s[i]) != NULL)
			return false;
	return n > 0;
}

/* The common types need no copies. */
static bool
common_type(struct mail_part *p, const char *value)
{
	static const char *const common[][2] = {{"text", "plain"}, {"text", "html"},
	    {"multipart", "mixed"}, {"multipart", "alternative"}, {"multipart", "related"},
	    {"message", "rfc822"}, {"application", "octet-stream"}, {"multipart", "digest"}};
	size_t i, n;

	for (i = 0; i < sizeof common / sizeof common[0]; i++) {
		n = strlen(common[i][0]);
		if (strncmp(value, common[i][0], n) == 0 && value[n] == '/' &&
		    strcmp(value + n + 1, common[i][1]) == 0) {
			p->type = common[i][0];
			p->subtype = common[i][1];
			return true;
		}
	}
	return false;
}

static int
set_type(struct mail_index *ix, struct mail_part *p, const char *value)
{
	const char *slash = strchr(value, '/');

	if (common_type(p, value) || slash == NULL || !is_token(value, (size_t)(slash - value)) ||
	    !is_token(slash + 1, strlen(slash + 1)))
		return 0; /* malformed: the default stays (RFC 2045, 5.2) */
	if (ix->truncated & MAIL_TRUNC_STRINGS)
		return 0;
	p->type = keep(ix, value, (size_t)(slash - value));
	p->subtype = keep(ix, slash + 1, strlen(slash + 1));
	if (p->type == NULL || p->subtype == NULL)
		return -1;
	if (p->type[0] == '\0' || p->subtype[0] == '\0') {
		p->type = "text";
		p->subtype = "plain";
	}
	return 0;
}

/* A name in UTF-8, whichever way it was spelled. */
static int
set_name(struct mail_index *ix, struct mail_part *p, const char *value)
{
	struct buf text;
	int rc = -1;

	buf_init(&text, 8 * MAIL_PARAM_MAX);
	if (mail_decode_text((struct bytes){(const uint8_t *)value, strlen(value)}, &text) == 0)
		p->name = buf_len(&text) == 0
			      ? ""
			      : keep(ix, (const char *)buf_ptr(&text), buf_len(&text));
	else if (errno == EMSGSIZE)
		p->name = "";
	else
		goto out;
	rc = p->name != NULL ? 0 : -1;
out:
	buf_free(&text);
	return rc;
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The octet at p ends a value: white space, ";", or nothing there. */
static bool
value_ends(const uint8_t *p, const uint8_t *end)
{
	return p == end || *p == ';' || is_blank(*p);
}

/* Is the field's value spelled as value, without comments, quotes or blanks in it? */
static bool
plainly(struct bytes body, const char *value)
{
	const uint8_t *p = body.p, *end = p + body.n;
	size_t n = strlen(value);

	while (p < end && is_blank(*p))
		p++;
	return (size_t)(end - p) >= n && strncasecmp((const char *)p, value, n) == 0 &&
	       value_ends(p + n, end);
}

/* Where the word boundary stands in any case, or NULL. */
static const uint8_t *
find_boundary_word(const uint8_t *p, const uint8_t *end)
{
	for (; end - p >= 8; p++)
		if ((*p | 0x20) == 'b' && strncasecmp((const char *)p, "boundary", 8) == 0)
			return p;
	return NULL;
}

/*
 * Does a multipart's Content-Type say its boundary so that there is one way to read it: once, as a
 * token or in quotes, with no comment and no quoted pair beside it?
 */
static bool
sure_boundary(struct bytes body, const char *boundary)
{
	const uint8_t *end = body.p + body.n, *word = find_boundary_word(body.p, end), *v, *rest;
	size_t n = strlen(boundary);
	bool quoted;

	if (word == NULL || word == body.p || (word[-1] != ';' && !is_blank(word[-1])) ||
	    end - word < 10 || word[8] != '=')
		return false;
	quoted = word[9] == '"';
	v = word + 9 + quoted;
	if (n == 0 || (size_t)(end - v) < n + quoted || memcmp(v, boundary, n) != 0 ||
	    strpbrk(boundary, " \t\\\"") != NULL)
		return false;
	rest = v + n + quoted;
	if ((quoted ? v[n] != '"' : !is_token(boundary, n)) || !value_ends(rest, end))
		return false;
	if (find_boundary_word(rest, end) != NULL)
		return false;
	for (v = body.p; v < end; v++) {
		if (v == word)
			v = rest;
		if (v < end && (*v == '(' || *v == '\\'))
			return false;
	}
	return true;
}

/* Is there one such parameter only, and no quoted pair?  Odd spellings of one are common. */
static bool
one_boundary(struct bytes body)
{
	const uint8_t *end = body.p + body.n, *p = find_boundary_word(body.p, end);
	unsigned n = 0;

	for (; p != NULL; p = find_boundary_word(p, end)) {
		for (p += 8; p < end && is_blank(*p); p++)
			;
		if (p < end && *p == '*')
			return false;
		n += p < end && *p == '=';
	}
	return n == 1 && memchr(body.p, '\\', body.n) == NULL;
}

static int
set_content_type(struct mail_index *ix, struct mail_part *p, struct bytes body)
{
	struct mail_params params;
	const char *v;
	size_t n;
	int rc = -1;

	if (mail_params_parse(&params, body) == -1 || set_type(ix, p, params.value) == -1)
		goto out;
	if (!plainly(body, params.value))
		p->flags |= MAIL_AMBIGUOUS;
	if ((v = mail_param_get(&params, "charset")) != NULL &&
	    (p->charset = keep_lower(ix, v, strlen(v))) == NULL)
		goto out;
	if ((v = mail_param_get(&params, "name")) != NULL && set_name(ix, p, v) == -1)
		goto out;
	if (strcmp(p->type, "multipart") == 0) {
		if ((v = mail_param_get(&params, "boundary")) != NULL) {
			/* a boundary cannot end with white space (RFC 2046, 5.1.1) */
			for (n = strlen(v); n > 0 && (v[n - 1] == ' ' || v[n - 1] == '\t'); n--)
				;
			if (n <= MAIL_BOUNDARY_MAX && (p->boundary = keep(ix, v, n)) == NULL)
				goto out;
			if (strcmp(p->subtype, "signed") == 0 ? !sure_boundary(body, v)
							      : !one_boundary(body))
				p->flags |= MAIL_AMBIGUOUS;
		}
		if ((v = mail_param_get(&params, "protocol")) != NULL &&
		    (p->protocol = keep_lower(ix, v, strlen(v))) == NULL)
			goto out;
	}
	rc = 0;
out:
	mail_params_free(&params);
	return rc;
}

static int
set_disposition(struct mail_index *ix, struct mail_part *p, struct bytes body)
{
	struct mail_params params;
	const char *v;
	int rc = -1;

	if (mail_params_parse(&params, body) == -1 ||
	    (p->disposition = keep(ix, params.value, strlen(params.value))) == NULL)
		goto out;
	if ((v = mail_param_get(&params, "filename")) != NULL && v[0] != '\0' &&
	    set_name(ix, p, v) == -1)
		goto out;
	rc = 0;
out:
	mail_params_free(&params);
	return rc;
}

static void
set_encoding(struct mail_part *p, struct bytes body)
{
	static const struct {
		const char *name;
		enum mail_cte cte;
	} names[] = {{"", MAIL_CTE_NONE}, {"7bit", MAIL_CTE_7BIT}, {"8bit", MAIL_CTE_8BIT},
	    {"binary", MAIL_CTE_BINARY}, {"quoted-printable", MAIL_CTE_QP},
	    {"base64", MAIL_CTE_BASE64}};
	char value[64];
	size_t i, used;

	mail_value_flatten(body.p, body.n, value, sizeof value, &used);
	p->cte = MAIL_CTE_OTHER;
	for (i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(value, names[i].name) == 0)
			p->cte = names[i].cte;
}

static int
set_id(struct mail_index *ix, struct mail_part *p, struct bytes body)
{
	const uint8_t *s = body.p, *end = s + body.n;

	while (s < end && (*s <= ' ' || *s == '<'))
		s++;
	while (end > s && (end[-1] <= ' ' || end[-1] == '>'))
		end--;
	if ((size_t)(end - s) > MAIL_PARAM_MAX || memchr(s, 0, (size_t)(end - s)) != NULL)
		return 0;
	return (p->id = keep(ix, (const char *)s, (size_t)(end - s))) != NULL ? 0 : -1;
}

int
mail_mime_head(struct mail_index *ix, struct mail_part *p, const struct mail_header *h, bool digest)
{
	enum { TYPE = 1, ENCODING = 2, DISPOSITION = 4, ID = 8 };
	struct mail_field f, disposition = {0};
	unsigned seen = 0;
	size_t pos = 0;
	int rc = 0;

	p->type = digest ? "message" : "text";
	p->subtype = digest ? "rfc822" : "plain";
	p->charset = p->boundary = p->protocol = p->name = p->disposition = p->id = "";
	while (rc == 0 && mail_field_next(h, &pos, &f)) {
		if (f.name.n == 0)
			p->flags |= MAIL_HEAD_JUNK;
		else if (f.name.n < 10 || strncasecmp((const char *)f.name.p, "content-", 8) != 0)
			continue;
		else if (!(seen & TYPE) && mail_field_is(&f, "content-type")) {
			seen |= TYPE;
			/* not all take "Content-Type :" for it */
			if (f.body.p != f.name.p + f.name.n + 1)
				p->flags |= MAIL_AMBIGUOUS;
			rc = set_content_type(ix, p, f.body);
		} else if (!(seen & ENCODING) && mail_field_is(&f, "content-transfer-encoding")) {
			seen |= ENCODING;
			set_encoding(p, f.body);
		} else if (!(seen & DISPOSITION) && mail_field_is(&f, "content-disposition")) {
			seen |= DISPOSITION;
			disposition = f;
		} else if (!(seen & ID) && mail_field_is(&f, "content-id")) {
			seen |= ID;
			rc = set_id(ix, p, f.body);
		} else if (mail_field_is(&f, "content-type") ||
			   mail_field_is(&f, "content-transfer-encoding"))
			p->flags |= MAIL_AMBIGUOUS; /* some take the first, some the last */
	}
	/* last, because its file name goes before that of the type */
	if (rc == 0 && (seen & DISPOSITION))
		rc = set_disposition(ix, p, disposition.body);
	return rc;
}
