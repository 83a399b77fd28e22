/* Public test messages, when they are at hand: POSTERN_CORPUS, or ../shared/corpus. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "mail/classify.h"
#include "mail/encode.h"
#include "mail/header.h"
#include "mail/mime.h"
#include "mail/write.h"
#include "t/unit/unit.h"

Suite *corpus_suite(void);

#define FILE_MAX (4 * 1024 * 1024)

static unsigned files, parts;
static void (*visit)(const char *path, const struct octets *o);

static int
one_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	struct octets o;
	uint8_t *data;
	FILE *f;

	(void)ftw;
	if (type != FTW_F || st->st_size > FILE_MAX || strstr(path, "pkits") != NULL)
		return 0;
	ck_assert_ptr_nonnull(f = fopen(path, "r"));
	ck_assert_ptr_nonnull(data = malloc((size_t)st->st_size + 1));
	o = octets_mem(data, fread(data, 1, (size_t)st->st_size, f));
	visit(path, &o);
	files++;
	free(data);
	fclose(f);
	return 0;
}

static bool
walk(void (*fn)(const char *path, const struct octets *o))
{
	const char *dir = getenv("POSTERN_CORPUS");

	visit = fn;
	files = parts = 0;
	if (nftw(dir != NULL ? dir : "../shared/corpus", one_file, 16, FTW_PHYS) == -1 ||
	    files == 0) {
		printf("# skipped: no corpus (POSTERN_CORPUS)\n");
		return false;
	}
	printf("# %u files, %u parts\n", files, parts);
	return true;
}

/* Write a part by the index alone. */
static void
rebuild(const struct octets *o, const struct mail_index *ix, uint32_t i, struct buf *b)
{
	const struct mail_part *p = &ix->parts[i];
	uint64_t off = p->body_off, end = p->body_off + p->body_len;
	uint32_t c;

	ck_assert_int_eq(buf_put(b, o->mem + p->head_off, p->head_len), 0);
	for (c = p->child; c != MAIL_NONE; c = ix->parts[c].next) {
		ck_assert_uint_ge(ix->parts[c].head_off, off);
		ck_assert_int_eq(buf_put(b, o->mem + off, ix->parts[c].head_off - off), 0);
		rebuild(o, ix, c, b);
		off = ix->parts[c].body_off + ix->parts[c].body_len;
	}
	ck_assert_uint_le(off, end);
	ck_assert_int_eq(buf_put(b, o->mem + off, end - off), 0);
}

static void
check_index(const char *path, const struct octets *o)
{
	struct mail_index ix;
	struct buf b;

	buf_init(&b, o->size + 1);
	ck_assert_int_eq(mail_index_make(&ix, o), 0);
	rebuild(o, &ix, 0, &b);
	ck_assert_msg(
	    buf_len(&b) == o->size && memcmp(buf_ptr(&b), o->mem, o->size) == 0, "%s", path);
	parts += ix.n;
	mail_index_free(&ix);
	buf_free(&b);
}

START_TEST(copying_by_the_index_gives_the_message)
{
	walk(check_index);
}
END_TEST

/* How many parts another parser saw, from the .xml beside the message; 0: there is none. */
static unsigned
expected_parts(const char *path)
{
	static const char *const marks[] = {"<message>", "<body-part>"};
	char xml[4096], line[8192];
	unsigned n = 0;
	size_t i;
	FILE *f;

	ck_assert_uint_lt(strlcpy(xml, path, sizeof xml), sizeof xml);
	memcpy(xml + strlen(xml) - 3, "xml", 3);
	if ((f = fopen(xml, "r")) == NULL)
		return 0;
	while (fgets(line, sizeof line, f) != NULL)
		for (i = 0; i < 2; i++)
			n += strstr(line, marks[i]) != NULL;
	fclose(f);
	return n;
}

static void
check_parts(const char *path, const struct octets *o)
{
	/* Where we differ on purpose: encoded containers are leaves, and so is a multipart whose
	 * boundary is over MAIL_BOUNDARY_MAX; a boundary does not end with white space. */
	static const char *const others[] = {"base64encoded-rfc822message.msg",
	    "base64encoded-rfc822message-nested.msg", "bad-newlines-multiple-parts-base64.msg",
	    "multi-2gifs-base64.msg", "very-long-boundary.msg", "very-very-long-boundary.msg",
	    "weird-boundary.msg"};
	const char *name = strrchr(path, '/') + 1;
	struct mail_index ix;
	unsigned want;
	size_t i, n = strlen(path);

	for (i = 0; i < sizeof others / sizeof others[0]; i++)
		if (strcmp(name, others[i]) == 0)
			return;
	if (n < 4 || strcmp(path + n - 4, ".msg") != 0 || (want = expected_parts(path)) == 0)
		return;
	ck_assert_int_eq(mail_index_make(&ix, o), 0);
	ck_assert_msg(ix.n == want, "%s: %u parts, not %u", path, ix.n, want);
	parts += ix.n;
	mail_index_free(&ix);
}

START_TEST(the_parts_are_those_that_another_parser_sees)
{
	walk(check_parts);
}
END_TEST

static void
check_7bit(const char *path, const struct octets *o)
{
	struct mail_index ix, ix2;
	struct octets o2;
	struct buf b, b2;
	struct sink s = sink_buf(&b), s2 = sink_buf(&b2);

	buf_init(&b, 8 * o->size + 65536);
	buf_init(&b2, 8 * o->size + 65536);
	ck_assert_int_eq(mail_index_make(&ix, o), 0);
	if (mail_to_7bit(o, &ix, 0, 0, &s) == 0) {
		o2 = octets_mem(buf_ptr(&b), buf_len(&b));
		ck_assert_int_eq(mail_index_make(&ix2, &o2), 0);
		ck_assert_msg(ix.n == ix2.n, "%s", path);
		/* It needs no further change. */
		ck_assert_int_eq(mail_to_7bit(&o2, &ix2, 0, 0, &s2), 0);
		ck_assert_msg(buf_len(&b2) == buf_len(&b), "%s", path);
		ck_assert_mem_eq(buf_ptr(&b2), buf_ptr(&b), buf_len(&b));
		parts += ix2.n;
		mail_index_free(&ix2);
	}
	mail_index_free(&ix);
	buf_free(&b);
	buf_free(&b2);
}

START_TEST(real_mail_becomes_7bit_with_the_same_parts)
{
	walk(check_7bit);
}
END_TEST

static void
check_scan(const char *path, const struct octets *o)
{
	struct mail_scan s;
	unsigned whole;
	uint64_t i;

	mail_scan_init(&s);
	mail_scan_feed(&s, o->mem, o->size);
	whole = mail_scan_end(&s);
	mail_scan_init(&s);
	for (i = 0; i < o->size; i += 7)
		mail_scan_feed(&s, o->mem + i, o->size - i < 7 ? o->size - i : 7);
	ck_assert_msg(mail_scan_end(&s) == whole, "%s", path);
	if (memmem(o->mem, o->size, "-----BEGIN PGP ", 15) != NULL)
		ck_assert_msg(whole & MAIL_SCAN_INLINE, "%s", path);
}

START_TEST(the_scan_does_not_depend_on_chunks)
{
	walk(check_scan);
}
END_TEST

Suite *
corpus_suite(void)
{
	return unit_suite("corpus", (const TTest *const[]){copying_by_the_index_gives_the_message,
					the_parts_are_those_that_another_parser_sees,
					real_mail_becomes_7bit_with_the_same_parts,
					the_scan_does_not_depend_on_chunks, NULL});
}
