/* Text in and out. */
#include <inttypes.h>
#include <readpassphrase.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/enc.h"
#include "base/log.h"
#include "gwctl/gwctl.h"

const char *
shown(const char *s)
{
	static char ring[16][SHOWN_MAX];
	static unsigned next;

	if (s == NULL)
		return "-";
	return log_clean(ring[next++ % 16], SHOWN_MAX, s, strlen(s));
}

static int
utc(uint64_t t, struct tm *tm)
{
	time_t when = (time_t)t;

	return t != 0 && t <= INT64_MAX && gmtime_r(&when, tm) != NULL ? 0 : -1;
}

const char *
date_text(uint64_t t, char out[DATE_TEXT])
{
	struct tm tm;

	if (utc(t, &tm) == -1 || strftime(out, DATE_TEXT, "%Y-%m-%d", &tm) == 0)
		(void)strlcpy(out, "-", DATE_TEXT);
	return out;
}

const char *
time_text(uint64_t t, char out[DATE_TEXT])
{
	struct tm tm;

	if (utc(t, &tm) == -1 || strftime(out, DATE_TEXT, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		(void)strlcpy(out, "-", DATE_TEXT);
	return out;
}

const char *
span_text(uint64_t s, char out[DATE_TEXT])
{
	if (s >= 86400)
		(void)snprintf(
		    out, DATE_TEXT, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s / 3600 % 24);
	else if (s >= 3600)
		(void)snprintf(
		    out, DATE_TEXT, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
	else if (s >= 60)
		(void)snprintf(out, DATE_TEXT, "%" PRIu64 " min", s / 60);
	else
		(void)snprintf(out, DATE_TEXT, "%" PRIu64 " s", s);
	return out;
}

size_t
parse_key_id(const char *s, uint8_t *out)
{
	char digits[64];
	size_t n = 0;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		s += 2;
	for (; *s != '\0'; s++) {
		if (*s == ' ' || *s == ':')
			continue;
		if (n == sizeof digits)
			return 0;
		digits[n++] = *s;
	}
	if ((n != 16 && n != 40 && n != 64) || hex_decode(out, 32, digits, n) == -1)
		return 0;
	return n / 2;
}

int
ask_yes(const char *question)
{
	char prompt[600], answer[16];

	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return -1;
	(void)snprintf(prompt, sizeof prompt, "%s\nType yes to go on: ", question);
	if (readpassphrase(prompt, answer, sizeof answer, RPP_REQUIRE_TTY | RPP_ECHO_ON) == NULL)
		return 0;
	return strcasecmp(answer, "yes") == 0;
}
