#include "t/unit/conf/told.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "t/unit/unit.h"

static void
add(char *all, size_t size, const char *text)
{
	size_t n = strlen(all);

	(void)snprintf(all + n, size - n, "%s\n", text);
}

static void
tell(void *arg, const char *text)
{
	struct told *t = arg;

	t->count++;
	add(t->all, sizeof t->all, text);
}

static void
warn(void *arg, const char *text)
{
	struct told *t = arg;

	add(t->warnings, sizeof t->warnings, text);
}

struct conf *
load(const char *text, struct told *t)
{
	struct conf_report r = {.line = tell, .arg = t, .warn = warn};
	struct err e;
	struct conf *c;

	memset(t, 0, sizeof *t);
	memset(&e, 0, sizeof e);
	c = conf_load_mem(text, strlen(text), "f", &r, &e);
	if (c == NULL) {
		ck_assert_int_ne(e.code, 0);
		ck_assert_msg(
		    strncmp(t->all, e.text, strcspn(t->all, "\n")) == 0, "%s / %s", t->all, e.text);
	}
	return c;
}

static void
dump(const struct conf *c, struct buf *b)
{
	struct sink to = sink_buf(b);

	buf_init(b, 1024 * 1024);
	ck_assert_int_eq(conf_dump(c, &to), 0);
	ck_assert_int_eq(buf_putc(b, 0), 0);
}

void
check_dump(struct conf *c)
{
	static struct told t;
	struct buf one, two;
	struct conf *again;

	dump(c, &one);
	again = load((const char *)buf_ptr(&one), &t);
	ck_assert_msg(again != NULL, "%s\n%s", buf_ptr(&one), t.all);
	dump(again, &two);
	ck_assert_str_eq((const char *)buf_ptr(&one), (const char *)buf_ptr(&two));
	conf_free(again);
	buf_free(&one);
	buf_free(&two);
}
