#include "conf/scan.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_MAX 4096 /* octets of a name or value; a path is the longest there can be */

enum token_kind { END, WORD, PUNCT };

struct token {
	enum token_kind kind;
	char *p; /* with its quotes */
	size_t n;
	unsigned line; /* where it begins */
};

struct lexer {
	char *p, *end;
	unsigned line;
	struct conf_errors *errs;
	int bad; /* something that libconfuse must not see */
	struct token tok; /* the current one */
};

void
conf_error(struct conf_errors *errs, unsigned line, const char *fmt, ...)
{
	struct conf_error_line *e;
	size_t n;
	va_list ap;

	if (errs->count++ >= CONF_ERRORS_MAX)
		return;
	e = &errs->v[errs->count - 1];
	e->line = line;
	if (line != 0)
		(void)snprintf(e->text, sizeof e->text, "%.200s:%u: ", errs->file, line);
	else
		(void)snprintf(e->text, sizeof e->text, "%.200s: ", errs->file);
	n = strlen(e->text);
	va_start(ap, fmt);
	(void)vsnprintf(e->text + n, sizeof e->text - n, fmt, ap);
	va_end(ap);
}

const char *
conf_show(const char *s, size_t n)
{
	static char buf[8][68];
	static unsigned next;
	char *out = buf[next++ % 8];
	size_t i, most = sizeof buf[0] - 4;

	for (i = 0; i < n && i < most; i++)
		out[i] = s[i] >= 0x20 && s[i] < 0x7f ? s[i] : '?';
	memcpy(out + i, i < n ? "..." : "", i < n ? 4 : 1);
	return out;
}

static void
blank(char *p, const char *end)
{
	for (; p < end; p++)
		if (*p != '\n')
			*p = ' ';
}

/* Blank the comment at l->p, if one begins there. */
static int
skip_comment(struct lexer *l)
{
	char *p = l->p, *stop;
	unsigned line = l->line;
	int two = p + 1 < l->end && p[0] == '/';

	if (*p == '#' || (two && p[1] == '/')) {
		if ((stop = memchr(p, '\n', (size_t)(l->end - p))) == NULL)
			stop = l->end;
	} else if (two && p[1] == '*') {
		if ((stop = memmem(p + 2, (size_t)(l->end - p - 2), "*/", 2)) == NULL) {
			conf_error(l->errs, line, "comment without end: close it with */");
			l->bad = 1;
			stop = l->end;
		} else
			stop += 2;
	} else
		return 0;
	for (; p < stop; p++)
		if (*p == '\n')
			l->line++;
	blank(l->p, stop);
	l->p = stop;
	return 1;
}

/* Of the escapes that libconfuse knows only those for the special characters are taken. */
static void
check_escape(struct lexer *l, const char *p, char quote)
{
	if (*p == '\\' && p[1] != '\\' && p[1] != quote && !(quote == '"' && p[1] == '$'))
		conf_error(l->errs, l->line,
		    "unknown escape '%s' in a string: write \\\\ for a backslash", conf_show(p, 2));
	else if (quote == '"' && *p == '$' && p[1] == '{')
		conf_error(l->errs, l->line,
		    "environment variables are not replaced: write \\$ for a dollar sign");
	else
		return;
	l->bad = 1;
}

static void
take_quoted(struct lexer *l)
{
	char quote = *l->p, *p = l->p + 1;

	for (; p < l->end && *p != quote; p++) {
		if (p + 1 < l->end) {
			check_escape(l, p, quote);
			if (*p == '\\')
				p++;
		}
		if (*p == '\n')
			l->line++;
	}
	if (p >= l->end) {
		conf_error(l->errs, l->tok.line, "string without end: %s has no closing %c",
		    conf_show(l->tok.p, (size_t)(l->end - l->tok.p)), quote);
		l->bad = 1;
		p = l->end;
	} else
		p++;
	l->p = p;
}

static int
is_word(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 0x80 || isalnum(u) || strchr("._:/@%-[]~!&?", c) != NULL;
}

/* The next token, past white space and comments. */
static void
next(struct lexer *l)
{
	for (;;) {
		while (l->p < l->end && strchr(" \t\r\n", *l->p) != NULL && *l->p != '\0') {
			if (*l->p == '\n')
				l->line++;
			else
				*l->p = ' ';
			l->p++;
		}
		l->tok = (struct token){END, l->p, 0, l->line};
		if (l->p >= l->end)
			return;
		if (skip_comment(l))
			continue;
		l->tok.kind = WORD;
		if (*l->p == '"' || *l->p == '\'')
			take_quoted(l);
		else if (is_word(*l->p)) {
			while (l->p < l->end && is_word(*l->p) &&
			       !(*l->p == '/' && l->p + 1 < l->end &&
				   (l->p[1] == '/' || l->p[1] == '*')))
				l->p++;
		} else if (*l->p != '\0' && strchr("{}=,", *l->p) != NULL) {
			l->tok.kind = PUNCT;
			l->p++;
		} else {
			conf_error(l->errs, l->line,
			    "unexpected character '%s': put values with punctuation in quotes",
			    conf_show(l->p, 1));
			l->bad = 1;
			*l->p++ = ' ';
			continue;
		}
		l->tok.n = (size_t)(l->p - l->tok.p);
		if (l->tok.n > TOKEN_MAX) {
			conf_error(l->errs, l->tok.line, "value of more than %d octets: %s",
			    TOKEN_MAX, conf_show(l->tok.p, l->tok.n));
			l->bad = 1;
		}
		return;
	}
}

static int
is(const struct lexer *l, const char *punct)
{
	return l->tok.kind == PUNCT && l->tok.n == 1 && *l->tok.p == *punct;
}

/* Past a value or a list, or, when there is none, as far as it looks like one. */
static void
skip_value(struct lexer *l)
{
	if (is(l, "{")) {
		while (l->tok.kind != END && !is(l, "}"))
			next(l);
		next(l);
	} else if (l->tok.kind == WORD)
		next(l);
}

static int
note_value(struct scan *s, struct scan_section *sec, unsigned key, unsigned line)
{
	unsigned *v;

	if ((s->nvalues & (s->nvalues - 1)) == 0) {
		v = reallocarray(s->value_line, s->nvalues ? s->nvalues * 2 : 1, sizeof *v);
		if (v == NULL)
			return -1;
		s->value_line = v;
	}
	if (sec->count[key]++ == 0)
		sec->first[key] = (unsigned)s->nvalues;
	s->value_line[s->nvalues++] = line;
	return 0;
}

static int
note_values(struct lexer *l, struct scan *s, struct scan_section *sec, unsigned key)
{
	if (!is(l, "{")) {
		if (l->tok.kind != WORD)
			return 0;
		if (note_value(s, sec, key, l->tok.line) == -1)
			return -1;
		next(l);
		return 0;
	}
	for (next(l); l->tok.kind != END && !is(l, "}"); next(l))
		if (l->tok.kind == WORD && note_value(s, sec, key, l->tok.line) == -1)
			return -1;
	next(l);
	return 0;
}

static unsigned
find_key(const struct conf_section *sec, const struct token *t)
{
	unsigned i;

	for (i = 0; i < sec->nkeys; i++)
		if (strlen(sec->keys[i].name) == t->n && memcmp(sec->keys[i].name, t->p, t->n) == 0)
			break;
	return i;
}

static void
report_unknown_key(struct lexer *l, const struct conf_section *sec)
{
	char names[220] = "";
	size_t used = 0;
	unsigned i;

	for (i = 0; i < sec->nkeys && used < sizeof names; i++)
		used += (size_t)snprintf(
		    names + used, sizeof names - used, "%s%s", i ? ", " : "", sec->keys[i].name);
	conf_error(l->errs, l->tok.line, "unknown option '%s' in section %s: it has %s",
	    conf_show(l->tok.p, l->tok.n), sec->name, names);
}

/* name = value. What is not that is passed over: libconfuse will complain. */
static int
scan_option(struct lexer *l, struct scan *s, struct scan_section *sec)
{
	const struct conf_section *kind = &conf_sections[sec->id];
	unsigned key = find_key(kind, &l->tok);
	struct token name = l->tok;

	next(l);
	if (key < kind->nkeys && is(l, "=") && sec->key_line[key] != 0)
		conf_error(l->errs, name.line, "%s is set twice, first in line %u: remove one",
		    kind->keys[key].name, sec->key_line[key]);
	if (!is(l, "="))
		return 0;
	next(l);
	if (key < kind->nkeys) {
		if (sec->key_line[key] == 0)
			sec->key_line[key] = name.line;
		return note_values(l, s, sec, key);
	}
	{
		struct lexer at = {.tok = name, .errs = l->errs};

		report_unknown_key(&at, kind);
	}
	skip_value(l);
	blank(name.p, l->tok.p);
	return 0;
}

static struct scan_section *
add_section(struct scan *s, enum conf_section_id id, unsigned line)
{
	struct scan_section *v;

	v = reallocarray(s->sections, s->nsections + 1, sizeof *v);
	if (v == NULL)
		return NULL;
	s->sections = v;
	v += s->nsections++;
	memset(v, 0, sizeof *v);
	v->id = id;
	v->line = line;
	return v;
}

/* A name in t, with or without quotes, into title; -1 when it cannot be one. */
static int
take_title(const struct token *t, char title[64])
{
	const char *p = t->p;
	size_t n = t->n, i;

	if (n >= 2 && (*p == '"' || *p == '\'')) {
		p++;
		n -= 2;
	}
	if (n == 0 || n >= 64)
		return -1;
	for (i = 0; i < n; i++)
		if (p[i] < 0 || (!isalnum((unsigned char)p[i]) && strchr("._-", p[i]) == NULL))
			return -1;
	memcpy(title, p, n);
	title[n] = '\0';
	return 0;
}

/* Whether the section that was just added may stay; reports why not. */
static int
section_is_new(struct lexer *l, const struct scan *s)
{
	const struct scan_section *sec = &s->sections[s->nsections - 1];
	const struct conf_section *kind = &conf_sections[sec->id];
	size_t i, same = 0;

	for (i = 0; i + 1 < s->nsections; i++) {
		if (s->sections[i].id != sec->id)
			continue;
		same++;
		if (strcmp(s->sections[i].title, sec->title) != 0)
			continue;
		if (kind->titled)
			conf_error(l->errs, sec->line,
			    "%s \"%s\" stands twice, first in line %u: give one another name",
			    kind->name, sec->title, s->sections[i].line);
		else
			conf_error(l->errs, sec->line,
			    "section %s stands twice, first in line %u: make them one", kind->name,
			    s->sections[i].line);
		return 0;
	}
	if (same >= CONF_SECTIONS_MAX) {
		conf_error(
		    l->errs, sec->line, "more than %d sections %s", CONF_SECTIONS_MAX, kind->name);
		return 0;
	}
	return 1;
}

/* Skip a balanced { ... }, l->tok at the brace. */
static void
skip_block(struct lexer *l)
{
	unsigned depth = 0;

	do {
		if (is(l, "{"))
			depth++;
		else if (is(l, "}"))
			depth--;
		next(l);
	} while (depth > 0 && l->tok.kind != END);
}

static void
unknown_section(struct lexer *l)
{
	struct token name = l->tok;
	char names[120] = "";
	size_t used = 0;
	unsigned i;

	for (i = 0; i < CONF_S_COUNT && used < sizeof names; i++)
		used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
		    conf_sections[i].name);
	next(l);
	if (is(l, "=")) {
		next(l);
		conf_error(l->errs, name.line,
		    "option '%s' stands outside of a section: move it into one of %s",
		    conf_show(name.p, name.n), names);
		skip_value(l);
	} else {
		conf_error(l->errs, name.line, "unknown section '%s': there are %s",
		    conf_show(name.p, name.n), names);
		if (l->tok.kind == WORD)
			next(l);
		if (is(l, "{"))
			skip_block(l);
	}
	blank(name.p, l->tok.p);
}

/* name [title] { options }. Returns -1 only for ENOMEM. */
static int
scan_section(struct lexer *l, struct scan *s, enum conf_section_id id)
{
	struct token name = l->tok;
	struct scan_section *sec;
	char title[64] = "";
	int keep;

	next(l);
	if (conf_sections[id].titled && l->tok.kind == WORD) {
		if (take_title(&l->tok, title) == -1) {
			conf_error(l->errs, l->tok.line,
			    "'%s' cannot name a %s: use 1 to 63 letters, digits, '.', '_' and '-'",
			    conf_show(l->tok.p, l->tok.n), conf_sections[id].name);
			l->bad = 1;
		}
		next(l);
	}
	if (!is(l, "{"))
		return 0;
	if ((sec = add_section(s, id, name.line)) == NULL)
		return -1;
	memcpy(sec->title, title, sizeof title);
	keep = l->bad || section_is_new(l, s);
	for (next(l); l->tok.kind != END && !is(l, "}");) {
		if (l->tok.kind != WORD)
			next(l);
		else if (scan_option(l, s, sec) == -1)
			return -1;
	}
	if (l->tok.kind == END) { /* libconfuse would take the end of the file for a brace */
		conf_error(l->errs, name.line, "section %s has no end: close it with }",
		    conf_sections[id].name);
		l->bad = 1;
	}
	next(l);
	if (!keep) {
		blank(name.p, l->tok.p);
		s->nsections--;
	}
	return 0;
}

static int
no_controls(const char *text, size_t n, struct conf_errors *errs)
{
	unsigned line = 1;
	size_t i;

	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\n')
			line++;
		if ((c < 0x20 && c != '\n' && c != '\t' && c != '\r') || c == 0x7f) {
			conf_error(
			    errs, line, "control character 0x%02X: this is not a text file", c);
			return -1;
		}
	}
	return 0;
}

int
conf_scan(struct scan *s, char *text, size_t n, struct conf_errors *errs)
{
	struct lexer l = {.p = text, .end = text + n, .line = 1, .errs = errs};
	unsigned i;

	*s = (struct scan){0};
	if (no_controls(text, n, errs) == -1) {
		errno = EINVAL;
		return -1;
	}
	for (next(&l); l.tok.kind != END;) {
		for (i = 0; i < CONF_S_COUNT; i++)
			if (l.tok.kind == WORD && strlen(conf_sections[i].name) == l.tok.n &&
			    memcmp(conf_sections[i].name, l.tok.p, l.tok.n) == 0)
				break;
		if (l.tok.kind != WORD)
			next(&l);
		else if (i == CONF_S_COUNT)
			unknown_section(&l);
		else if (scan_section(&l, s, (enum conf_section_id)i) == -1)
			return -1;
	}
	if (l.bad) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

void
conf_scan_free(struct scan *s)
{
	free(s->sections);
	free(s->value_line);
	*s = (struct scan){0};
}
