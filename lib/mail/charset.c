#include <errno.h>
#include <iconv.h>
#include <string.h>
#include <strings.h>

#include "mail/header.h"
#include "mail/utf8.h"

/*
 * A sender names the charset, and the C library's rarer converters have had their share of
 * holes and endless loops: only what mail is really written in is converted.
 */
static const char *const known[] = {"ISO-8859-2", "ISO-8859-3", "ISO-8859-4", "ISO-8859-5",
    "ISO-8859-6", "ISO-8859-7", "ISO-8859-8", "ISO-8859-9", "ISO-8859-10", "ISO-8859-13",
    "ISO-8859-14", "ISO-8859-15", "ISO-8859-16", "WINDOWS-1250", "WINDOWS-1251", "WINDOWS-1253",
    "WINDOWS-1254", "WINDOWS-1255", "WINDOWS-1256", "WINDOWS-1257", "WINDOWS-1258", "KOI8-R",
    "KOI8-U", "ISO-2022-JP", "SHIFT_JIS", "EUC-JP", "GB2312", "GBK", "GB18030", "BIG5", "EUC-KR",
    "ISO-2022-KR", "TIS-620", "MACINTOSH", "IBM437", "IBM850", "UTF-7", "UTF-16BE", "UTF-16LE"};
#define NKNOWN (sizeof known / sizeof known[0])

static const struct {
	const char *alias;
	const char *name;
} aliases[] = {{"CP1250", "WINDOWS-1250"}, {"CP1251", "WINDOWS-1251"}, {"SJIS", "SHIFT_JIS"},
    {"X-SJIS", "SHIFT_JIS"}, {"KS_C_5601-1987", "EUC-KR"}, {"UTF-16", "UTF-16BE"},
    {"ISO-8859-8-I", "ISO-8859-8"}, {"CP437", "IBM437"}, {"CP850", "IBM850"}, {"X-GBK", "GBK"},
    {"CN-BIG5", "BIG5"}};

static iconv_t opened[NKNOWN];
static bool is_open[NKNOWN];

static const char *const utf8_names[] = {
    "UTF-8", "UTF8", "US-ASCII", "ASCII", "UNKNOWN-8BIT", "ANSI_X3.4-1968", NULL};
static const char *const latin_names[] = {
    "ISO-8859-1", "ISO8859-1", "LATIN1", "WINDOWS-1252", "CP1252", "X-UNKNOWN", NULL};

/* 0x80 to 0x9f of Windows-1252; 0 is unassigned. */
static const uint16_t cp1252[32] = {0x20ac, 0, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6,
    0x2030, 0x160, 0x2039, 0x152, 0, 0x17d, 0, 0, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013,
    0x2014, 0x2dc, 0x2122, 0x161, 0x203a, 0x153, 0, 0x17e, 0x178};

static bool
is_one_of(const char *name, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcasecmp(name, *list) == 0)
			return true;
	return false;
}

/* The converter, or (iconv_t)-1. */
static iconv_t
converter(const char *charset)
{
	size_t i;

	for (i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
		if (strcasecmp(charset, aliases[i].alias) == 0)
			charset = aliases[i].name;
	for (i = 0; i < NKNOWN; i++) {
		if (strcasecmp(charset, known[i]) != 0)
			continue;
		if (!is_open[i]) {
			opened[i] = iconv_open("UTF-8", known[i]);
			is_open[i] = opened[i] != (iconv_t)-1;
		}
		return opened[i];
	}
	return (iconv_t)-1;
}

void
mail_charset_init(void)
{
	size_t i;

	for (i = 0; i < NKNOWN; i++)
		(void)converter(known[i]);
}

static int
put_cp(struct buf *out, uint32_t cp)
{
	uint8_t u[4];

	return buf_put(out, u, mail_utf8_put(u, cp));
}

static int
from_utf8(struct bytes in, struct buf *out)
{
	size_t i = 0;
	uint32_t cp;
	unsigned n;

	while (i < in.n) {
		if ((n = mail_utf8_next(in.p + i, in.n - i, &cp)) == 0) {
			cp = 0xfffd;
			n = 1;
		}
		if (put_cp(out, cp) == -1)
			return -1;
		i += n;
	}
	return 0;
}

static int
from_latin(struct bytes in, struct buf *out)
{
	size_t i;

	for (i = 0; i < in.n; i++) {
		uint32_t cp = in.p[i];

		if (cp >= 0x80 && cp < 0xa0)
			cp = cp1252[cp - 0x80] != 0 ? cp1252[cp - 0x80] : 0xfffd;
		if (put_cp(out, cp) == -1)
			return -1;
	}
	return 0;
}

static int
from_iconv(iconv_t cd, struct bytes in, struct buf *out)
{
	char *from = (char *)(uintptr_t)in.p, *to, chunk[512];
	size_t left = in.n, room;
	bool last = false;

	iconv(cd, NULL, NULL, NULL, NULL);
	while (left > 0 || !last) {
		to = chunk;
		room = sizeof chunk;
		last = left == 0;
		errno = 0;
		/* With nothing left: what the converter still holds back comes out. */
		if (iconv(cd, last ? NULL : &from, last ? NULL : &left, &to, &room) == (size_t)-1 &&
		    errno != E2BIG && left > 0) {
			from++;
			left--;
			if (buf_put(out, chunk, sizeof chunk - room) == -1 ||
			    put_cp(out, 0xfffd) == -1)
				return -1;
			continue;
		}
		if (buf_put(out, chunk, sizeof chunk - room) == -1)
			return -1;
	}
	return 0;
}

int
mail_to_utf8(const char *charset, struct bytes in, struct buf *out)
{
	iconv_t cd;

	if (is_one_of(charset, utf8_names))
		return from_utf8(in, out);
	if (is_one_of(charset, latin_names))
		return from_latin(in, out);
	if ((cd = converter(charset)) == (iconv_t)-1) {
		errno = EINVAL;
		return -1;
	}
	return from_iconv(cd, in, out);
}
