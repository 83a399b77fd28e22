#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/*
 * What the programs share that play clients and servers on loopback.
 *
 * A client reads one command a line from standard input.  It prepares, answers "ready", waits for
 * one more line, does what is to be measured, and answers with the seconds that it took: whoever
 * gives the commands can note the servers' CPU time in between.
 */
static inline double
load_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A number of the command line. */
static inline unsigned
load_number(const char *s, unsigned min, unsigned max)
{
	char *end;
	unsigned long n = strtoul(s, &end, 10);

	if (*s == '\0' || *end != '\0' || n < min || n > max)
		errx(64, "%s: a number from %u to %u is expected", s, min, max);
	return (unsigned)n;
}

static inline void
load_no_delay(int fd)
{
	int one = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* A connection to a port of 127.0.0.1. */
static inline int
load_connect(unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd == -1 || connect(fd, (const struct sockaddr *)&a, sizeof a) == -1)
		err(1, "port %u", port);
	load_no_delay(fd);
	return fd;
}

static inline int
load_listen(unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd == -1 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == -1 ||
	    bind(fd, (const struct sockaddr *)&a, sizeof a) == -1 || listen(fd, SOMAXCONN) == -1)
		err(1, "port %u", port);
	return fd;
}

/* The next command, without its newline; 0 at the end of them. */
static inline int
load_command(char *line, size_t size)
{
	if (fgets(line, (int)size, stdin) == NULL)
		return 0;
	line[strcspn(line, "\n")] = '\0';
	return 1;
}

/* Everything is prepared: wait for the word. */
static inline void
load_ready(void)
{
	char line[16];

	(void)puts("ready");
	(void)fflush(stdout);
	if (!load_command(line, sizeof line))
		exit(0);
}

static inline void
load_took(double seconds, unsigned long count)
{
	printf("%.9f %lu\n", seconds, count);
	(void)fflush(stdout);
}

#endif
