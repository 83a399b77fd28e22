#include "mail/classify.h"

#include <string.h>

#include "base/vec.h"
#include "mail/value.h"

/*
 * A small automaton takes octet by octet while something is pending.  While nothing is, what could
 * begin something is looked for 16 octets at a time, and as pairs, which leave little of ordinary
 * mail to stop at (see stops); where there is AVX2, 64 at a time and as triples (see triples):
 *
 *  "-" and "="	the armour line, as it is or in quoted-printable.  No letter of the marker is "=",
 *		and "-" is no hexadecimal digit, so reading everything as quoted-printable finds
 *		the plain spelling as well.
 *  U		a late letter of each of the marker's three base64 spellings, rare in text: the
 *		letters before it are compared backwards, over whatever stands between them, and
 *		those behind it, if any, as they come.
 *  LF		a line starts: Content-Type, Content-Disposition, or one of our own fields.  In the
 *		message's header a bare CR starts a line too, since some readers think so.
 *
 * The last octet of a chunk always goes to the automaton, so chunks of one octet are read by it
 * alone: the tests compare everything else with that.
 */
static const char marker[] = "-----BEGIN PGP ";
#define MARKER_LEN (sizeof marker - 1)
#define MARKER_DASHES 5

/* The base64 spellings up to the anchor, and what must follow it. */
#define ANCHOR 'U'
static const struct {
	const char *text;
	uint8_t len;
	const char *rest;
} spelling[] = {
    {"LS0tLS1CRU", 10, "dJTiBQ"}, /* 0 octets before the marker in its group */
    {"0tLS0tQkVHSU4gU", 15, ""}, /* 1 */
    {"tLS0tLUJFR0lOIFBHU", 18, ""}, /* 2 */
};

enum {
	NAME_TYPE = 1,
	NAME_OURS = 2,
	NAME_DISPOSITION = 4,
	NAME_BODY = NAME_TYPE | NAME_DISPOSITION
};
static const char name_type[] = "content-type";
static const char name_ours[] = "x-postern-";
static const char name_disposition[] = "content-disposition";

enum line {
	L_TEXT, /* nothing to see until the next line */
	L_FIRST, /* the very start of the message: white space is skipped */
	L_NAME, /* a name in ->names may still match */
	L_CR, /* a line that started with CR: the end of the header if LF follows */
	L_COLON, /* behind "Content-Type" or "Content-Disposition", which ->names tells */
	L_COLON_LF, /* the same, at the start of a line: a fold? */
	L_TYPE, /* in its value */
	L_TYPE_LF, /* the same, at the start of a line: a fold? */
};

static inline bool
is_b64(uint8_t c)
{
	static const bool letter[256] = {['+'] = true,
	    ['/'] = true,
	    ['0' ... '9'] = true,
	    ['A' ... 'Z'] = true,
	    ['a' ... 'z'] = true};

	return letter[c];
}

static inline int
hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void
mail_scan_init(struct mail_scan *s)
{
	memset(s, 0, offsetof(struct mail_scan, hist));
	s->in_header = true;
	s->line = L_FIRST;
	s->names = NAME_BODY | NAME_OURS;
}

/* One decoded octet against the marker (Knuth, Morris, Pratt: only dashes can overlap). */
static inline void
armour_octet(struct mail_scan *s, uint8_t c)
{
	if (c == (uint8_t)marker[s->armour]) {
		if (++s->armour == MARKER_LEN) {
			s->found |= MAIL_SCAN_INLINE;
			s->armour = 0;
		}
	} else if (c == '-')
		s->armour = s->armour == MARKER_DASHES ? MARKER_DASHES : 1;
	else
		s->armour = 0;
}

enum qp { Q_NONE, Q_EQUALS, Q_HEX, Q_CR, Q_SPACE };

static void
qp_octet(struct mail_scan *s, uint8_t c)
{
	int v;

	switch ((enum qp)s->qp) {
	case Q_NONE:
		break;
	case Q_EQUALS:
	case Q_SPACE:
		if (c == '\n') {
			s->qp = Q_NONE;
			return;
		}
		if (c == '\r' || c == ' ' || c == '\t') {
			s->qp = c == '\r' ? Q_CR : Q_SPACE;
			return;
		}
		if (s->qp == Q_EQUALS && (v = hex_value(c)) >= 0) {
			s->hex = (uint8_t)v;
			s->qp = Q_HEX;
			return;
		}
		s->armour = 0;
		break;
	case Q_HEX:
		if ((v = hex_value(c)) >= 0) {
			s->qp = Q_NONE;
			armour_octet(s, (uint8_t)(s->hex << 4 | v));
			return;
		}
		s->armour = 0;
		break;
	case Q_CR:
		if (c == '\n') {
			s->qp = Q_NONE;
			return;
		}
		s->armour = 0;
		break;
	}
	s->qp = Q_NONE;
	if (c == '=')
		s->qp = Q_EQUALS;
	else
		armour_octet(s, c);
}

static bool
has_nocase(const uint8_t *p, size_t n, const char *word, size_t len)
{
	size_t i;

	for (i = 0; i + len <= n; i++)
		/* Letters of either case differ in 0x20 alone. */
		if (((p[i] ^ (uint8_t)word[0]) & ~0x20) == 0 &&
		    strncasecmp((const char *)p + i, word, len) == 0)
			return true;
	return false;
}

/* The same of a word that begins with no letter. */
static bool
has_marked(const uint8_t *p, size_t n, const char *word, size_t len)
{
	const uint8_t *at, *end = p + n;

	while ((size_t)(end - p) >= len &&
	       (at = memchr(p, word[0], (size_t)(end - p) - len + 1)) != NULL) {
		if (strncasecmp((const char *)at, word, len) == 0)
			return true;
		p = at + 1;
	}
	return false;
}

/* The value of Content-Type or Content-Disposition is there, up to MAIL_SCAN_TYPE_MAX octets. */
static void
judge_type(struct mail_scan *s)
{
	static const char pgp[] = "application/pgp", pkcs7[] = "application/pkcs7-",
			  xpkcs7[] = "application/x-pkcs7-";
	char type[64];
	size_t used, n;

	if (has_marked(s->type, s->ntype, "\rx-postern-", 11))
		s->found |= MAIL_SCAN_FORGED;
	if (s->ntype == MAIL_SCAN_TYPE_MAX &&
	    memchr(s->type + MAIL_SCAN_TYPE_MAX - 11, '\r', 11) != NULL)
		s->found |= MAIL_SCAN_ODD; /* that may be cut off */
	/* The name of a file that may be ciphertext. */
	if (has_marked(s->type, s->ntype, ".pgp", 4) || has_marked(s->type, s->ntype, ".gpg", 4))
		s->found |= MAIL_SCAN_INLINE;
	if (s->names & NAME_DISPOSITION) {
		if (s->ntype == MAIL_SCAN_TYPE_MAX)
			s->found |= MAIL_SCAN_ODD;
		return;
	}
	n = mail_value_flatten(s->type, s->ntype, type, sizeof type, &used);
	if (used == MAIL_SCAN_TYPE_MAX || n == sizeof type - 1)
		s->found |= MAIL_SCAN_ODD;
	if (strcmp(type, "multipart/encrypted") == 0)
		s->found |= MAIL_SCAN_ENCRYPTED;
	else if (strcmp(type, "multipart/signed") == 0) {
		/* S/MIME's own says so; whatever is not sure is taken for OpenPGP. */
		if (s->ntype < MAIL_SCAN_TYPE_MAX && has_nocase(s->type, s->ntype, "pkcs7", 5) &&
		    !has_nocase(s->type, s->ntype, "pgp", 3))
			s->found |= MAIL_SCAN_SMIME;
		else
			s->found |= MAIL_SCAN_SIGNED;
	} else if (strcmp(type, "application/pgp-signature") == 0)
		s->found |= MAIL_SCAN_SIGNED;
	else if (strncmp(type, pgp, sizeof pgp - 1) == 0 &&
		 strcmp(type, "application/pgp-keys") != 0)
		s->found |= MAIL_SCAN_ENCRYPTED;
	else if (strncmp(type, pkcs7, sizeof pkcs7 - 1) == 0 ||
		 strncmp(type, xpkcs7, sizeof xpkcs7 - 1) == 0)
		s->found |= MAIL_SCAN_SMIME;
}

static inline void
line_start(struct mail_scan *s, unsigned names)
{
	s->line = L_NAME;
	s->names = (uint8_t)names;
	s->pos = 0;
}

/* An octet while names may still match. */
static void
name_octet(struct mail_scan *s, uint8_t c)
{
	uint8_t low = c >= 'A' && c <= 'Z' ? c | 0x20 : c;

	/* NAME_TYPE: the line started behind LF, so that an empty one ends the header */
	if (s->pos == 0 && s->in_header && (s->names & NAME_TYPE)) {
		if (c == '\r') {
			s->line = L_CR;
			return;
		}
		if (c == '\n') {
			s->in_header = false;
			line_start(s, NAME_BODY);
			return;
		}
	}
	if ((s->names & NAME_TYPE) && low != (uint8_t)name_type[s->pos])
		s->names &= (uint8_t)~NAME_TYPE;
	if ((s->names & NAME_DISPOSITION) && low != (uint8_t)name_disposition[s->pos])
		s->names &= (uint8_t)~NAME_DISPOSITION;
	if ((s->names & NAME_OURS) && low != (uint8_t)name_ours[s->pos])
		s->names &= (uint8_t)~NAME_OURS;
	s->pos++;
	if (s->names & NAME_OURS && s->pos == sizeof name_ours - 1) {
		s->found |= MAIL_SCAN_FORGED;
		s->names = 0;
	}
	if ((s->names & NAME_TYPE && s->pos == sizeof name_type - 1) ||
	    (s->names & NAME_DISPOSITION && s->pos == sizeof name_disposition - 1)) {
		s->line = L_COLON;
		return;
	}
	if (s->names == 0) {
		s->line = L_TEXT;
		if (c == '\n')
			line_start(s, NAME_BODY | (s->in_header ? NAME_OURS : 0));
	}
}

/* An octet of a Content-Type's value. */
static void
type_octet(struct mail_scan *s, uint8_t c)
{
	if (s->ntype < MAIL_SCAN_TYPE_MAX)
		s->type[s->ntype++] = c;
	if (s->ntype == MAIL_SCAN_TYPE_MAX) {
		judge_type(s);
		s->line = L_TEXT;
		if (c == '\n')
			line_start(s, NAME_BODY | (s->in_header ? NAME_OURS : 0));
	} else if (c == '\n')
		s->line = L_TYPE_LF;
}

static void
line_octet(struct mail_scan *s, uint8_t c)
{
	bool space = c == ' ' || c == '\t';

	switch ((enum line)s->line) {
	case L_TEXT:
		if (c == '\n')
			line_start(s, NAME_BODY | (s->in_header ? NAME_OURS : 0));
		break;
	case L_FIRST:
		if (!space) {
			line_start(s, NAME_BODY | NAME_OURS);
			name_octet(s, c);
		}
		break;
	case L_NAME:
		name_octet(s, c);
		break;
	case L_CR:
		if (c == '\n') {
			s->in_header = false;
			line_start(s, NAME_BODY);
		} else {
			line_start(s, NAME_OURS);
			name_octet(s, c);
		}
		break;
	case L_TYPE_LF:
		if (!space)
			judge_type(s);
		/* fall through */
	case L_COLON_LF:
		if (!space) {
			line_start(s, NAME_BODY | (s->in_header ? NAME_OURS : 0));
			name_octet(s, c);
			break;
		}
		s->line = s->line == L_TYPE_LF ? L_TYPE : L_COLON;
		line_octet(s, c);
		break;
	case L_COLON:
		if (c == ':') {
			s->ntype = 0;
			s->line = L_TYPE;
		} else if (c == '\n')
			s->line = L_COLON_LF;
		else if (!space && c != '\r')
			s->line = L_TEXT;
		break;
	case L_TYPE:
		type_octet(s, c);
		break;
	}
}

/* Four letters in a row decide nearly always; no branch for each, since they are as random. */
static inline bool
b64_may_end(const uint8_t *start, const uint8_t *at)
{
	uint32_t got, want;
	unsigned i, may;

	if (at - start < 3)
		return true;
	may = !is_b64(at[-1]) + !is_b64(at[-2]) + !is_b64(at[-3]);
	memcpy(&got, at - 3, sizeof got);
	for (i = 0; i < 3; i++) {
		memcpy(&want, spelling[i].text + spelling[i].len - sizeof want, sizeof want);
		may += got == want;
	}
	return may != 0;
}

/*
 * Which base64 spelling of the marker has its anchor at *at?  Looks back within the chunk, then in
 * the letters remembered from before.  NULL: none; else what must follow.
 */
static const char *
b64_look(const struct mail_scan *s, const uint8_t *start, const uint8_t *at)
{
	unsigned alive = 7, i, k, hist = s->nhist;
	const uint8_t *p = at;
	uint8_t c = *at;

	for (k = 1;; k++) { /* c is the kth letter from the end */
		for (i = 0; i < 3; i++) {
			if (!(alive & 1u << i))
				continue;
			if ((uint8_t)spelling[i].text[spelling[i].len - k] != c)
				alive &= ~(1u << i);
			else if (k == spelling[i].len)
				return spelling[i].rest;
		}
		if (alive == 0)
			return NULL;
		while (p > start && !is_b64(p[-1]))
			p--;
		if (p > start)
			c = *--p;
		else if (hist > 0)
			c = s->hist[--hist];
		else
			return NULL;
	}
}

static inline const char *
b64_at(const struct mail_scan *s, const uint8_t *start, const uint8_t *at)
{
	return b64_may_end(start, at) ? b64_look(s, start, at) : NULL;
}

/* A letter of base64, or what stands between letters. */
static inline void
b64_octet(struct mail_scan *s, const uint8_t *start, const uint8_t *at)
{
	if (*at == ANCHOR)
		s->rest = b64_at(s, start, at);
	else if (s->rest != NULL && is_b64(*at))
		s->rest = *at == (uint8_t)*s->rest ? s->rest + 1 : NULL;
	if (s->rest != NULL && *s->rest == '\0') {
		s->found |= MAIL_SCAN_INLINE;
		s->rest = NULL;
	}
}

/* One octet that the quick skip may not pass. */
static void
octet(struct mail_scan *s, const uint8_t *start, const uint8_t *at)
{
	uint8_t c = *at;

	/* A bare CR in the header: is it a line of ours to those who think it starts one?  In a
	 * Content-Type's value judge_type looks for that. */
	if (s->last_cr && c != '\n' &&
	    (s->line == L_TEXT || s->line == L_NAME || (s->line == L_COLON && (c | 0x20) == 'x')))
		line_start(s, NAME_OURS);
	s->last_cr = s->in_header && c == '\r';
	b64_octet(s, start, at);
	line_octet(s, c);
	qp_octet(s, c);
}

/* Keep the last letters of what was remembered and this chunk. */
static void
remember(struct mail_scan *s, const uint8_t *start, const uint8_t *end)
{
	uint8_t got[MAIL_SCAN_HISTORY];
	unsigned n = 0, keep;

	while (end > start && n < MAIL_SCAN_HISTORY)
		if (is_b64(*--end))
			got[MAIL_SCAN_HISTORY - ++n] = *end;
	keep = MAIL_SCAN_HISTORY - n < s->nhist ? MAIL_SCAN_HISTORY - n : s->nhist;
	memmove(s->hist, s->hist + s->nhist - keep, keep);
	memcpy(s->hist + keep, got + MAIL_SCAN_HISTORY - n, n);
	s->nhist = (uint8_t)(keep + n);
}

/*
 * With nothing pending, an octet c before an octet d need not be read when the automaton would be
 * where it is without it, whatever follows.  Where that is not so:
 *
 *  c is "-"	and d another one, or the "=" of a coded one or of a soft break
 *  c is "="	and d is "2": only "=2D" is a coded "-", and with no dash before it a soft break or
 *		any other coded octet changes nothing
 *  c is LF	and d begins Content-Type or Content-Disposition; in the header also one of ours, or
 *		the empty line; there a bare CR too, before one of ours
 *  d is U	and c the letter before it in a base64 spelling, or no letter of base64, over which
 *		b64_at looks back
 *
 * Where stops() is not 0 it may be wrong, for the price of a closer look; where it is 0 it must be
 * right.
 */
static inline vec
stops(vec c, vec d, bool header)
{
	vec lf = vec_is(c, '\n'), low = d | 0x20, at, before, high;

	/* "-" and "=" differ in one bit. */
	at = (vec_is(c, '-') & vec_is(d & (uint8_t) ~('-' ^ '='), '-' & '=')) |
	     (vec_is(c, '=') & vec_is(d, '2')) | (lf & vec_is(low, 'c'));
	if (header)
		at |= (lf & (vec_is(d, '\r') | vec_is(d, '\n'))) |
		      ((lf | vec_is(c, '\r')) & vec_is(low, 'x'));
	/* No letter of base64 is what is below "/" ("+" alone by mistake) or 8 bits wide, ":", or
	 * in one of the six columns that hold no letter. */
	before = vec_is(c, 'R') | vec_is(c, 'g') | vec_is(c, 'H') | vec_is(c, ':') |
		 (vec)((vec_signed)((c - 1) & 0x1f) > 0x19);
	high = (vec)((vec_signed)c > '.');
	return at | (vec_is(d, ANCHOR) & ~(high & ~before));
}

/* The same for the last few octets. */
static inline bool
stops_at(uint8_t c, uint8_t d, bool header)
{
	uint8_t low = d | 0x20;

	if (d == ANCHOR)
		return true;
	switch (c) {
	case '-':
		return d == '-' || d == '=';
	case '=':
		return d == '2';
	case '\n':
		return low == 'c' || (header && (low == 'x' || d == '\r' || d == '\n'));
	case '\r':
		return header && low == 'x';
	default:
		return false;
	}
}

#ifdef VEC_AVX2
#define WIDE 66 /* octets that 64 triples need */

/*
 * The same for a body with AVX2, as triples: each octet chooses from its place's table what it may
 * be part of, and what all three may be part of is a stop.
 */
enum {
	T_DASH = 0x01, /* "--" or "-=" before what may go on with it */
	T_CODED = 0x02, /* "=2D" */
	T_NAME = 0x04, /* LF and "co" */
	/* Before the anchor. */
	T_LOW = 0x08, /* below "0" ("+" and "/" by mistake) or 8 bits wide */
	T_BEHIND = 0x10, /* behind the digits, the capitals, the small letters: but ":" */
	T_COLON = 0x20,
	T_COLUMN = 0x40, /* "@", "`", "g", "H" ("G" and "h" by mistake) */
	T_R = 0x80,
	T_ALL = 0xf8
};

/* By the low half of the first octet; what else has that half is seen through later. */
static const uint8_t first_low[16] = {[0xa] = T_NAME, [0xd] = T_DASH | T_CODED};
/* By either half of the second. */
static const uint8_t second_low[16] = {T_LOW | T_COLUMN, T_LOW, T_LOW | T_CODED | T_R,
    T_LOW | T_NAME, T_LOW, T_LOW, T_LOW, T_LOW | T_COLUMN, T_LOW | T_COLUMN, T_LOW, T_LOW | T_COLON,
    T_LOW | T_BEHIND, T_LOW | T_BEHIND, T_LOW | T_BEHIND | T_DASH, T_LOW | T_BEHIND,
    T_LOW | T_BEHIND};
static const uint8_t second_high[16] = {T_LOW, T_LOW, T_LOW | T_DASH,
    T_BEHIND | T_COLON | T_DASH | T_CODED, T_COLUMN | T_NAME, T_BEHIND | T_R, T_COLUMN | T_NAME,
    T_BEHIND, T_LOW, T_LOW, T_LOW, T_LOW, T_LOW, T_LOW, T_LOW, T_LOW};
/* By the low half of the third: white space, "-", "=", "2"; "d"; "o".  The anchor has another. */
static const uint8_t third_low[16] = {[0] = T_DASH,
    [2] = T_DASH,
    [4] = T_CODED,
    [9] = T_DASH,
    [0xa] = T_DASH,
    [0xd] = T_DASH,
    [0xf] = T_NAME};

VEC_AVX2 static inline __m256i
table(const uint8_t t[16])
{
	return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)t));
}

/* Where the 32 triples that begin at p on are a stop. */
VEC_AVX2 static inline __m256i
triples(const uint8_t *p)
{
	const __m256i half = _mm256_set1_epi8(0x0f);
	__m256i a = vec_load32(p), b = vec_load32(p + 1), c = vec_load32(p + 2), by, low, high;

	/* An octet of 8 bits chooses nothing, unless it is cut to its low half. */
	low = _mm256_shuffle_epi8(table(second_low), _mm256_and_si256(b, half));
	high = _mm256_shuffle_epi8(
	    table(second_high), _mm256_and_si256(_mm256_srli_epi16(b, 4), half));
	by = _mm256_and_si256(
	    _mm256_shuffle_epi8(table(first_low), a), _mm256_shuffle_epi8(table(third_low), c));
	by = _mm256_or_si256(by, _mm256_and_si256(_mm256_cmpeq_epi8(c, _mm256_set1_epi8(ANCHOR)),
				     _mm256_set1_epi8((char)T_ALL)));
	return _mm256_and_si256(_mm256_and_si256(low, high), by);
}

/*
 * The first octet from p on that stops() should look at: where a triple stops, or fewer than WIDE
 * octets are left.  Neither *p nor p[1] is an anchor: no triple from p on ends there.
 */
VEC_AVX2 static const uint8_t *
skip_wide(const struct mail_scan *s, const uint8_t *start, const uint8_t *p, const uint8_t *end)
{
	__m256i a, b;
	uint64_t at;

	for (; end - p >= WIDE; p += 64) {
		a = triples(p);
		b = triples(p + 32);
		if (_mm256_testz_si256(_mm256_or_si256(a, b), _mm256_set1_epi8(-1)))
			continue;
		for (at = vec_mask64(a, b); at != 0; at &= at - 1) {
			const uint8_t *q = p + __builtin_ctzll(at);

			if (q[2] != ANCHOR && stops_at(q[0], q[1], false))
				return q;
			if (q[2] == ANCHOR && b64_at(s, start, q + 2) != NULL)
				return q + 1;
		}
	}
	return p;
}
#endif

/*
 * The first octet from p on that the automaton must read, or the last one, of which nothing is
 * known.  p < end; header is a constant, so that a body does not pay for the header's stops.
 */
__attribute__((always_inline)) static inline const uint8_t *
skip(const struct mail_scan *s, const uint8_t *start, const uint8_t *p, const uint8_t *end,
    bool header)
{
	const uint8_t *last = end - 1;
	vec at;

	while (p < last) {
#ifdef VEC_AVX2
		if (!header && end - p >= WIDE && p[1] != ANCHOR && vec_avx2())
			p = skip_wide(s, start, p, end);
#endif
		if (last - p >= VEC_OCTETS) {
			at = stops(vec_load(p), vec_load(p + 1), header);
			if (!vec_any(at)) {
				p += VEC_OCTETS;
				continue;
			}
			p += vec_first(at);
		} else if (!stops_at(p[0], p[1], header)) {
			p++;
			continue;
		}
		if (p[1] != ANCHOR)
			return p;
		if (b64_at(s, start, ++p) != NULL)
			return p;
	}
	return p;
}

/*
 * In a value, with nothing else pending: take what is nothing but its octets, up to the end of the
 * line, and not the one that fills it.  Returns the first octet not taken; p < end.
 */
static const uint8_t *
type_run(struct mail_scan *s, const uint8_t *start, const uint8_t *p, const uint8_t *end)
{
	size_t room = MAIL_SCAN_TYPE_MAX - s->ntype, n;
	const uint8_t *to, *lf;

	to = skip(s, start, p, (size_t)(end - p) > room ? p + room : end, true);
	if ((lf = memchr(p, '\n', (size_t)(to - p))) != NULL)
		to = lf;
	n = (size_t)(to - p);
	if (n == 0)
		return p;
	memcpy(s->type + s->ntype, p, n);
	s->ntype = (uint16_t)(s->ntype + n);
	s->last_cr = s->in_header && to[-1] == '\r';
	return to;
}

void
mail_scan_feed(struct mail_scan *s, const void *data, size_t n)
{
	const uint8_t *start = data, *p = start, *end = start + n;

	while (p < end) {
		if (s->line == L_NAME && s->pos == 0 && !stops_at('\n', *p, s->in_header))
			s->line = L_TEXT; /* no name begins like that */
		if (s->line == L_TEXT && s->qp == Q_NONE && !s->last_cr) {
			if (s->armour == 0 && s->rest == NULL && *p != ANCHOR)
				p = s->in_header ? skip(s, start, p, end, true)
						 : skip(s, start, p, end, false);
			else if (s->armour == MARKER_DASHES)
				while (*p == '-' && end - p > 1)
					p++;
		} else if (s->line == L_TYPE && s->qp == Q_NONE && s->armour == 0 &&
			   s->rest == NULL && *p != ANCHOR)
			p = type_run(s, start, p, end);
		octet(s, start, p++);
	}
	if (n > 0)
		remember(s, start, end);
}

unsigned
mail_scan_end(struct mail_scan *s)
{
	if (s->line == L_TYPE || s->line == L_TYPE_LF) {
		judge_type(s);
		s->line = L_TEXT;
	}
	return s->found;
}
