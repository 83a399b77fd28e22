#include "mail/strings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 4096

struct chunk {
	struct chunk *next;
	size_t used, size;
	char data[];
};

struct mail_strings {
	struct chunk *chunks; /* the newest first */
	size_t left;
};

struct mail_strings *
mail_strings_new(size_t max)
{
	struct mail_strings *s = calloc(1, sizeof *s);

	if (s != NULL)
		s->left = max;
	return s;
}

void
mail_strings_free(struct mail_strings *s)
{
	struct chunk *c;

	if (s == NULL)
		return;
	while ((c = s->chunks) != NULL) {
		s->chunks = c->next;
		free(c);
	}
	free(s);
}

char *
mail_strings_add(struct mail_strings *s, const void *p, size_t n)
{
	struct chunk *c = s->chunks;
	size_t size;
	char *to;

	if (n >= s->left) {
		errno = EMSGSIZE;
		return NULL;
	}
	if (c == NULL || c->size - c->used <= n) {
		size = n + 1 > CHUNK ? n + 1 : CHUNK;
		if ((c = malloc(sizeof *c + size)) == NULL)
			return NULL;
		c->next = s->chunks;
		c->used = 0;
		c->size = size;
		s->chunks = c;
	}
	to = c->data + c->used;
	if (n > 0)
		memcpy(to, p, n);
	to[n] = '\0';
	c->used += n + 1;
	s->left -= n + 1;
	return to;
}
