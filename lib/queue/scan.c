/* Reading a segment: through a window, so that a file that shrinks is only a short read. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "queue/crc32c.h"
#include "queue/inner.h"

void
qs_scan_init(struct scan *sc)
{
	memset(sc, 0, sizeof *sc);
	sc->fd = -1;
}

void
qs_scan_use(struct scan *sc, int fd, uint64_t mark, uint32_t limit)
{
	sc->fd = fd;
	sc->mark = mark;
	sc->limit = limit;
	sc->at = sc->n = 0;
	sc->error = 0;
}

void
qs_scan_free(struct scan *sc)
{
	if (sc->window != NULL)
		explicit_bzero(sc->window, sc->room);
	free(sc->window);
	qs_scan_init(sc);
}

static int
grow(struct scan *sc, uint32_t n)
{
	uint8_t *p;

	if (n <= sc->room)
		return 0;
	if (n < WINDOW_MOST)
		n = WINDOW_MOST;
	if ((p = malloc(n)) == NULL)
		return -1;
	if (sc->window != NULL)
		explicit_bzero(sc->window, sc->room);
	free(sc->window);
	sc->window = p;
	sc->room = n;
	return 0;
}

const uint8_t *
qs_scan_look(struct scan *sc, uint32_t at, uint32_t n)
{
	uint32_t want, near = sc->at + sc->n;
	ssize_t got;

	if (at >= sc->at && n <= sc->n && at - sc->at <= sc->n - n)
		return sc->window + (at - sc->at);
	/* In order, as most of it is: read on in large pieces. */
	want = at >= sc->at && at <= near + WINDOW_LEAST ? WINDOW_MOST : WINDOW_LEAST;
	if (want < n)
		want = n;
	if (grow(sc, want) == -1)
		return NULL;
	sc->at = at;
	sc->n = 0;
	got = qs_io_read(sc->fd, sc->window, want, at);
	if (got == -1 && want > n)
		/* A part that cannot be read need not be one that is needed. */
		got = qs_io_read(sc->fd, sc->window, n, at);
	if (got == -1) {
		sc->error = errno;
		return NULL;
	}
	sc->n = (uint32_t)got;
	return sc->n >= n ? sc->window : NULL;
}

const uint8_t *
qs_scan_record(struct scan *sc, uint32_t at, struct record *r)
{
	const uint8_t *p;

	if (at >= sc->limit || (p = qs_scan_look(sc, at, RECORD_HEAD)) == NULL ||
	    qs_record_decode(r, p, sc->limit - at) == -1 || r->meta > GROUP_MAX ||
	    (p = qs_scan_look(sc, at, RECORD_HEAD + r->meta)) == NULL ||
	    qs_record_check(sc->mark, at, p, r->meta) == -1)
		return NULL;
	return p;
}

int
qs_scan_body(struct scan *sc, uint32_t at, const struct record *r)
{
	uint32_t off = at + RECORD_HEAD + r->meta, left = r->body, n, crc = 0;
	const uint8_t *p;

	for (; left > 0; left -= n, off += n) {
		n = left < WINDOW_LEAST ? left : WINDOW_LEAST;
		if ((p = qs_scan_look(sc, off, n)) == NULL)
			return -1;
		crc = crc32c(crc, p, n);
	}
	return r->body == 0 || crc == r->body_crc ? 0 : -1;
}

int
qs_scan_group(struct scan *sc, uint32_t at, struct group_head *g, int bodies)
{
	uint32_t end, i;
	const uint8_t *p;
	struct record r;

	if (at >= sc->limit || sc->limit - at < GROUP_HEAD ||
	    (p = qs_scan_look(sc, at, GROUP_HEAD)) == NULL ||
	    qs_group_decode(g, sc->mark, at, sc->limit, p) == -1)
		return -1;
	end = at + g->len;
	at += GROUP_HEAD;
	for (i = 0; i < g->nrec; i++) {
		if (at >= end || qs_scan_record(sc, at, &r) == NULL || record_len(&r) > end - at)
			return -1;
		if (bodies && qs_scan_body(sc, at, &r) == -1)
			return -1;
		at += record_len(&r);
	}
	return at == end ? 0 : -1;
}

uint32_t
qs_scan_find(struct scan *sc, uint32_t from, struct group_head *g, int bodies)
{
	const uint8_t *p;
	uint32_t at, n, have, i;

	for (at = (from + 7) & ~7U; at + GROUP_HEAD <= sc->limit; at += n) {
		have = n = sc->limit - at < WINDOW_LEAST ? sc->limit - at : WINDOW_LEAST;
		if ((p = qs_scan_look(sc, at, n)) == NULL) {
			/* The file may end here, or a block of it may be unreadable. */
			have = sc->at == at ? sc->n : 0;
			p = sc->window;
		}
		for (i = 0; i + 8 <= have; i += 8) {
			if (get_be64(p + i) != sc->mark)
				continue;
			if (qs_scan_group(sc, at + i, g, bodies) == 0)
				return at + i;
			if ((p = qs_scan_look(sc, at, have)) == NULL)
				break;
		}
	}
	return NONE;
}
