/* What the terminal can show. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "base/clock.h"
#include "gwctl/gwctl.h"

#define COLUMNS_LEAST 40
#define COLUMNS_MOST 1000
#define PROGRESS_MS 200 /* between two looks at a long job */

static int
is_set(const char *name)
{
	const char *v = getenv(name);

	return v != NULL && v[0] != '\0';
}

/* As locale(7) says: the first of these that is set.  Whether that locale is installed is not
 * asked. */
static int
speaks_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
	const char *v = "";
	size_t i;

	for (i = 0; i < sizeof names / sizeof names[0] && v[0] == '\0'; i++)
		if (is_set(names[i]))
			v = getenv(names[i]);
	return strcasestr(v, "UTF-8") != NULL || strcasestr(v, "utf8") != NULL;
}

static size_t
columns(void)
{
	const char *v = getenv("COLUMNS");
	struct winsize w = {0};
	unsigned long n = 80;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0)
		n = w.ws_col;
	else if (v != NULL && strtoul(v, NULL, 10) > 0)
		n = strtoul(v, NULL, 10);
	return n < COLUMNS_LEAST ? COLUMNS_LEAST : n > COLUMNS_MOST ? COLUMNS_MOST : n;
}

const struct term *
term_out(void)
{
	static struct term t;
	static int known;
	const char *kind = getenv("TERM");

	if (known)
		return &t;
	known = 1;
	t.columns = 80;
	if (isatty(STDOUT_FILENO)) {
		t.tty = 1;
		t.columns = columns();
		t.utf8 = speaks_utf8();
		t.colour = !is_set("NO_COLOR") && kind != NULL && kind[0] != '\0' &&
			   strcmp(kind, "dumb") != 0;
	}
	return &t;
}

/* ---- text ---- */

/*
 * The next character: its octets, and the columns that it takes.  The program as a whole stays in
 * the C locale, where comparisons of names mean the same everywhere.
 */
static size_t
next_char(const char *s, mbstate_t *state, size_t *width)
{
	wchar_t wc;
	size_t n = mbrtowc(&wc, s, MB_CUR_MAX, state);
	int w;

	*width = 1;
	if (n == (size_t)-1 || n == (size_t)-2 || n == 0) { /* not UTF-8, or no such locale here */
		memset(state, 0, sizeof *state);
		*width = ((unsigned char)*s & 0xc0) != 0x80;
		return 1;
	}
	if ((w = wcwidth(wc)) >= 0)
		*width = (size_t)w;
	return n;
}

/* Octets of s that take at most so many columns, and how many they take. */
static size_t
walk(const char *s, size_t most, size_t *width)
{
	static locale_t utf8;
	locale_t before;
	mbstate_t state = {0};
	size_t at = 0, n, w;

	if (utf8 == (locale_t)0)
		utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	before = uselocale(utf8);
	for (*width = 0; s[at] != '\0'; at += n, *width += w)
		if (n = next_char(s + at, &state, &w), *width + w > most)
			break;
	(void)uselocale(before);
	return at;
}

size_t
text_width(const char *s)
{
	size_t w;

	(void)walk(s, SIZE_MAX / 2, &w);
	return w;
}

size_t
text_fit(const char *s, size_t most)
{
	size_t w;

	return walk(s, most, &w);
}

void
put_tinted(enum tint tint, const char *s, size_t n)
{
	static const char *const codes[] = {
	    [TINT_HEAD] = "1", [TINT_GOOD] = "32", [TINT_WARN] = "33", [TINT_BAD] = "1;31"};

	if (tint == TINT_NONE || !term_out()->colour)
		(void)printf("%.*s", (int)n, s);
	else
		(void)printf("\x1b[%sm%.*s\x1b[0m", codes[tint], (int)n, s);
}

/* ---- progress ---- */

static uint64_t progress_next;
static int progress_shown;

void
progress(const char *what, size_t done, size_t all)
{
	uint64_t now = clock_ms();

	if (progress_next == 0) /* what is done at once needs none */
		progress_next = now + PROGRESS_MS;
	if (now < progress_next || !isatty(STDERR_FILENO))
		return;
	progress_next = now + PROGRESS_MS;
	progress_clear();
	if (all > 0)
		(void)fprintf(stderr, "%s: %zu of %zu", what, done, all);
	else
		(void)fprintf(stderr, "%s: %zu", what, done);
	progress_shown = 1;
}

void
progress_clear(void)
{
	static const char blank[] = "                                        ";

	if (!progress_shown)
		return;
	(void)fprintf(stderr, "\r%s\r", blank);
	progress_shown = 0;
}
