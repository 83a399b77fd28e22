/* Values with parameters (RFC 2045, 5.1; RFC 2231). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mail/header.h"
#include "mail/mime.h"
#include "mail/strings.h"
#include "mail/value.h"

#define NAME_MAX_LEN 64

/* One "name=value" as it stands; index and ext are of RFC 2231. */
struct piece {
	char name[NAME_MAX_LEN + 1]; /* lower case, without the stars */
	int index; /* of a continuation, -1: none */
	bool ext; /* percent-encoded */
	bool used;
	size_t off, len; /* its value, in a buffer */
};

struct parse {
	const uint8_t *p, *end;
	struct piece *pieces;
	size_t n;
	struct buf values;
	bool cut;
};

/* What mail_params owns: all in one. */
struct params_mem {
	struct mail_strings *strings;
	struct mail_param v[MAIL_PARAMS_MAX];
};

static bool
is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == 0;
}

static void
skip_cfws(struct parse *s)
{
	size_t depth = 0;

	while (s->p < s->end) {
		if (*s->p == '(')
			depth++;
		else if (*s->p == ')' && depth > 0)
			depth--;
		else if (*s->p == '\\' && depth > 0 && s->p + 1 < s->end)
			s->p++;
		else if (depth == 0 && !is_space(*s->p))
			return;
		s->p++;
	}
}

static int
put_octet(struct parse *s, struct piece *pc, uint8_t c)
{
	if (c == 0 || c == '\r' || c == '\n')
		return 0; /* folds and NUL are no part of a value */
	if (pc->len >= MAIL_PARAM_MAX) {
		s->cut = true;
		return 0;
	}
	pc->len++;
	return buf_putc(&s->values, c);
}

static int
quoted_value(struct parse *s, struct piece *pc)
{
	for (s->p++; s->p < s->end && *s->p != '"'; s->p++) {
		if (*s->p == '\\' && s->p + 1 < s->end)
			s->p++;
		if (put_octet(s, pc, *s->p) == -1)
			return -1;
	}
	/* what stands between the quote and the next ";" is ignored */
	if (s->p < s->end)
		s->p++;
	for (skip_cfws(s); s->p < s->end && *s->p != ';'; skip_cfws(s))
		s->p++;
	return 0;
}

static int
plain_value(struct parse *s, struct piece *pc)
{
	const uint8_t *start = s->p, *end;

	/* a comment counts only behind white space: file(1).txt is a name that people send */
	while (
	    s->p < s->end && *s->p != ';' && !(*s->p == '(' && s->p > start && is_space(s->p[-1])))
		s->p++;
	end = s->p;
	while (end > start && is_space(end[-1]))
		end--;
	for (; start < end; start++)
		if (put_octet(s, pc, *start) == -1)
			return -1;
	for (skip_cfws(s); s->p < s->end && *s->p != ';'; skip_cfws(s))
		s->p++;
	return 0;
}

/* Take the stars of RFC 2231 off a name. */
static void
parse_stars(struct piece *pc)
{
	char *star = strchr(pc->name, '*'), *end;
	long v;

	pc->index = -1;
	if (star == NULL)
		return;
	if (strcmp(star, "*") == 0) {
		pc->ext = true;
		*star = '\0';
		return;
	}
	if (star[1] < '0' || star[1] > '9' || (star[1] == '0' && star[2] >= '0' && star[2] <= '9'))
		return; /* no number, or leading zeros: some other name */
	v = strtol(star + 1, &end, 10);
	if (v > 999 || (strcmp(end, "*") != 0 && *end != '\0'))
		return;
	pc->index = (int)v;
	pc->ext = *end == '*';
	*star = '\0';
}

static int
parse_piece(struct parse *s)
{
	struct piece *pc = &s->pieces[s->n];
	size_t n = 0;

	memset(pc, 0, sizeof *pc);
	while (s->p < s->end && *s->p != '=' && *s->p != ';' && *s->p != '(' && !is_space(*s->p)) {
		if (n <= NAME_MAX_LEN)
			pc->name[n < NAME_MAX_LEN ? n : NAME_MAX_LEN] =
			    (char)(*s->p >= 'A' && *s->p <= 'Z' ? *s->p | 0x20 : *s->p);
		n++;
		s->p++;
	}
	pc->name[n < NAME_MAX_LEN ? n : NAME_MAX_LEN] = '\0';
	skip_cfws(s);
	if (s->p == s->end || *s->p != '=') {
		while (s->p < s->end && *s->p != ';')
			s->p++;
		return 0;
	}
	s->p++;
	skip_cfws(s);
	pc->off = buf_len(&s->values);
	if ((s->p < s->end && *s->p == '"' ? quoted_value(s, pc) : plain_value(s, pc)) == -1)
		return -1;
	if (n == 0 || n > NAME_MAX_LEN)
		return 0;
	parse_stars(pc);
	s->n++;
	return 0;
}

static int
hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Append a piece's octets; in the first extended one a charset stands in front. */
static int
put_piece(struct parse *s, const struct piece *pc, bool first, char *charset, size_t size,
    struct buf *out)
{
	const uint8_t *p = buf_ptr(&s->values) + pc->off, *end = p + pc->len, *q, *q2;
	int a, b;

	if (!pc->ext)
		return buf_put(out, p, pc->len);
	if (first && (q = memchr(p, '\'', pc->len)) != NULL &&
	    (q2 = memchr(q + 1, '\'', (size_t)(end - q - 1))) != NULL) {
		if ((size_t)(q - p) < size) {
			memcpy(charset, p, (size_t)(q - p));
			charset[q - p] = '\0';
		}
		p = q2 + 1;
	}
	for (; p < end; p++) {
		uint8_t c = *p;

		if (c == '%' && end - p > 2 && (a = hex_digit(p[1])) >= 0 &&
		    (b = hex_digit(p[2])) >= 0) {
			c = (uint8_t)(a << 4 | b);
			p += 2;
		}
		if (c != 0 && buf_putc(out, c) == -1)
			return -1;
	}
	return 0;
}

static struct piece *
find_piece(struct parse *s, const char *name, int index, int ext)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->pieces[i].index == index && (ext == -1 || s->pieces[i].ext == (bool)ext) &&
		    strcmp(s->pieces[i].name, name) == 0)
			return &s->pieces[i];
	return NULL;
}

/* The value of name from its pieces: extended, else continued, else plain. */
static int
join(struct parse *s, const char *name, struct buf *out)
{
	char charset[41] = "";
	struct piece *pc;
	struct buf raw;
	int index, rc = -1;

	buf_init(&raw, MAIL_PARAMS_MAX * (MAIL_PARAM_MAX + 1));
	if ((pc = find_piece(s, name, -1, true)) != NULL) {
		if (put_piece(s, pc, true, charset, sizeof charset, &raw) == -1)
			goto out;
	} else if (find_piece(s, name, 0, -1) != NULL) {
		for (index = 0; (pc = find_piece(s, name, index, -1)) != NULL; index++)
			if (put_piece(s, pc, index == 0, charset, sizeof charset, &raw) == -1)
				goto out;
	} else if ((pc = find_piece(s, name, -1, false)) != NULL) {
		if (put_piece(s, pc, true, charset, sizeof charset, &raw) == -1)
			goto out;
	}
	if (charset[0] != '\0' &&
	    mail_to_utf8(charset, (struct bytes){buf_ptr(&raw), buf_len(&raw)}, out) == 0)
		rc = 0;
	else
		rc = buf_put(out, buf_ptr(&raw), buf_len(&raw));
out:
	buf_free(&raw);
	return rc;
}

/* Turn pieces into parameters, in the order of first appearance. */
static int
collect(struct parse *s, struct mail_params *p, struct params_mem *mem)
{
	struct buf value;
	size_t i, k, len;
	int rc = -1;

	buf_init(&value, 4 * MAIL_PARAMS_MAX * (MAIL_PARAM_MAX + 1));
	for (i = 0; i < s->n; i++) {
		if (s->pieces[i].used)
			continue;
		for (k = i; k < s->n; k++)
			if (strcmp(s->pieces[k].name, s->pieces[i].name) == 0)
				s->pieces[k].used = true;
		buf_reset(&value);
		if (join(s, s->pieces[i].name, &value) == -1)
			goto out;
		if ((len = buf_len(&value)) > MAIL_PARAM_MAX) {
			len = MAIL_PARAM_MAX;
			s->cut = true;
		}
		p->v[p->n].name =
		    mail_strings_add(mem->strings, s->pieces[i].name, strlen(s->pieces[i].name));
		p->v[p->n].value = mail_strings_add(mem->strings, buf_ptr(&value), len);
		if (p->v[p->n].name == NULL || p->v[p->n].value == NULL)
			goto out;
		p->n++;
	}
	rc = 0;
out:
	buf_free(&value);
	return rc;
}

int
mail_params_parse(struct mail_params *p, struct bytes body)
{
	struct parse s = {0};
	struct params_mem *mem;
	char value[128];
	size_t used, n;
	int rc = -1;

	memset(p, 0, sizeof *p);
	p->value = "";
	buf_init(&s.values, MAIL_PARAMS_MAX * (MAIL_PARAM_MAX + 1) + MAIL_PARAM_MAX);
	if ((mem = calloc(1, sizeof *mem)) == NULL)
		return -1;
	p->v = mem->v;
	p->mem = mem;
	mem->strings = mail_strings_new(2 * MAIL_PARAMS_MAX * (MAIL_PARAM_MAX + 1));
	s.pieces = calloc(MAIL_PARAMS_MAX, sizeof *s.pieces);
	/* room from the start, so that an empty value has an address too */
	if (mem->strings == NULL || s.pieces == NULL || buf_reserve(&s.values, 1) == NULL)
		goto out;
	n = mail_value_flatten(body.p, body.n, value, sizeof value, &used);
	if ((p->value = mail_strings_add(mem->strings, value, n)) == NULL)
		goto out;
	s.p = body.p + used;
	s.end = body.p + body.n;
	while (s.p < s.end) {
		if (*s.p == ';') {
			s.p++;
			skip_cfws(&s);
			continue;
		}
		if (s.n == MAIL_PARAMS_MAX) {
			s.cut = true;
			break;
		}
		if (parse_piece(&s) == -1)
			goto out;
	}
	rc = collect(&s, p, mem);
	p->cut = s.cut;
out:
	free(s.pieces);
	buf_free(&s.values);
	return rc;
}

void
mail_params_free(struct mail_params *p)
{
	if (p->mem != NULL)
		mail_strings_free(p->mem->strings);
	free(p->mem);
	memset(p, 0, sizeof *p);
}

const char *
mail_param_get(const struct mail_params *p, const char *name)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (strcmp(p->v[i].name, name) == 0)
			return p->v[i].value;
	return NULL;
}
