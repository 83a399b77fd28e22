/* The two texts of MTA-STS: the record in the DNS, and the policy. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/netaddr.h"
#include "keyd/sts.h"

static int
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static struct bytes
trim(struct bytes b)
{
	for (; b.n > 0 && is_blank(b.p[0]); b.p++)
		b.n--;
	while (b.n > 0 && is_blank(b.p[b.n - 1]))
		b.n--;
	return b;
}

static int
is(struct bytes b, const char *s)
{
	return b.n == strlen(s) && memcmp(b.p, s, b.n) == 0;
}

/* What is before c, and in *rest what is behind it; without one all of it, and rest->p is NULL. */
static struct bytes
before(struct bytes b, uint8_t c, struct bytes *rest)
{
	const uint8_t *p = b.n > 0 ? memchr(b.p, c, b.n) : NULL;

	if (p == NULL) {
		*rest = (struct bytes){NULL, 0};
		return b;
	}
	*rest = (struct bytes){p + 1, b.n - (size_t)(p - b.p) - 1};
	b.n = (size_t)(p - b.p);
	return b;
}

/* ---- the record ---- */

static int
take_id(struct bytes record, char *id, struct err *e)
{
	struct bytes field, value, rest = record;
	size_t i;

	while (rest.p != NULL) {
		field = before(trim(before(rest, ';', &rest)), '=', &value);
		if (!is(field, "id"))
			continue;
		for (i = 0; i < value.n; i++)
			if (!isascii(value.p[i]) || !isalnum(value.p[i]))
				break;
		if (i < value.n || i == 0 || i > STS_ID_MAX)
			return err_set(e, EBADMSG, "its record has no proper id");
		memcpy(id, value.p, i);
		id[i] = '\0';
		return 0;
	}
	return err_set(e, EBADMSG, "its record has no id");
}

int
sts_record(const struct dns_txt *v, size_t n, char *id, struct err *e)
{
	struct bytes rest, record = {NULL, 0};
	size_t i, found = 0;

	for (i = 0; i < n; i++)
		if (is(trim(before(v[i].text, ';', &rest)), "v=STSv1") && rest.p != NULL &&
		    v[i].text.p[0] == 'v') {
			record = rest;
			found++;
		}
	if (found != 1)
		return err_set(e, ENOENT,
		    found == 0 ? "no record begins with v=STSv1"
			       : "several records begin with v=STSv1");
	return take_id(record, id, e);
}

/* ---- the policy ---- */

/* What may stand once; further ones do not count (3.2). */
enum { HAS_VERSION = 1, HAS_MODE = 2, HAS_AGE = 4 };

static int
take_version(struct bytes value, struct err *e)
{
	return is(value, "STSv1") ? 0 : err_set(e, EBADMSG, "its version is not STSv1");
}

static int
take_mode(struct bytes value, struct sts_policy *out, struct err *e)
{
	if (is(value, "enforce"))
		out->mode = STS_ENFORCE;
	else if (is(value, "testing"))
		out->mode = STS_TESTING;
	else if (is(value, "none"))
		out->mode = STS_NONE;
	else
		return err_set(e, EBADMSG, "its mode is none that is known");
	return 0;
}

static int
take_age(struct bytes value, struct sts_policy *out, struct err *e)
{
	size_t i;

	out->max_age = 0;
	for (i = 0; i < value.n && i < 10; i++) {
		if (value.p[i] < '0' || value.p[i] > '9')
			break;
		out->max_age = out->max_age * 10 + (uint64_t)(value.p[i] - '0');
	}
	if (i < value.n || i == 0)
		return err_set(e, EBADMSG, "its max_age is not a number of 1 to 10 digits");
	if (out->max_age > STS_AGE_MAX)
		out->max_age = STS_AGE_MAX;
	return 0;
}

/* "mail.example.org" or "*.example.org" (4.1). */
static int
take_mx(struct bytes value, struct sts_policy *out, struct err *e)
{
	char *mx;
	size_t i;

	if (out->nmx == STS_MXS_MAX)
		return err_set(e, E2BIG, "it has more than %d mx", STS_MXS_MAX);
	mx = out->mx[out->nmx];
	if (value.n >= sizeof out->mx[0] || memchr(value.p, '\0', value.n) != NULL)
		return err_set(e, EBADMSG, "one of its mx is no name");
	for (i = 0; i < value.n; i++)
		mx[i] = (char)tolower(value.p[i]);
	mx[value.n] = '\0';
	if (!host_valid(strncmp(mx, "*.", 2) == 0 ? mx + 2 : mx))
		return err_set(e, EBADMSG, "one of its mx is no name");
	out->nmx++;
	return 0;
}

static size_t
add(char *to, struct bytes b)
{
	size_t i;

	for (i = 0; i < b.n; i++)
		to[i] = (char)(b.p[i] >= ' ' && b.p[i] <= '~' ? b.p[i] : '?');
	return b.n;
}

/* Into the text for people; what finds no room, and all behind it, is left out. */
static void
note(struct sts_policy *out, struct bytes name, struct bytes value, int *full)
{
	size_t at = strlen(out->text);

	if (*full || at + 1 + name.n + 2 + value.n > STS_TEXT_MAX) {
		*full = 1;
		return;
	}
	if (at > 0)
		out->text[at++] = '\n';
	at += add(out->text + at, name);
	out->text[at++] = ':';
	out->text[at++] = ' ';
	at += add(out->text + at, value);
	out->text[at] = '\0';
}

/* Returns 1 when the field is one that is known, 0 when not, -1 with e. */
static int
take_field(
    struct bytes name, struct bytes value, struct sts_policy *out, unsigned *have, struct err *e)
{
	static const struct {
		const char *name;
		unsigned bit;
	} once[] = {{"version", HAS_VERSION}, {"mode", HAS_MODE}, {"max_age", HAS_AGE}};
	size_t i;
	int rc;

	if (is(name, "mx"))
		return take_mx(value, out, e) == 0 ? 1 : -1;
	for (i = 0; i < 3 && !is(name, once[i].name); i++)
		;
	if (i == 3 || (*have & once[i].bit) != 0)
		return 0;
	*have |= once[i].bit;
	rc = i == 0   ? take_version(value, e)
	     : i == 1 ? take_mode(value, out, e)
		      : take_age(value, out, e);
	return rc == 0 ? 1 : -1;
}

/* Lines end with LF or CRLF. */
static int
take_line(struct bytes line, struct sts_policy *out, unsigned *have, int *full, struct err *e)
{
	struct bytes name, value;
	int rc;

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (trim(line).n == 0)
		return 0;
	name = before(line, ':', &value);
	if (value.p == NULL || name.n == 0 || is_blank(name.p[0]))
		return err_set(e, EBADMSG, "it has a line that is not \"name: value\"");
	if ((rc = take_field(name, trim(value), out, have, e)) == 1)
		note(out, name, trim(value), full);
	return rc == -1 ? -1 : 0;
}

int
sts_parse(const uint8_t *p, size_t n, struct sts_policy *out, struct err *e)
{
	struct bytes line, rest = {p, n};
	unsigned have = 0;
	int full = 0;

	memset(out, 0, sizeof *out);
	if (n > STS_POLICY_OCTETS)
		return err_set(e, EMSGSIZE, "it has more than %d octets", STS_POLICY_OCTETS);
	while (rest.p != NULL) {
		line = before(rest, '\n', &rest);
		if (take_line(line, out, &have, &full, e) == -1)
			return -1;
	}
	if (have != (HAS_VERSION | HAS_MODE | HAS_AGE))
		return err_set(e, EBADMSG, "it has no %s",
		    (have & HAS_VERSION) == 0 ? "version"
		    : (have & HAS_MODE) == 0  ? "mode"
					      : "max_age");
	if (out->nmx == 0 && out->mode != STS_NONE)
		return err_set(e, EBADMSG, "it has no mx");
	return 0;
}
