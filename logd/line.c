#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "base/log.h"
#include "logd/logd.h"

static const char *
stamp(char *out, size_t outsz, const struct tm *when)
{
	/* RFC 3164, 4.1.2: the day of the month is padded with a space. */
	if (strftime(out, outsz, "%b %e %H:%M:%S", when) == 0)
		out[0] = '\0';
	return out;
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

static size_t
finish(char *out, size_t n, const struct line *l, const char *end)
{
	size_t room = LINE_OUT_MAX - n;

	n += (size_t)snprintf(out + n, room, "postern/%s[%u]: %s", l->who, l->pid, mark(l->level));
	/* Four octets for each one of the text at most, and room for all of that. */
	(void)log_clean(out + n, LINE_OUT_MAX - n - 1, l->text, strlen(l->text));
	n += strlen(out + n);
	n += (size_t)snprintf(out + n, LINE_OUT_MAX - n, "%s", end);
	return n;
}

size_t
line_for_file(char *out, const struct line *l, const char *host)
{
	char when[32];
	int n = snprintf(out, LINE_OUT_MAX, "%s %.*s ", stamp(when, sizeof when, &l->when),
	    (int)strcspn(host, "."), host);

	return finish(out, (size_t)n, l, "\n");
}

size_t
line_for_syslog(char *out, const struct line *l, int facility)
{
	char when[32];
	int n = snprintf(out, LINE_OUT_MAX, "<%d>%s ", facility | severity(l->level),
	    stamp(when, sizeof when, &l->when));

	return finish(out, (size_t)n, l, "");
}
