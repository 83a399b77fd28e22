/*
 * How fast is what every octet of a passing message goes through?  The scan, per kind of content: a
 * header, text, quoted-printable, base64, nothing but dashes, nothing but line ends.  Then taking
 * stuffed dots away and putting them back, on text.
 *
 *	mail_scan RUNS
 */
#include "base/enc.h"
#include "mail/classify.h"
#include "net/dots.h"
#include "t/bench/load.h"

#define SIZE (32 * 1024 * 1024)
#define CHUNK (64 * 1024)
#define RUNS_MAX 100

static unsigned runs; /* the best counts: nothing makes a loop faster than it is */

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
scan(const uint8_t *p, const char *head)
{
	struct mail_scan s;
	double start = now();
	size_t off;

	mail_scan_init(&s);
	mail_scan_feed(&s, head, strlen(head));
	for (off = 0; off < SIZE; off += CHUNK)
		mail_scan_feed(&s, p + off, CHUNK);
	mail_scan_end(&s);
	return now() - start;
}

static double
scan_header(const uint8_t *p)
{
	return scan(p, "A: b\r\n");
}

static double
scan_body(const uint8_t *p)
{
	return scan(p, "A: b\r\n\r\n");
}

static int
drop(void *ctx, const void *p, size_t n)
{
	(void)ctx;
	(void)p;
	(void)n;
	return 0;
}

static const struct sink dropped = {drop, NULL};

static double
decode(const uint8_t *p, bool strict)
{
	struct dots_decoder d;
	double start = now();
	size_t off, used;

	dots_decode_init(&d, strict);
	for (off = 0; off < SIZE; off += CHUNK)
		(void)dots_decode(&d, p + off, CHUNK, &used, &dropped);
	return now() - start;
}

static double
decode_pop3(const uint8_t *p)
{
	return decode(p, false);
}

static double
decode_smtp(const uint8_t *p)
{
	return decode(p, true);
}

static double
encode_pop3(const uint8_t *p)
{
	struct dots_encoder e;
	double start = now();
	size_t off;

	dots_encode_init(&e, &dropped);
	dots_encode_any_lf(&e);
	for (off = 0; off < SIZE; off += CHUNK)
		(void)dots_encode(&e, p + off, CHUNK);
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
measure(const char *name, double (*work)(const uint8_t *), const uint8_t *p)
{
	double ours = 1e9, theirs = 1e9, t;
	unsigned run;

	for (run = 0; run < runs; run++) {
		t = work(p);
		ours = t < ours ? t : ours;
		t = copy(p);
		theirs = t < theirs ? t : theirs;
	}
	printf("%s\t%.2f\tGB/s\tmemcpy\t%.2f\t%.3f\n", name, SIZE / ours / 1e9, SIZE / theirs / 1e9,
	    theirs / ours);
}

static void
fill(uint8_t *p, const char *line)
{
	size_t n = strlen(line), off;

	for (off = 0; off < SIZE; off++)
		p[off] = (uint8_t)line[off % n];
}

int
main(int argc, char *argv[])
{
	uint8_t *p = malloc(SIZE), raw[57];
	char line[B64_LEN(sizeof raw) + 1];
	size_t off;

	if (argc != 2)
		errx(64, "usage: mail_scan RUNS");
	runs = load_number(argv[1], 1, RUNS_MAX);
	if (p == NULL)
		return 1;
	fill(p,
	    "The quick brown fox jumps over the lazy dog, as it has done in so many a "
	    "line.\r\nAnd then - who would have thought - it rests under the Umbrella tree.\r\n");
	measure("mail_scan_text", scan_body, p);
	measure("dots_decode_pop3", decode_pop3, p);
	measure("dots_decode_smtp", decode_smtp, p);
	measure("dots_encode_pop3", encode_pop3, p);
	fill(p,
	    "Received: from mail.example.org (mail.example.org [192.0.2.1])\r\n\tby mx.example.net "
	    "with ESMTPS id 4AB7C01; Sun, 22 Nov 2026 16:29:52 +0000\r\n");
	measure("mail_scan_header", scan_header, p);
	fill(p, "Sch=C3=B6ne Gr=C3=BC=C3=9Fe aus M=C3=BCnchen, und bis bald, wie immer =\r\n");
	measure("mail_scan_qp", scan_body, p);
	for (off = 0; off + sizeof line + 1 < SIZE; off += B64_LEN(sizeof raw) + 2) {
		arc4random_buf(raw, sizeof raw);
		b64_encode(line, raw, sizeof raw);
		memcpy(p + off, line, B64_LEN(sizeof raw));
		memcpy(p + off + B64_LEN(sizeof raw), "\r\n", 2);
	}
	measure("mail_scan_base64", scan_body, p);
	memset(p, '-', SIZE);
	measure("mail_scan_dashes", scan_body, p);
	memset(p, '\n', SIZE);
	measure("mail_scan_newlines", scan_body, p);
	free(p);
	return 0;
}
