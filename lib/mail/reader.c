#include "mail/reader.h"

#include <stdlib.h>

int
mail_reader_init(struct mail_reader *r, const struct octets *o, uint64_t off, uint64_t n)
{
	if (off > o->size)
		off = o->size;
	if (n > o->size - off)
		n = o->size - off;
	r->o = o;
	r->next = off;
	r->end = off + n;
	r->window = NULL;
	if (o->mem == NULL && n > 0)
		if ((r->window = malloc(n < MAIL_WINDOW ? (size_t)n : MAIL_WINDOW)) == NULL)
			return -1;
	return 0;
}

void
mail_reader_free(struct mail_reader *r)
{
	free(r->window);
	r->window = NULL;
}

ssize_t
mail_reader_next(struct mail_reader *r, const uint8_t **p)
{
	uint64_t n = r->end - r->next;

	if (n == 0)
		return 0;
	if (r->o->mem != NULL) {
		*p = r->o->mem + r->next;
		/* A part of it at a time, so that the result fits a ssize_t anywhere. */
		if (n > (1U << 30))
			n = 1U << 30;
	} else {
		if (n > MAIL_WINDOW)
			n = MAIL_WINDOW;
		if (octets_read(r->o, r->window, (size_t)n, r->next) == -1)
			return -1;
		*p = r->window;
	}
	r->next += n;
	return (ssize_t)n;
}
