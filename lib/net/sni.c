#include "net/sni.h"

#include <errno.h>
#include <stdbool.h>

#include "base/buf.h"

#define LABEL_MAX 63 /* octets (RFC 1035, 2.3.4) */
#define TYPE_HOST_NAME 0

static bool
is_alnum(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Copy a label of n octets in lower case; false: it is none. */
static bool
copy_label(char *to, const unsigned char *p, size_t n, bool *digits)
{
	size_t i;

	*digits = true;
	if (n == 0 || n > LABEL_MAX || p[0] == '-' || p[n - 1] == '-')
		return false;
	for (i = 0; i < n; i++) {
		to[i] = (char)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] + ('a' - 'A') : p[i]);
		if (!is_alnum((unsigned char)to[i]) && to[i] != '-')
			return false;
		*digits = *digits && to[i] >= '0' && to[i] <= '9';
	}
	return true;
}

int
sni_host_name(const void *p, size_t n, int wildcard, char out[SNI_NAME_MAX + 1])
{
	const unsigned char *name = p;
	size_t at = 0, end;
	bool digits = true;

	if (n > 0 && name[n - 1] == '.')
		n--;
	if (n == 0 || n > SNI_NAME_MAX)
		goto bad;
	if (wildcard && n > 2 && name[0] == '*' && name[1] == '.') {
		out[0] = '*';
		out[1] = '.';
		at = 2;
	}
	for (;; at = end + 1) {
		for (end = at; end < n && name[end] != '.'; end++)
			;
		if (!copy_label(out + at, name + at, end - at, &digits))
			goto bad;
		if (end == n)
			break;
		out[end] = '.';
	}
	/* No top-level domain is a number, but an address ends in one. */
	if (digits)
		goto bad;
	out[n] = '\0';
	return 0;
bad:
	out[0] = '\0';
	errno = EINVAL;
	return -1;
}

int
sni_parse(const uint8_t *ext, size_t n, char out[SNI_NAME_MAX + 1])
{
	size_t len;

	/* One list; one name of each type, and there never was a second type. */
	if (n < 5 || get_be16(ext) != n - 2 || ext[2] != TYPE_HOST_NAME)
		goto bad;
	len = get_be16(ext + 3);
	if (len != n - 5)
		goto bad;
	return sni_host_name(ext + 5, len, 0, out);
bad:
	out[0] = '\0';
	errno = EINVAL;
	return -1;
}
