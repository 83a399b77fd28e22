#include "filterd/text.h"

#include <string.h>

#include "mail/utf8.h"

#define WINDOW (16 * 1024) /* octets looked at together */
#define UTF8_MAX 4 /* octets of a character */

bool
text_blank(const struct octets *o, uint64_t begin, uint64_t end)
{
	uint8_t window[WINDOW];
	size_t step, i;

	for (; begin < end; begin += step) {
		step = end - begin < sizeof window ? (size_t)(end - begin) : sizeof window;
		if (octets_read(o, window, step, begin) == -1)
			return false;
		for (i = 0; i < step; i++)
			if (memchr(" \t\r\n", window[i], 4) == NULL)
				return false;
	}
	return true;
}

bool
text_utf8(const struct octets *o)
{
	uint8_t window[WINDOW];
	uint32_t cp;
	uint64_t off;
	size_t have, i;
	unsigned n;

	for (off = 0; off < o->size; off += i) {
		have = o->size - off < sizeof window ? (size_t)(o->size - off) : sizeof window;
		if (octets_read(o, window, have, off) == -1)
			return false;
		for (i = 0; i < have; i += n) {
			n = mail_utf8_next(window + i, have - i, &cp);
			if (n != 0)
				continue;
			/* The last character may go on in the next window. */
			if (i == 0 || have - i >= UTF8_MAX || off + have == o->size)
				return false;
			break;
		}
	}
	return true;
}
