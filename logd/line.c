#include <string.h>
#include <syslog.h>
#include <time.h>

#include "base/log.h"
#include "logd/logd.h"

const char *
line_stamp(time_t now)
{
	static char text[LINE_STAMP_MAX];
	static time_t of = -1;
	struct tm tm;

	if (now == of)
		return text;
	/* RFC 3164, 4.1.2: the day of the month is padded with a space. */
	if (localtime_r(&now, &tm) == NULL ||
	    strftime(text, sizeof text, "%b %e %H:%M:%S", &tm) == 0)
		text[0] = '\0';
	of = now;
	return text;
}

/* As Postfix marks what is not plain information. */
static const char *
mark(enum log_level level)
{
	switch (level) {
	case LOG_L_ERR:
		return "error: ";
	case LOG_L_WARN:
		return "warning: ";
	default:
		return "";
	}
}

static int
severity(enum log_level level)
{
	switch (level) {
	case LOG_L_ERR:
		return LOG_ERR;
	case LOG_L_WARN:
		return LOG_WARNING;
	case LOG_L_INFO:
		return LOG_INFO;
	default:
		return LOG_DEBUG;
	}
}

/* Append at most max octets; a printf for each line would take as long as all else together. */
static char *
add(char *p, const char *s, size_t max)
{
	size_t n = strnlen(s, max);

	memcpy(p, s, n);
	return p + n;
}

/* Words of ours. */
static char *
add_own(char *p, const char *s)
{
	return stpcpy(p, s);
}

static char *
add_number(char *p, uint32_t v)
{
	char b[10];
	size_t i = sizeof b;

	do
		b[--i] = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	return add(p, b + i, sizeof b - i);
}

static size_t
finish(char *out, char *p, const struct line *l, const char *end)
{
	size_t n;

	p = add(p, l->tag, LINE_TAG_MAX);
	*p++ = '/';
	p = add(p, l->who, 32);
	*p++ = '[';
	p = add_number(p, l->pid);
	p = add_own(p, "]: ");
	p = add_own(p, mark(l->level));
	/* Four octets for each one of the text at most, and room for all of that. */
	n = LINE_OUT_MAX - (size_t)(p - out) - 1;
	if (!l->escaped)
		p += strlen(log_clean(p, n, l->text, strlen(l->text)));
	else
		p = add(p, l->text, n - 1);
	p = add_own(p, end);
	*p = '\0';
	return (size_t)(p - out);
}

size_t
line_for_file(char *out, const struct line *l, const char *host)
{
	size_t n = strcspn(host, ".");
	char *p = add(out, l->stamp, LINE_STAMP_MAX);

	*p++ = ' ';
	p = add(p, host, n < LINE_HOST_MAX ? n : LINE_HOST_MAX);
	*p++ = ' ';
	return finish(out, p, l, "\n");
}

size_t
line_for_syslog(char *out, const struct line *l, int facility)
{
	char *p = out;

	*p++ = '<';
	p = add_number(p, (uint32_t)(facility | severity(l->level)));
	*p++ = '>';
	p = add(p, l->stamp, LINE_STAMP_MAX);
	*p++ = ' ';
	return finish(out, p, l, "");
}
