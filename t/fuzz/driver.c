/*
 * A main for fuzz targets where libFuzzer is not at hand: replay, then mutate.
 *
 *	TARGET [-n RUNS] [-t SECONDS] [-s SEED] [-m MAX_OCTETS] [FILE | FOLDER]...
 *
 * Every file named is given to the target as it is; then RUNS mutations of them, the same ones
 * each time for the same seed and files, unless SECONDS end them earlier.  -n 0 only replays.  A
 * run that crashes or hangs leaves its input in TARGET.crash, to be replayed by naming that file.
 *
 * Exit code: 0, 1 when the target failed, 64 on wrong use.
 */
#include <dirent.h>
#include <err.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define MAX_FILES 4096
#define MAX_SIZE (1024 * 1024) /* octets of one input, at most */
#define DEFAULT_MAX 4096 /* octets of a mutated input unless a seed is longer */
#define RUN_LIMIT 10 /* seconds that one input may take before it counts as a hang */
#define STACKED 8 /* mutations that one run stacks at most */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

struct input {
	uint8_t *data;
	size_t size;
};

static struct input corpus[MAX_FILES];
static unsigned corpus_n;
static uint64_t rng_state;

/* What is running, in memory that outlives a crash of any kind, for the parent to save. */
static struct running {
	size_t size;
	uint8_t data[MAX_SIZE];
} * running;

/* Short starts for a target without a corpus: the first octets of what our parsers read. */
static const struct {
	const char *p;
	size_t n;
} builtin[] = {
#define START(s)                                                                                   \
	{                                                                                          \
		s, sizeof(s) - 1                                                                   \
	}
    START(""),
    START("\n"),
    START("\r\n.\r\n"),
    START("a: b\r\n\r\nc\r\n"),
    START("\x00\x00\x00\x01\x00\x00\x00\x00"),
    START("\xff\xff\xff\xff\x7f\xff\xff\xff\x80"),
    START("\x99\x00\x0d\x04\x00\x00\x00\x00\x01\x00\x08\xff\x00\x02\x03"),
    START("Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\n\r\n--b--\r\n"),
    START("-----BEGIN PGP MESSAGE-----\r\n\r\n0gEAAAA=\r\n=AAAA\r\n-----END PGP MESSAGE-----\r\n"),
#undef START
};

/* splitmix64: small, and the same everywhere. */
static uint64_t
rng(void)
{
	uint64_t z = (rng_state += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static size_t
below(size_t n)
{
	return n == 0 ? 0 : (size_t)(rng() % n);
}

static void
keep(const void *p, size_t n)
{
	if (corpus_n == MAX_FILES)
		return;
	if ((corpus[corpus_n].data = malloc(n + 1)) == NULL)
		err(1, NULL);
	memcpy(corpus[corpus_n].data, p, n);
	corpus[corpus_n++].size = n;
}

static void
load_file(const char *path)
{
	static uint8_t data[MAX_SIZE];
	size_t n;
	FILE *f;

	if ((f = fopen(path, "rb")) == NULL)
		err(1, "%s", path);
	n = fread(data, 1, sizeof data, f);
	if (ferror(f))
		err(1, "%s", path);
	fclose(f);
	keep(data, n);
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* A file, or every regular file of a folder in the order of their names. */
static void
load(const char *path)
{
	struct dirent **names;
	struct stat st;
	char sub[4096];
	int i, n;

	if (stat(path, &st) == -1)
		err(1, "%s", path);
	if (!S_ISDIR(st.st_mode)) {
		load_file(path);
		return;
	}
	if ((n = scandir(path, &names, NULL, by_name)) == -1)
		err(1, "%s", path);
	for (i = 0; i < n; i++) {
		snprintf(sub, sizeof sub, "%s/%s", path, names[i]->d_name);
		if (stat(sub, &st) == 0 && S_ISREG(st.st_mode))
			load_file(sub);
		free(names[i]);
	}
	free(names);
}

/*
 * Give the target its own allocation of exactly n octets, so that reading one octet too far is
 * seen by the address sanitizer.
 */
static void
run(const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n == 0 ? 1 : n);

	if (copy == NULL)
		err(1, NULL);
	memcpy(copy, p, n);
	memcpy(running->data, p, n);
	running->size = n;
	alarm(RUN_LIMIT);
	LLVMFuzzerTestOneInput(n == 0 ? copy + 1 : copy, n);
	alarm(0);
	free(copy);
}

/* Make room for n octets at off; returns how many there was room for. */
static size_t
open_gap(uint8_t *p, size_t *size, size_t off, size_t n, size_t max)
{
	if (n > max - *size)
		n = max - *size;
	memmove(p + off + n, p + off, *size - off);
	*size += n;
	return n;
}

/* Overwrite an octet, or a number of 2, 4 or 8 octets, with a value at the edge of something. */
static void
edge_value(uint8_t *p, size_t size)
{
	static const uint64_t edges[] = {0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff,
	    0x10000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, UINT64_MAX, '\r', '\n', '-'};
	uint64_t v = edges[below(sizeof edges / sizeof edges[0])] + below(3) - 1;
	size_t i, width = (size_t)1 << below(4), off;

	if (width > size)
		width = 1;
	off = below(size - width + 1);
	for (i = 0; i < width; i++)
		p[off + i] = (uint8_t)(v >> 8 * (width - 1 - i));
}

/* A piece of some input, put in or put over at a random place. */
static void
splice(uint8_t *p, size_t *size, size_t max)
{
	const struct input *from = &corpus[below(corpus_n)];
	size_t start = below(from->size), n = below(from->size - start) + 1, off = below(*size + 1);

	if (from->size == 0)
		return;
	if (rng() & 1) {
		n = open_gap(p, size, off, n, max);
	} else {
		if (n > max - off)
			n = max - off;
		if (off + n > *size)
			*size = off + n;
	}
	memcpy(p + off, from->data + start, n);
}

/* Repeat a piece of the input right behind itself, up to 64 times: deep nesting, long lists. */
static void
repeat(uint8_t *p, size_t *size, size_t max)
{
	size_t off = below(*size), n = below(*size - off < 64 ? *size - off : 64) + 1, i, got;

	for (i = below(64) + 1; i > 0; i--) {
		if (max - *size < n)
			return;
		got = open_gap(p, size, off + n, n, max);
		memcpy(p + off + n, p + off, got);
	}
}

static void
mutate(uint8_t *p, size_t *size, size_t max)
{
	size_t off, n;

	if (*size == 0) {
		p[0] = (uint8_t)rng();
		*size = 1;
		return;
	}
	off = below(*size);
	switch (below(9)) {
	case 0: /* one bit */
		p[off] ^= (uint8_t)(1 << below(8));
		break;
	case 1: /* one octet */
		p[off] = (uint8_t)rng();
		break;
	case 2: /* a small step, as of a length or a count */
		p[off] = (uint8_t)(p[off] + below(9) - 4);
		break;
	case 3:
		edge_value(p, *size);
		break;
	case 4: /* random octets come in */
		for (n = open_gap(p, size, off, below(16) + 1, max); n > 0; n--)
			p[off + n - 1] = (uint8_t)rng();
		break;
	case 5: /* octets go */
		n = below(*size - off < 64 || (rng() & 7) == 0 ? *size - off : 64) + 1;
		memmove(p + off, p + off + n, *size - off - n);
		*size -= n;
		break;
	case 6:
		splice(p, size, max);
		break;
	case 7:
		repeat(p, size, max);
		break;
	default: /* cut short */
		*size = off;
	}
}

static unsigned
mutations(unsigned runs, unsigned seconds, size_t max)
{
	static uint8_t p[MAX_SIZE];
	uint64_t end = clock_ms() + seconds * UINT64_C(1000);
	unsigned done, i;
	size_t size;

	for (done = 0; done < runs && (seconds == 0 || clock_ms() < end); done++) {
		const struct input *from = &corpus[below(corpus_n)];

		size = from->size;
		memcpy(p, from->data, size);
		for (i = below(STACKED) + 1; i > 0; i--)
			mutate(p, &size, max > size ? max : size);
		run(p, size);
	}
	return done;
}

/* Save what was running when the child ended. */
static void
save_crash(const char *prog)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof path, "%s.crash", prog);
	f = fopen(path, "wb");
	if (f == NULL || fwrite(running->data, 1, running->size, f) != running->size)
		warn("%s", path);
	else
		fprintf(stderr, "input of %zu octets saved as %s\n", running->size, path);
	if (f != NULL)
		fclose(f);
	for (size_t i = 0; i < running->size && i < 256; i++)
		fprintf(stderr, "%02x%s", running->data[i], i % 32 == 31 ? "\n" : " ");
	fprintf(stderr, "\n");
}

static unsigned
number(const char *s)
{
	char *end;
	unsigned long v = strtoul(s, &end, 0);

	if (*s == '\0' || *end != '\0' || v > UINT32_MAX)
		errx(64, "'%s' is not a number", s);
	return (unsigned)v;
}

/* The work, in a child: replay all inputs, then mutate. */
static void
work(unsigned runs, unsigned seconds, size_t max)
{
	unsigned i, files = corpus_n;

	for (i = 0; i < files; i++)
		run(corpus[i].data, corpus[i].size);
	for (i = 0; i < sizeof builtin / sizeof builtin[0]; i++) {
		run((const uint8_t *)builtin[i].p, builtin[i].n);
		keep(builtin[i].p, builtin[i].n);
	}
	for (i = 0; i < corpus_n; i++)
		if (corpus[i].size > max)
			max = corpus[i].size;
	runs = mutations(runs, seconds, max);
	printf("%u files replayed, %u mutations\n", files, runs);
	for (i = 0; i < corpus_n; i++)
		free(corpus[i].data);
}

/* Wait for the child that works; tell what it ended with and save its input. */
static int
watch(pid_t pid, const char *prog)
{
	int status;

	if (waitpid(pid, &status, 0) == -1)
		err(1, "waitpid");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFSIGNALED(status))
		fprintf(stderr, "%s: %s\n", prog,
		    WTERMSIG(status) == SIGALRM ? "hang" : strsignal(WTERMSIG(status)));
	save_crash(prog);
	return 1;
}

int
main(int argc, char *argv[])
{
	unsigned runs = 20000, seconds = 0, seed = 1;
	size_t max = DEFAULT_MAX;
	pid_t pid;
	int opt, i;

	while ((opt = getopt(argc, argv, "n:t:s:m:")) != -1) {
		switch (opt) {
		case 'n':
			runs = number(optarg);
			break;
		case 't':
			seconds = number(optarg);
			break;
		case 's':
			seed = number(optarg);
			break;
		case 'm':
			max = number(optarg);
			break;
		default:
			return 64;
		}
	}
	if (max == 0 || max > MAX_SIZE)
		errx(64, "-m takes 1 to %d octets", MAX_SIZE);
	running =
	    mmap(NULL, sizeof *running, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (running == MAP_FAILED)
		err(1, "mmap");
	rng_state = seed;
	if ((pid = fork()) == -1)
		err(1, "fork");
	if (pid != 0)
		return watch(pid, argv[0]);
	if (LLVMFuzzerInitialize != NULL)
		LLVMFuzzerInitialize(&argc, &argv);
	for (i = optind; i < argc; i++)
		load(argv[i]);
	work(runs, seconds, max);
	return 0;
}
