#include "filterd/mask.h"

#include <stdlib.h>
#include <string.h>

#include "base/enc.h"
#include "model/consumer.h"

#define WINDOW (64 * 1024) /* octets looked at together */
#define LETTERS_MAX 20 /* of a pattern */
#define BREAKS_MAX 4 /* octets of line breaks inside of one: a line is longer than two patterns */
#define REACH (LETTERS_MAX + BREAKS_MAX) /* octets that a match can take */

/* Letters to be found, and those that take their places. */
struct pattern {
	size_t n;
	int base64; /* a line break is CRLF; else quoted-printable's "=" CRLF */
	char find[LETTERS_MAX + 1], put[LETTERS_MAX + 1];
};

#define PATTERNS 4 /* as it is, and base64 at each of three alignments */

static void
patterns_make(struct pattern p[PATTERNS], const char *phrase)
{
	char find[B64_LEN(PHRASE_LEN) + 1], put[B64_LEN(PHRASE_LEN) + 1], x[PHRASE_LEN];
	size_t skip, whole;

	memset(p, 0, PATTERNS * sizeof *p);
	memset(x, 'x', sizeof x);
	p[0].n = PHRASE_LEN;
	memcpy(p[0].find, phrase, PHRASE_LEN);
	memcpy(p[0].put, x, PHRASE_LEN);
	/* Only groups of three octets that are the phrase's alone. */
	for (skip = 0; skip < 3; skip++) {
		whole = (PHRASE_LEN - skip) / 3 * 3;
		p[1 + skip].n = b64_encode(find, phrase + skip, whole);
		p[1 + skip].base64 = 1;
		(void)b64_encode(put, x, whole);
		memcpy(p[1 + skip].find, find, p[1 + skip].n);
		memcpy(p[1 + skip].put, put, p[1 + skip].n);
	}
}

/* Octets of a line break inside a run of letters, 0 for none. */
static size_t
line_break(const struct pattern *p, const uint8_t *t, size_t n)
{
	size_t i = 0;

	if (!p->base64) {
		if (n == 0 || t[0] != '=')
			return 0;
		i = 1;
	}
	if (i < n && t[i] == '\r')
		i++;
	return i < n && t[i] == '\n' ? i + 1 : 0;
}

/* Does the pattern stand at t?  Where each of its letters is. */
static int
match(const struct pattern *p, const uint8_t *t, size_t n, size_t at[LETTERS_MAX])
{
	size_t i = 0, k, b;

	for (k = 0; k < p->n; k++) {
		if (k > 0 && (b = line_break(p, t + i, n - i)) > 0)
			i += b;
		if (i >= n || t[i] != (uint8_t)p->find[k])
			return 0;
		at[k] = i++;
	}
	return 1;
}

/* Octets that the sender's own program has signed or encrypted. */
struct sealed {
	uint64_t begin, end;
};

/* All of them, in order, from the outermost parts; NULL with errno. */
static struct sealed *
sealed_parts(const struct mail_index *ix, size_t *n)
{
	struct sealed *s = calloc((size_t)ix->n + 1, sizeof *s);
	const struct mail_part *p;
	uint32_t i;

	*n = 0;
	for (i = 0; s != NULL && i < ix->n; i++) {
		p = &ix->parts[i];
		if ((*n == 0 || p->head_off >= s[*n - 1].end) &&
		    (mail_part_is(p, "multipart", "signed") ||
			mail_part_is(p, "multipart", "encrypted")))
			s[(*n)++] = (struct sealed){p->body_off, p->body_off + p->body_len};
	}
	return s;
}

/* What to look for, and where not; at: the first sealed part that is not behind us. */
struct masking {
	struct pattern p[PATTERNS];
	struct sealed *sealed;
	size_t nsealed, at;
};

static int
is_sealed(struct masking *m, uint64_t off)
{
	while (m->at < m->nsealed && m->sealed[m->at].end <= off)
		m->at++;
	return m->at < m->nsealed && m->sealed[m->at].begin <= off;
}

/* Replace what begins in the window's first n octets; how many were found. */
static unsigned
mask_window(struct masking *m, uint8_t *w, size_t have, size_t n, uint64_t off)
{
	size_t at[LETTERS_MAX], i, k, j;
	unsigned found = 0;

	for (i = 0; i < n; i++)
		for (k = 0; k < PATTERNS; k++) {
			const struct pattern *p = &m->p[k];

			if (w[i] != (uint8_t)p->find[0] || !match(p, w + i, have - i, at) ||
			    is_sealed(m, off + i))
				continue;
			for (j = 0; j < p->n; j++)
				w[i + at[j]] = (uint8_t)p->put[j];
			found++;
		}
	return found;
}

/* Go through the message; out NULL: only look. 1 found, 0 not, -1 with errno. */
static int
walk(const struct octets *in, struct masking *m, uint8_t *w, struct spool *out)
{
	uint64_t off = 0;
	size_t have, n, kept = 0;
	int found = 0;

	m->at = 0;
	/* What may begin a match at the end of the window is kept for the next one. */
	while (off < in->size) {
		have = in->size - off < WINDOW ? (size_t)(in->size - off) : WINDOW;
		if (octets_read(in, w + kept, have - kept, off + kept) == -1)
			return -1;
		n = off + have == in->size ? have : have - REACH;
		found |= mask_window(m, w, have, n, off) > 0;
		if (out == NULL && found)
			return 1;
		if (out != NULL && spool_write(out, w, n) == -1)
			return -1;
		kept = have - n;
		memmove(w, w + n, kept);
		off += n;
	}
	return found;
}

int
mask_phrase(
    const struct octets *in, const struct mail_index *ix, const char *phrase, struct spool *out)
{
	struct masking m = {.at = 0};
	uint8_t *w = NULL;
	int rc = -1;

	if (strlen(phrase) != PHRASE_LEN)
		return 0;
	patterns_make(m.p, phrase);
	if ((m.sealed = sealed_parts(ix, &m.nsealed)) == NULL || (w = malloc(WINDOW)) == NULL)
		goto out;
	if ((rc = walk(in, &m, w, NULL)) == 1)
		rc = walk(in, &m, w, out);
out:
	free(w);
	free(m.sealed);
	return rc;
}
