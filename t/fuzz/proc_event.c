/* An event of hostile strings: its line is one line, fits, and nobody's field is forged in it. */
#include <stdlib.h>
#include <string.h>

#include "proc/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Fields of the event take their octets from the input, one behind the other. */
static char *
strings(struct log_event *e, const uint8_t *p, size_t n)
{
	char *mem = malloc(n + 1), *at = mem, *end = mem + n;
	const struct rec_field *f;
	const char *s;
	unsigned i, nf;

	if (mem == NULL)
		abort();
	if (n > 0)
		memcpy(mem, p, n);
	*end = '\0';
	f = rec_log_event.rows(&nf);
	for (i = 0; i < nf; i++) {
		if (f[i].type != REC_STR)
			continue;
		s = at;
		memcpy((char *)e + f[i].off, &s, sizeof s);
		at += strlen(at);
		if (at < end)
			at++;
	}
	return mem;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct log_event e = {0};
	size_t room, len, i;
	char *mem, *out;

	if (n < 8)
		return 0;
	e.kind = p[0];
	e.status = p[1];
	e.delay_a = e.delay_b = (uint32_t)p[2] << 24 | p[3];
	e.size = e.nrcpt = p[4];
	room = (size_t)(p[5] << 8 | p[6]) % EVENT_LINE_MAX + 1;
	mem = strings(&e, p + 7, n - 7);
	if ((out = malloc(room)) == NULL)
		abort();
	len = event_line(out, room, &e);
	if (len >= room || strlen(out) != len)
		abort();
	for (i = 0; i < len; i++)
		if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
			abort();
	free(out);
	free(mem);
	return 0;
}
