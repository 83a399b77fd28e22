/* Listings, for people and for programs. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "gwctl/gwctl.h"
#include "model/json.h"

#define CELLS_MAX 20000000
#define GAP 2 /* columns between two columns */
#define BOX_LEAST 80 /* columns of a box, so that boxes fit one upon the other */
#define CUT_LEAST 8 /* columns that a cut text must have at least */
#define JSON_ITEM_MAX (4 * 1024 * 1024) /* octets of one record as JSON */

void
table_begin(struct table *t, const char *const heads[])
{
	unsigned i;

	memset(t, 0, sizeof *t);
	while (t->columns < TABLE_COLUMNS_MAX && heads[t->columns] != NULL)
		t->columns++;
	table_row(t, heads);
	for (i = 0; i < t->columns; i++)
		table_tint(t, i, TINT_HEAD);
}

void
table_begin_bare(struct table *t, unsigned columns)
{
	memset(t, 0, sizeof *t);
	t->columns = columns < TABLE_COLUMNS_MAX ? columns : TABLE_COLUMNS_MAX;
}

void
table_row(struct table *t, const char *const cells[])
{
	unsigned i;
	void *p;

	if (t->failed)
		return;
	if (t->n + t->columns > t->room) {
		size_t room = t->room == 0 ? 64 * (size_t)t->columns : 2 * t->room;

		if (room > CELLS_MAX ||
		    (p = reallocarray(t->cells, room, sizeof *t->cells)) == NULL) {
			t->failed = 1;
			return;
		}
		t->cells = p;
		t->room = room;
	}
	for (i = 0; i < t->columns; i++) {
		struct cell *x = &t->cells[t->n];

		*x = (struct cell){strdup(cells[i][0] != '\0' ? cells[i] : "-"), TINT_NONE};
		if (x->text == NULL) {
			t->failed = 1;
			return;
		}
		t->n++;
	}
}

void
table_tint(struct table *t, unsigned column, enum tint tint)
{
	if (!t->failed && t->n >= t->columns && column < t->columns)
		t->cells[t->n - t->columns + column].tint = tint;
}

static void
blanks(size_t n)
{
	(void)printf("%*s", (int)n, "");
}

/* Columns of text that the columns of the table take. */
static void
measure(const struct table *t, size_t widths[TABLE_COLUMNS_MAX])
{
	size_t i, w;

	memset(widths, 0, TABLE_COLUMNS_MAX * sizeof *widths);
	for (i = 0; i < t->n; i++)
		if ((w = text_width(t->cells[i].text)) > widths[i % t->columns])
			widths[i % t->columns] = w;
}

/* The cells of a row; room is what the last one may take, 0 for all that it needs. */
static size_t
put_row(const struct table *t, const struct cell *row, const size_t *widths, size_t room)
{
	size_t n, used = 0;
	unsigned i;

	for (i = 0; i + 1 < t->columns; i++) {
		put_tinted(row[i].tint, row[i].text, strlen(row[i].text));
		blanks(widths[i] + GAP - text_width(row[i].text));
		used += widths[i] + GAP;
	}
	n = strlen(row[i].text);
	if (room == 0 || text_width(row[i].text) <= room) {
		put_tinted(row[i].tint, row[i].text, n);
		return used + text_width(row[i].text);
	}
	n = text_fit(row[i].text, room - 1);
	put_tinted(row[i].tint, row[i].text, n);
	(void)fputs(term_out()->utf8 ? "\u2026" : ">", stdout);
	return used + text_width(row[i].text) - text_width(row[i].text + n) + 1;
}

static int
table_free(struct table *t)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		free(t->cells[i].text);
	free(t->cells);
	return t->failed ? complain(EX_OSERR, "out of memory for so long a list") : 0;
}

int
table_end(struct table *t)
{
	size_t widths[TABLE_COLUMNS_MAX], i;

	measure(t, widths);
	for (i = 0; i < t->n && !t->failed; i += t->columns) {
		(void)put_row(t, &t->cells[i], widths, 0);
		(void)putchar('\n');
	}
	return table_free(t);
}

/* ---- boxes ---- */

/* Corners and lines, as a terminal can show them. */
static const struct frame {
	const char *top_left, *top_right, *low_left, *low_right, *across, *down, *in, *out;
} drawn = {"\u250c", "\u2510", "\u2514", "\u2518", "\u2500", "\u2502", "\u25bc", "\u252c"},
  typed = {"+", "+", "+", "+", "-", "|", "v", "|"};

/* An edge of a box: its corners, a title in it, and an arrow's mark. */
static void
put_edge(const struct frame *f, int top, size_t inner, const char *title, const char *mark)
{
	size_t i = 0, at = BOX_ARROW - 1;

	(void)fputs(top ? f->top_left : f->low_left, stdout);
	if (title != NULL) {
		(void)putchar(' ');
		put_tinted(TINT_HEAD, title, strlen(title));
		(void)putchar(' ');
		i = text_width(title) + 2;
	}
	for (; i < inner; i++)
		(void)fputs(i == at && mark != NULL ? mark : f->across, stdout);
	(void)printf("%s\n", top ? f->top_right : f->low_right);
}

int
table_box(struct table *t, const char *title, int arrows)
{
	const struct term *o = term_out();
	const struct frame *f = o->utf8 ? &drawn : &typed;
	size_t widths[TABLE_COLUMNS_MAX], i, fixed = 0, inner, least, room = 0, used;

	measure(t, widths);
	for (i = 0; i + 1 < t->columns; i++)
		fixed += widths[i] + GAP;
	inner = fixed + widths[t->columns - 1] + 2;
	least = o->tty && o->columns < BOX_LEAST ? o->columns : BOX_LEAST;
	if (inner < least - 2)
		inner = least - 2;
	/* Too narrow a terminal breaks lines: better than to show nothing. */
	if (o->tty && inner > o->columns - 2 && o->columns > fixed + CUT_LEAST + 4) {
		inner = o->columns - 2;
		room = inner - fixed - 2;
	}
	put_edge(f, 1, inner, title, arrows & BOX_IN ? f->in : NULL);
	for (i = 0; i < t->n && !t->failed; i += t->columns) {
		(void)printf("%s ", f->down);
		used = put_row(t, &t->cells[i], widths, room) + 2;
		blanks(used < inner + 1 ? inner + 1 - used : 0);
		(void)printf("%s\n", f->down);
	}
	put_edge(f, 0, inner, NULL, arrows & BOX_OUT ? f->out : NULL);
	return table_free(t);
}

int
list_options(int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"json", no_argument, NULL, LIST_JSON},
	    {"quiet", no_argument, NULL, LIST_NAMES},
	    {NULL, 0, NULL, 0},
	};
	int o, how = LIST_TABLE;

	while ((o = getopt_long(argc, argv, "q", longs, NULL)) != -1) {
		if (o == 'q')
			o = LIST_NAMES;
		if (o == '?' || (how != LIST_TABLE && how != o)) {
			(void)complain_usage();
			return -1;
		}
		how = o;
	}
	if (optind == argc)
		return how;
	(void)complain_usage();
	return -1;
}

static int
print_rec(const struct rec *r, const void *v, int flags)
{
	struct buf b;
	int rc;

	buf_init(&b, JSON_ITEM_MAX);
	rc = json_from_rec(r, v, flags, &b);
	if (rc == 0)
		(void)fwrite(buf_ptr(&b), 1, buf_len(&b), stdout);
	else
		(void)complain(EX_OSERR, "%s: %s", r->name, strerror(errno));
	buf_free(&b);
	return rc;
}

void
json_list_begin(struct json_list *l, const char *name)
{
	memset(l, 0, sizeof *l);
	(void)printf("{\"%s\": [", name);
}

void
json_list_item(struct json_list *l, const struct rec *r, const void *v)
{
	(void)printf(l->n++ > 0 ? ",\n  " : "\n  ");
	if (print_rec(r, v, 0) == -1)
		l->failed = 1;
}

int
json_list_end(struct json_list *l)
{
	(void)printf(l->n > 0 ? "\n]}\n" : "]}\n");
	return l->failed ? EX_OSERR : 0;
}

int
json_print(const struct rec *r, const void *v)
{
	if (print_rec(r, v, JSON_LINES) == -1)
		return EX_OSERR;
	(void)putchar('\n');
	return 0;
}
