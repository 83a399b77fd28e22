/* How wide text is, and where it is cut. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/unit/gwctl/tool.h"

Suite *term_suite(void);

static const struct {
	const char *text;
	size_t columns;
} texts[] = {
    {"", 0}, {"plain", 5}, {"caf\u00e9", 4},
    {"cafe\u0301", 4}, /* a combining accent takes no column */
    {"\u6771\u4eac", 4}, /* and these two each */
    {"a\xff"
     "b",
	3}, /* no UTF-8 at all */
    {"\xc3", 1}, /* cut in the middle */
};

START_TEST(measures_what_a_terminal_shows)
{
	size_t i;

	for (i = 0; i < sizeof texts / sizeof texts[0]; i++)
		ck_assert_msg(text_width(texts[i].text) == texts[i].columns, "%s: %zu",
		    texts[i].text, text_width(texts[i].text));
}
END_TEST

START_TEST(cuts_between_characters_only)
{
	ck_assert_uint_eq(text_fit("plain", 3), 3);
	ck_assert_uint_eq(text_fit("plain", 9), 5);
	ck_assert_uint_eq(text_fit("\u6771\u4eac", 3), 3);
	ck_assert_uint_eq(text_fit("\u6771\u4eac", 1), 0);
	ck_assert_uint_eq(text_fit("cafe\u0301s", 4), 6);
}
END_TEST

/* What a child prints of a table, with columns that are wider than they look. */
static const char *
printed(int box)
{
	static const char *const heads[] = {"NAME", "WHAT", NULL};
	struct table t;
	pid_t pid;
	int status;

	ck_assert_int_ge(pid = fork(), 0);
	if (pid == 0) {
		if (freopen("out", "w", stdout) == NULL)
			_exit(99);
		table_begin(&t, heads);
		table_row(&t, (const char *[]){"\u6771\u4eac", "one"});
		table_tint(&t, 1, TINT_BAD);
		table_row(&t, (const char *[]){"caf\u00e9", ""});
		status = box ? table_box(&t, "title", BOX_IN | BOX_OUT) : table_end(&t);
		_exit(fflush(stdout) == 0 ? status : 99);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	return tool_read("out");
}

START_TEST(aligns_columns_by_their_width)
{
	tool_begin();
	ck_assert_str_eq(printed(0), "NAME  WHAT\n"
				     "\u6771\u4eac  one\n"
				     "caf\u00e9  -\n");
	tool_end();
}
END_TEST

START_TEST(draws_boxes_whose_edges_meet)
{
	const char *line;
	size_t n;

	tool_begin();
	for (line = printed(1); *line != '\0'; line += n + 1) {
		char text[200];

		n = strcspn(line, "\n");
		(void)snprintf(text, sizeof text, "%.*s", (int)n, line);
		ck_assert_msg(text_width(text) == 80, "%s", text);
		ck_assert(strchr("+|", text[0]) != NULL && text[0] == text[n - 1]);
		if (text[0] == '+')
			ck_assert(text[BOX_ARROW] == 'v' || text[BOX_ARROW] == '|');
	}
	tool_end();
}
END_TEST

Suite *
term_suite(void)
{
	const TTest *const tests[] = {measures_what_a_terminal_shows, cuts_between_characters_only,
	    aligns_columns_by_their_width, draws_boxes_whose_edges_meet, NULL};

	return unit_suite("term", tests);
}
