/* Listings, for people and for programs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "gwctl/gwctl.h"
#include "model/json.h"

#define CELLS_MAX 20000000
#define JSON_ITEM_MAX (4 * 1024 * 1024) /* octets of one record as JSON */

/* Columns that a text takes: its UTF-8 sequences. */
static size_t
width(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

void
table_begin(struct table *t, const char *const heads[])
{
	memset(t, 0, sizeof *t);
	while (t->columns < TABLE_COLUMNS_MAX && heads[t->columns] != NULL)
		t->columns++;
	table_row(t, heads);
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
		t->cells[t->n] = strdup(cells[i][0] != '\0' ? cells[i] : "-");
		if (t->cells[t->n] == NULL) {
			t->failed = 1;
			return;
		}
		t->n++;
	}
}

int
table_end(struct table *t)
{
	size_t widths[TABLE_COLUMNS_MAX] = {0}, i, w;
	unsigned last = t->columns - 1;

	for (i = 0; i < t->n; i++)
		if ((w = width(t->cells[i])) > widths[i % t->columns])
			widths[i % t->columns] = w;
	for (i = 0; i < t->n && !t->failed; i++) {
		w = i % t->columns;
		if (w == last)
			(void)printf("%s\n", t->cells[i]);
		else
			(void)printf(
			    "%s%*s", t->cells[i], (int)(widths[w] - width(t->cells[i]) + 2), "");
	}
	for (i = 0; i < t->n; i++)
		free(t->cells[i]);
	free(t->cells);
	return t->failed ? complain(EX_OSERR, "out of memory for so long a list") : 0;
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
