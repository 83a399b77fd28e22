/*
 * How fast is the scan that every passing message goes through?  Per kind of content: text,
 * quoted-printable, base64, nothing but dashes, nothing but line ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/enc.h"
#include "mail/classify.h"

#define SIZE (32 * 1024 * 1024)
#define CHUNK (64 * 1024)
#define RUNS 7 /* of which the best counts: nothing makes a loop faster than it is */

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
scan(const uint8_t *p)
{
	struct mail_scan s;
	double start = now();
	size_t off;

	mail_scan_init(&s);
	mail_scan_feed(&s, "A: b\r\n\r\n", 8);
	for (off = 0; off < SIZE; off += CHUNK)
		mail_scan_feed(&s, p + off, CHUNK);
	mail_scan_end(&s);
	return now() - start;
}

/* What passing the octets on costs at least: one copy, through a buffer as large as a proxy's. */
static double
copy(const uint8_t *p)
{
	static uint8_t to[CHUNK];
	static volatile uint8_t seen;
	double start = now();
	size_t off;

	for (off = 0; off < SIZE; off += CHUNK) {
		memcpy(to, p + off, CHUNK);
		seen = to[off / CHUNK % CHUNK];
	}
	(void)seen;
	return now() - start;
}

static void
measure(const char *name, const uint8_t *p)
{
	double ours = 1e9, theirs = 1e9, t;
	int run;

	for (run = 0; run < RUNS; run++) {
		t = scan(p);
		ours = t < ours ? t : ours;
		t = copy(p);
		theirs = t < theirs ? t : theirs;
	}
	printf("mail_scan_%s\t%.2f\tGB/s\tmemcpy\t%.2f\t%.3f\n", name, SIZE / ours / 1e9,
	    SIZE / theirs / 1e9, theirs / ours);
}

static void
fill(uint8_t *p, const char *line)
{
	size_t n = strlen(line), off;

	for (off = 0; off < SIZE; off++)
		p[off] = (uint8_t)line[off % n];
}

int
main(void)
{
	uint8_t *p = malloc(SIZE), raw[57];
	char line[B64_LEN(sizeof raw) + 1];
	size_t off;

	if (p == NULL)
		return 1;
	fill(p,
	    "The quick brown fox jumps over the lazy dog, as it has done in so many a "
	    "line.\r\nAnd then - who would have thought - it rests under the Umbrella tree.\r\n");
	measure("text", p);
	fill(p, "Sch=C3=B6ne Gr=C3=BC=C3=9Fe aus M=C3=BCnchen, und bis bald, wie immer =\r\n");
	measure("qp", p);
	for (off = 0; off + sizeof line + 1 < SIZE; off += B64_LEN(sizeof raw) + 2) {
		arc4random_buf(raw, sizeof raw);
		b64_encode(line, raw, sizeof raw);
		memcpy(p + off, line, B64_LEN(sizeof raw));
		memcpy(p + off + B64_LEN(sizeof raw), "\r\n", 2);
	}
	measure("base64", p);
	memset(p, '-', SIZE);
	measure("dashes", p);
	memset(p, '\n', SIZE);
	measure("newlines", p);
	free(p);
	return 0;
}
