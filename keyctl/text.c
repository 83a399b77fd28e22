#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/enc.h"
#include "base/log.h"
#include "keyctl/keyctl.h"

int
parse_fpr(const char *s, uint8_t fpr[KEY_FPR])
{
	char digits[2 * KEY_FPR];
	size_t n = 0;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		s += 2;
	for (; *s != '\0'; s++) {
		if (*s == ' ' || *s == ':')
			continue;
		if (n == sizeof digits)
			return -1;
		digits[n++] = *s;
	}
	return n == sizeof digits && hex_decode(fpr, KEY_FPR, digits, n) == KEY_FPR ? 0 : -1;
}

int
parse_span(const char *s, uint64_t *seconds)
{
	static const struct {
		char unit;
		uint64_t days;
	} units[] = {{'d', 1}, {'w', 7}, {'m', 30}, {'y', 365}};
	char *end;
	unsigned long n;

	if (strcmp(s, "never") == 0 || strcmp(s, "0") == 0) {
		*seconds = 0;
		return 0;
	}
	if (!isdigit((unsigned char)*s))
		return -1;
	n = strtoul(s, &end, 10);
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
		if (end[0] == units[i].unit && end[1] == '\0' && n >= 1 &&
		    n <= UINT64_C(36500) / units[i].days) {
			*seconds = n * units[i].days * 86400;
			return 0;
		}
	return -1;
}

const char *
date_text(uint64_t t, char out[16])
{
	time_t when = (time_t)t;
	struct tm tm;

	if (t == 0 || t > UINT32_MAX || gmtime_r(&when, &tm) == NULL ||
	    strftime(out, 16, "%Y-%m-%d", &tm) == 0)
		(void)snprintf(out, 16, "-");
	return out;
}

const char *
shown(const char *s, char out[SHOWN_MAX])
{
	return log_clean(out, SHOWN_MAX, s, strlen(s));
}
