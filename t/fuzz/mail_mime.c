/* Any octets have an index: parts nest, lie in order, and put together again give the whole;
 * from memory and through the window the same. */
#include <stdlib.h>
#include <string.h>

#include "mail/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct whole {
	const uint8_t *p;
	size_t n;
};

/* Serve it in small pieces, as a file might. */
static ssize_t
piecewise(void *ctx, void *to, size_t n, uint64_t off)
{
	struct whole *w = ctx;

	if (off >= w->n)
		return 0;
	if (n > w->n - off)
		n = w->n - (size_t)off;
	if (n > 7)
		n = 7;
	memcpy(to, w->p + off, n);
	return (ssize_t)n;
}

static void
check(const struct mail_index *ix)
{
	uint32_t i;

	for (i = 0; i < ix->n; i++) {
		const struct mail_part *p = &ix->parts[i], *up;
		uint64_t end = p->body_off + p->body_len;

		if (p->body_off != p->head_off + p->head_len || end > ix->size ||
		    p->head_lines > p->head_len || p->body_lines > p->body_len)
			abort();
		if (p->parent == MAIL_NONE) {
			if (i != 0 || p->head_off != 0 || end != ix->size)
				abort();
			continue;
		}
		up = &ix->parts[p->parent];
		if (p->parent >= i || p->depth != up->depth + 1 || p->head_off < up->body_off ||
		    end > up->body_off + up->body_len)
			abort();
		if (p->next != MAIL_NONE && (p->next <= i || ix->parts[p->next].head_off < end ||
						ix->parts[p->next].parent != p->parent))
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct octets mem = octets_mem(data, size);
	struct whole w = {data, size};
	struct octets file = {.size = size, .pread = piecewise, .ctx = &w};
	struct mail_index a, b;
	uint32_t i;

	if (mail_index_make(&a, &mem) == -1 || mail_index_make(&b, &file) == -1)
		abort();
	check(&a);
	if (a.n != b.n || a.truncated != b.truncated)
		abort();
	for (i = 0; i < a.n; i++) {
		struct mail_part *p = &a.parts[i], *q = &b.parts[i];

		if (p->head_off != q->head_off || p->body_off != q->body_off ||
		    p->body_len != q->body_len || p->flags != q->flags ||
		    p->body_lines != q->body_lines || p->head_lines != q->head_lines ||
		    strcmp(p->boundary, q->boundary) != 0 || strcmp(p->name, q->name) != 0)
			abort();
	}
	mail_index_free(&a);
	mail_index_free(&b);
	return 0;
}
