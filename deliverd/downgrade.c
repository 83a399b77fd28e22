/* What a message needs of a server, and a form of it that needs less. */
#include "deliverd/downgrade.h"

#include <errno.h>
#include <string.h>

#include "base/vec.h"
#include "mail/encode.h"
#include "mail/header.h"

void
facts_init(struct facts *f)
{
	memset(f, 0, sizeof *f);
	f->last = '\n'; /* so that a dot at the very beginning begins a line, and is no bare LF */
}

/* The octet c behind the octet last. */
static void
facts_pair(struct facts *f, uint8_t last, uint8_t c)
{
	f->binary |= (last == '\r') != (c == '\n');
	f->dots |= last == '\n' && c == '.';
}

void
facts_add(struct facts *f, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n;
	vec v, next, eight = {0}, binary = {0}, dots = {0};

	if (n == 0)
		return;
	facts_pair(f, f->last, *p);
	f->size += n;
	f->last = end[-1];
	for (; end - p > VEC_OCTETS; p += VEC_OCTETS) {
		v = vec_load(p);
		next = vec_load(p + 1);
		eight |= v;
		binary |= (vec_is(v, '\r') ^ vec_is(next, '\n')) | vec_is(v, 0);
		dots |= vec_is(v, '\n') & vec_is(next, '.');
	}
	f->eight |= vec_any(eight & 0x80);
	f->binary |= vec_any(binary);
	f->dots |= vec_any(dots);
	for (; p < end; p++) {
		f->eight |= *p >= 0x80;
		f->binary |= *p == 0;
		if (p + 1 < end)
			facts_pair(f, *p, p[1]);
	}
}

void
facts_end(struct facts *f)
{
	f->binary |= f->size > 0 && f->last == '\r';
	f->ends = f->size == 0 || f->last == '\n';
}

int
head_is_utf8(const struct octets *o)
{
	struct mail_header h;
	struct mail_field f;
	size_t pos = 0, i;
	int found = 0;

	if (mail_header_load(&h, o, 0, o->size) == -1)
		return -1;
	while (!found && mail_field_next(&h, &pos, &f))
		for (i = 0; !found && i < f.len; i++)
			found = h.data[f.off + i] >= 0x80;
	/* What lies behind is not known: rather too careful. */
	found |= h.cut;
	mail_header_free(&h);
	return found;
}

int
downgrade(const struct octets *o, struct spool *to)
{
	struct sink s = spool_sink(to);
	struct mail_index ix;
	int rc = -1, code;

	if (mail_index_make(&ix, o) == 0)
		rc = mail_to_7bit(o, &ix, 0, 0, &s);
	code = errno;
	mail_index_free(&ix);
	errno = code;
	return rc == 0 ? spool_finish(to) : -1;
}
