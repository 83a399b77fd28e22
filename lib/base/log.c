#include "base/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static log_sink sink;
static void *sink_arg;
static const char *log_ident = "postern";
static enum log_level log_max = LOG_L_INFO;

void
log_set_sink(log_sink s, void *arg)
{
	sink = s;
	sink_arg = arg;
}

void
log_init(const char *ident, enum log_level max)
{
	log_ident = ident;
	log_max = max;
}

static void __attribute__((format(printf, 2, 0)))
vlog(enum log_level level, const char *fmt, va_list ap)
{
	char line[LOG_LINE_MAX];
	int n;

	if (level > log_max)
		return;
	n = vsnprintf(line, sizeof line, fmt, ap);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof line)
		memcpy(line + sizeof line - 4, "...", 4);
	if (sink != NULL)
		sink(level, line, sink_arg);
	else
		(void)fprintf(stderr, "%s: %s\n", log_ident, line);
}

#define LOG_FUNCTION(name, level)                                                                  \
	void name(const char *fmt, ...)                                                            \
	{                                                                                          \
		va_list ap;                                                                        \
		va_start(ap, fmt);                                                                 \
		vlog(level, fmt, ap);                                                              \
		va_end(ap);                                                                        \
	}

LOG_FUNCTION(log_err, LOG_L_ERR)
LOG_FUNCTION(log_warn, LOG_L_WARN)
LOG_FUNCTION(log_info, LOG_L_INFO)
LOG_FUNCTION(log_debug, LOG_L_DEBUG)

/* Length of the well-formed UTF-8 sequence at p (RFC 3629, 4), 0 if there is none. */
static size_t
utf8_len(const uint8_t *p, size_t n)
{
	size_t len, i;

	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		len = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		len = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (n < len)
		return 0;
	for (i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	/* C1 controls and the separators and overrides that reorder or break a displayed line. */
	if (p[0] == 0xc2 && p[1] < 0xa0)
		return 0;
	if (p[0] == 0xe2 && ((p[1] == 0x80 && p[2] >= 0xa8 && p[2] <= 0xae) ||
				(p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9)))
		return 0;
	return len;
}

/* What becomes of an octet. */
enum { ESCAPE, PLAIN, OPEN, HIGH };

/* Printable ASCII stays in all of them; those here are the special ones of log_escape. */
static const uint8_t fields[256] = {
    [' ' ... '!'] = PLAIN,
    ['#' ... '+'] = PLAIN,
    ['-' ... ';'] = PLAIN,
    ['='] = PLAIN,
    ['?' ... 'Z'] = PLAIN,
    ['^' ... '~'] = PLAIN,
    [0xc2 ... 0xf4] = HIGH,
};
static const uint8_t texts[256] = {
    [' ' ... '!'] = PLAIN,
    ['#' ... '+'] = PLAIN,
    ['-' ... ';'] = PLAIN,
    ['<'] = OPEN,
    ['='] = PLAIN,
    ['?' ... 'Z'] = PLAIN,
    ['['] = OPEN,
    ['^' ... '~'] = PLAIN,
    [0xc2 ... 0xf4] = HIGH,
};
static const uint8_t lines[256] = {[' ' ... '~'] = PLAIN, [0xc2 ... 0xf4] = HIGH};

#define ENCLOSED_MAX 320 /* octets of an address */

/* Length of <...> or [...] at p when it may stay, 0 if it may not. */
static size_t
enclosed(const uint8_t *p, size_t n)
{
	uint8_t end = p[0] == '<' ? '>' : ']';
	size_t i;

	for (i = 1; i < n && i < ENCLOSED_MAX; i++) {
		if (p[i] == end)
			return i + 1;
		if (fields[p[i]] != PLAIN || p[i] == ' ' || p[i] == ';')
			return 0;
	}
	return 0;
}

static size_t
stays(const uint8_t *p, size_t i, size_t n, const uint8_t kind[256])
{
	switch (kind[p[i]]) {
	case PLAIN:
		return 1;
	case OPEN:
		return i > 0 && p[i - 1] == '=' ? 0 : enclosed(p + i, n - i);
	case HIGH:
		return utf8_len(p + i, n - i);
	default:
		return 0;
	}
}

static char *
escape(char *out, size_t outsz, const void *s, size_t n, const uint8_t kind[256])
{
	static const char hex[] = "0123456789ABCDEF";
	const uint8_t *p = s;
	size_t o = 0, i = 0, len;

	while (i < n) {
		/* 4 octets more for an escape, 4 for the ellipsis and its NUL. */
		for (; i < n && kind[p[i]] == PLAIN && o + 5 <= outsz; i++)
			out[o++] = (char)p[i];
		if (i == n)
			break;
		len = stays(p, i, n, kind);
		if (o + (len ? len : 4) + 4 > outsz) {
			memcpy(out + o, "...", 4);
			return out;
		}
		if (len > 0) {
			memcpy(out + o, p + i, len);
			o += len;
			i += len;
		} else {
			out[o++] = '\\';
			out[o++] = 'x';
			out[o++] = hex[p[i] >> 4];
			out[o++] = hex[p[i++] & 15];
		}
	}
	out[o] = '\0';
	return out;
}

char *
log_escape(char *out, size_t outsz, const void *s, size_t n)
{
	return escape(out, outsz, s, n, fields);
}

char *
log_escape_text(char *out, size_t outsz, const void *s, size_t n)
{
	return escape(out, outsz, s, n, texts);
}

char *
log_clean(char *out, size_t outsz, const void *s, size_t n)
{
	return escape(out, outsz, s, n, lines);
}

const char *
log_str(const char *s)
{
	static char ring[8][LOG_FIELD_MAX];
	static unsigned next;
	char *out = ring[next++ % 8];

	if (s == NULL)
		return "-";
	return log_escape(out, LOG_FIELD_MAX, s, strlen(s));
}
