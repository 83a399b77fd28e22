/* Trust anchors: DS and DNSKEY records (RFC 4034, 2 and 5) in the text of a file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/enc.h"
#include "base/log.h"
#include "dnsd/dnsd.h"

#define LINE_LEN 8192 /* octets; a key of RSA with 4096 bits has 700 */
#define KEY_LEN 2048 /* octets of a public key, or of a digest */
#define WORDS_MAX 128 /* a key or digest may stand in several */
#define BLANKS " \t\r"

#define FLAG_ZONE 0x0100 /* RFC 4034, 2.1.1 */
#define FLAG_REVOKE 0x0080 /* RFC 5011, 7 */

/* One record on its way. */
struct line {
	char *word[WORDS_MAX];
	size_t n, at;
	char zone[NAME_MAX_OCTETS + 2];
	char data[LINE_LEN]; /* its words joined */
	uint8_t octets[KEY_LEN];
	struct err why;
};

/*
 * What validates here (RFC 8624), and octets of the key where that is fixed.  libunbound passes
 * over anchors that it cannot use, and then nothing is validated: better to say so at once.
 */
static const struct {
	unsigned algorithm;
	size_t octets;
} algorithms[] = {{5, 0}, {7, 0}, {8, 0}, {10, 0}, {13, 64}, {14, 96}, {15, 32}, {16, 57}};

static const struct {
	unsigned type;
	size_t octets;
} digests[] = {{1, 20}, {2, 32}, {4, 48}};

static int
number(struct line *l, unsigned max, unsigned *out)
{
	const char *s = l->at < l->n ? l->word[l->at++] : "";
	size_t len = strlen(s);

	if (len == 0)
		return err_set(&l->why, EINVAL, "the record ends too early: write it in one line");
	if (len > 5 || strspn(s, "0123456789") != len ||
	    (*out = (unsigned)strtoul(s, NULL, 10)) > max)
		return err_set(&l->why, EINVAL, "%s is not a number of 0 to %u", log_str(s), max);
	return 0;
}

/* What is left of the record, without the blanks between. */
static void
join(struct line *l)
{
	l->data[0] = '\0';
	while (l->at < l->n)
		(void)strlcat(l->data, l->word[l->at++], sizeof l->data);
}

static int
known_algorithm(struct line *l, unsigned algorithm, size_t *octets)
{
	size_t i;

	for (i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++)
		if (algorithms[i].algorithm == algorithm) {
			*octets = algorithms[i].octets;
			return 0;
		}
	return err_set(&l->why, ENOTSUP, "algorithm %u is not known here", algorithm);
}

/* A record as libunbound takes it, in *out; or NULL there: it does not count. */
static int
read_ds(struct line *l, char **out)
{
	unsigned tag, algorithm, type;
	size_t i, unused;
	ssize_t n;

	if (number(l, 65535, &tag) == -1 || number(l, 255, &algorithm) == -1 ||
	    number(l, 255, &type) == -1 || known_algorithm(l, algorithm, &unused) == -1)
		return -1;
	join(l);
	n = hex_decode(l->octets, sizeof l->octets, l->data, strlen(l->data));
	for (i = 0; i < sizeof digests / sizeof digests[0]; i++)
		if (digests[i].type == type)
			break;
	if (i == sizeof digests / sizeof digests[0])
		return err_set(&l->why, ENOTSUP, "digest type %u is not known here", type);
	if (n == -1 || (size_t)n != digests[i].octets)
		return err_set(&l->why, EINVAL, "the digest is not one of %zu octets in hex",
		    digests[i].octets);
	if (asprintf(out, "%s IN DS %u %u %u %s", l->zone, tag, algorithm, type, l->data) == -1)
		return err_set(&l->why, ENOMEM, "no memory");
	return 0;
}

static int
read_dnskey(struct line *l, char **out)
{
	unsigned flags, protocol, algorithm;
	size_t octets = 0;
	ssize_t n;

	if (number(l, 65535, &flags) == -1 || number(l, 255, &protocol) == -1 ||
	    number(l, 255, &algorithm) == -1 || known_algorithm(l, algorithm, &octets) == -1)
		return -1;
	join(l);
	n = b64_decode(l->octets, sizeof l->octets, l->data, strlen(l->data));
	if (n <= 0 || (octets > 0 && (size_t)n != octets))
		return err_set(
		    &l->why, EINVAL, "this is not the base64 of a key of algorithm %u", algorithm);
	if (protocol != 3 || (flags & FLAG_ZONE) == 0)
		return err_set(&l->why, EINVAL,
		    "a key that signs a zone has protocol 3 and flags 256 or 257, this has %u and "
		    "%u",
		    protocol, flags);
	if ((flags & FLAG_REVOKE) != 0)
		return 0;
	if (asprintf(out, "%s IN DNSKEY %u %u %u %s", l->zone, flags, protocol, algorithm,
		l->data) == -1)
		return err_set(&l->why, ENOMEM, "no memory");
	return 0;
}

/* The zone, a TTL and a class in either order if they are there, the type. */
static int
read_record(struct line *l, char **out)
{
	const char *zone = l->word[0], *type;

	if (strcmp(zone, ".") == 0)
		l->zone[0] = '\0';
	else if (name_check(zone, l->zone) == -1)
		return err_set(&l->why, EINVAL, "%s is not the name of a zone", log_str(zone));
	(void)strlcat(l->zone, ".", sizeof l->zone);
	for (l->at = 1; l->at < l->n && l->at < 3; l->at++)
		if (strcasecmp(l->word[l->at], "IN") != 0 &&
		    strspn(l->word[l->at], "0123456789") != strlen(l->word[l->at]))
			break;
	type = l->at < l->n ? l->word[l->at++] : "nothing";
	if (strcasecmp(type, "DS") == 0)
		return read_ds(l, out);
	if (strcasecmp(type, "DNSKEY") == 0)
		return read_dnskey(l, out);
	return err_set(&l->why, EINVAL,
	    "behind the zone must stand DS or DNSKEY and its record, in one line, not %s",
	    log_str(type));
}

/*
 * unbound-anchor(8) keeps a file of this kind with the state of each key (RFC 5011, 4.2) in its
 * comment; 2 is valid, 3 is missing and still trusted, the others are not.
 */
static int
distrusted(const char *comment)
{
	const char *s = strstr(comment, ";;state=");

	return s != NULL && s[8] != '2' && s[8] != '3';
}

static int
read_line(struct line *l, char *text, char **out)
{
	char *comment = strchr(text, ';'), *word;
	int skip = comment != NULL && distrusted(comment);

	*out = NULL;
	if (comment != NULL)
		*comment = '\0';
	if (text[strspn(text, BLANKS)] == '\0')
		return 0;
	/* In a zone file that would be the zone of the line before. */
	if (strchr(BLANKS, text[0]) != NULL)
		return err_set(&l->why, EINVAL, "begin the line with the name of the zone");
	for (l->n = 0; (word = strtok_r(text, BLANKS, &text)) != NULL;)
		if (l->n == WORDS_MAX)
			return err_set(&l->why, EINVAL, "more than %d words", WORDS_MAX);
		else
			l->word[l->n++] = word;
	if (read_record(l, out) == -1)
		return -1;
	if (skip) {
		free(*out);
		*out = NULL;
	}
	return 0;
}

void
anchors_free(struct anchors *a)
{
	while (a->n > 0)
		free(a->v[--a->n]);
}

void
anchors_zone(const struct anchors *a, size_t i, char out[NAME_MAX_OCTETS + 2])
{
	(void)strlcpy(out, a->v[i], strcspn(a->v[i], " ") + 1);
}

int
anchors_same(const struct anchors *a, const struct anchors *b)
{
	size_t i;

	if (a->n != b->n)
		return 0;
	for (i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return 0;
	return 1;
}

int
anchors_parse(const char *file, const char *text, size_t n, struct anchors *out, struct err *e)
{
	const char *end = text + n, *next;
	char copy[LINE_LEN], *record;
	struct line l;
	unsigned line = 1;
	size_t len;

	out->n = 0;
	for (; text < end; text = next, line++) {
		next = memchr(text, '\n', (size_t)(end - text));
		len = (size_t)((next != NULL ? next : end) - text);
		next = next != NULL ? next + 1 : end;
		if (len >= sizeof copy || memchr(text, '\0', len) != NULL) {
			(void)err_set(&l.why, EINVAL, "this is no line of a text file");
			goto bad;
		}
		memcpy(copy, text, len);
		copy[len] = '\0';
		if (read_line(&l, copy, &record) == -1)
			goto bad;
		if (record == NULL)
			continue;
		if (out->n == ANCHORS_MAX) {
			free(record);
			(void)err_set(&l.why, E2BIG,
			    "more than %d records: keep those of zones "
			    "that are to be trusted by themselves",
			    ANCHORS_MAX);
			goto bad;
		}
		out->v[out->n++] = record;
	}
	if (out->n > 0)
		return 0;
	return err_set(e, EINVAL, "%s: there is no DS or DNSKEY record in it", file);
bad:
	anchors_free(out);
	return err_set(e, l.why.code, "%s:%u: %s", file, line, l.why.text);
}
