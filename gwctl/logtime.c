/* Points in time, in and out. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gwctl/log.h"

#define DAY 86400

/* "-2h": that long ago. */
static int
ago(const char *s, uint64_t now, uint64_t *out)
{
	static const struct {
		const char *name;
		uint64_t seconds;
	} units[] = {{"s", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", DAY}, {"w", 7 * DAY}};
	uint64_t n = 0;
	size_t i;

	if (!isdigit((unsigned char)*s))
		return -1;
	for (; isdigit((unsigned char)*s); s++)
		if ((n = n * 10 + (uint64_t)(*s - '0')) > 1000000000)
			return -1;
	for (i = 0; i < sizeof units / sizeof units[0]; i++)
		if (strcmp(s, units[i].name) == 0) {
			n *= units[i].seconds * 1000;
			*out = n < now ? now - n : 0;
			return 0;
		}
	return -1;
}

static int
local(uint64_t ms, struct tm *tm)
{
	time_t t = (time_t)(ms / 1000);

	return localtime_r(&t, tm) != NULL ? 0 : -1;
}

static int
to_ms(struct tm *tm, uint64_t *out)
{
	struct tm wanted = *tm;
	time_t t;

	tm->tm_isdst = -1;
	if ((t = mktime(tm)) < 0)
		return -1;
	/* mktime takes the 31st of February for the 3rd of March. */
	if (tm->tm_mday != wanted.tm_mday || tm->tm_mon != wanted.tm_mon)
		return -1;
	*out = (uint64_t)t * 1000;
	return 0;
}

/* "13:00", "13:00:05", or nothing: midnight. */
static int
time_of_day(const char *s, struct tm *tm)
{
	static const char *const forms[] = {"%H:%M:%S", "%H:%M"};
	const char *end;
	size_t i;

	tm->tm_hour = tm->tm_min = tm->tm_sec = 0;
	if (*s == '\0')
		return 0;
	for (i = 0; i < 2; i++)
		if ((end = strptime(s, forms[i], tm)) != NULL && *end == '\0')
			return 0;
	return -1;
}

int
log_time_parse(const char *s, uint64_t now, uint64_t *out)
{
	unsigned long long n;
	const char *rest;
	struct tm tm;
	char *end;

	if (*s == '-')
		return ago(s + 1, now, out);
	if (*s == '@') {
		if (!isdigit((unsigned char)s[1]))
			return -1;
		n = strtoull(s + 1, &end, 10);
		if (*end != '\0' || n > UINT64_MAX / 1000)
			return -1;
		*out = n * 1000;
		return 0;
	}
	if (strcmp(s, "now") == 0) {
		*out = now;
		return 0;
	}
	if (local(now, &tm) == -1)
		return -1;
	if (strcmp(s, "today") == 0 || strcmp(s, "yesterday") == 0) {
		tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
		tm.tm_isdst = -1;
		tm.tm_mday -= *s == 'y';
		*out = (uint64_t)mktime(&tm) * 1000;
		return 0;
	}
	if (strlen(s) >= 10 && s[4] == '-') {
		if ((rest = strptime(s, "%Y-%m-%d", &tm)) == NULL)
			return -1;
		if ((*rest == ' ' || *rest == 'T') && rest[1] != '\0')
			rest++;
		else if (*rest != '\0')
			return -1;
		return time_of_day(rest, &tm) == -1 ? -1 : to_ms(&tm, out);
	}
	return *s == '\0' || time_of_day(s, &tm) == -1 ? -1 : to_ms(&tm, out);
}

const char *
log_time_text(uint64_t ms, char out[LOG_TIME_TEXT])
{
	struct tm tm;
	size_t n;

	if (ms > INT64_MAX / 2 || local(ms, &tm) == -1 ||
	    (n = strftime(out, LOG_TIME_TEXT, "%Y-%m-%d %H:%M:%S", &tm)) == 0) {
		(void)strlcpy(out, "-", LOG_TIME_TEXT);
		return out;
	}
	(void)snprintf(out + n, LOG_TIME_TEXT - n, ".%03u", (unsigned)(ms % 1000));
	return out;
}
