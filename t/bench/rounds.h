#ifndef BENCH_ROUNDS_H
#define BENCH_ROUNDS_H

#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * The programs that compare OpenPGP implementations read one command a line, so that t/bench/run
 * can make them take turns:
 *
 *	secure SIZE COUNT	sign and encrypt SIZE octets COUNT times
 *	open SIZE COUNT		decrypt and verify what secure makes of SIZE octets COUNT times
 *
 * and answer with the seconds that it took.  The result of the last operation is checked.
 */
#define ROUND_SIZE_MAX ((size_t)1 << 30)

static inline double
rounds_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Lines of base64, as an attachment is: what nobody would compress. */
static inline uint8_t *
rounds_plaintext(size_t size)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t *p = malloc(size + 1);
	uint32_t x = 1;
	size_t i;

	if (p == NULL)
		err(1, NULL);
	for (i = 0; i < size; i++) {
		x = x * 1664525 + 1013904223;
		p[i] = (uint8_t)(i % 78 == 76 ? '\r' : i % 78 == 77 ? '\n' : digits[x >> 26]);
	}
	return p;
}

/*
 * Serve standard input.
 *
 * secure, open	do it once with n octets; open is given what secure made
 */
static inline int
rounds_serve(
    void (*secure)(const uint8_t *p, size_t n), void (*open)(const uint8_t *plain, size_t n))
{
	static uint8_t *plain;
	static size_t have;
	unsigned long size, count, i;
	char verb[16], line[80];
	double start;

	while (fgets(line, sizeof line, stdin) != NULL) {
		if (sscanf(line, "%15s %lu %lu", verb, &size, &count) != 3 || size == 0 ||
		    size > ROUND_SIZE_MAX)
			errx(64, "what is \"%s\"?", line);
		if (size != have) {
			free(plain);
			plain = rounds_plaintext(size);
			have = size;
			secure(plain, size);
		}
		start = rounds_now();
		for (i = 0; i < count; i++) {
			if (strcmp(verb, "secure") == 0)
				secure(plain, size);
			else
				open(plain, size);
		}
		printf("%.9f\n", rounds_now() - start);
		(void)fflush(stdout);
	}
	return 0;
}

#endif
