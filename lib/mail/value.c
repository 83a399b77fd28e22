#include "mail/value.h"

size_t
mail_value_flatten(const uint8_t *p, size_t n, char *out, size_t outsz, size_t *used)
{
	size_t i, len = 0, depth = 0;

	for (i = 0; i < n; i++) {
		uint8_t c = p[i];

		if (c == '\\' && depth > 0) {
			i++; /* a quoted pair cannot open or close */
			continue;
		}
		if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (depth == 0) {
			if (c == ';')
				break;
			if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '"' || c == 0)
				continue;
			if (c >= 'A' && c <= 'Z')
				c |= 0x20;
			if (len + 1 < outsz)
				out[len++] = (char)c;
		}
	}
	out[len] = '\0';
	*used = i < n ? i : n;
	return len;
}
