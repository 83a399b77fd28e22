/* What a message needs of a server, and a form of it that needs less. */
#include "deliverd/downgrade.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/vec.h"
#include "mail/encode.h"
#include "mail/header.h"

void
facts_init(struct facts *f)
{
	memset(f, 0, sizeof *f);
	f->last = '\n'; /* so that a dot at the very beginning begins a line, and is no bare LF */
}

/* The octet c behind the octet last. */
static void
facts_pair(struct facts *f, uint8_t last, uint8_t c)
{
	f->binary |= (last == '\r') != (c == '\n');
	f->dots |= last == '\n' && c == '.';
}

void
facts_add(struct facts *f, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n;
	vec v, next, eight = {0}, binary = {0}, dots = {0};

	if (n == 0)
		return;
	facts_pair(f, f->last, *p);
	f->size += n;
	f->last = end[-1];
	for (; end - p > VEC_OCTETS; p += VEC_OCTETS) {
		v = vec_load(p);
		next = vec_load(p + 1);
		eight |= v;
		binary |= (vec_is(v, '\r') ^ vec_is(next, '\n')) | vec_is(v, 0);
		dots |= vec_is(v, '\n') & vec_is(next, '.');
	}
	f->eight |= vec_any(eight & 0x80);
	f->binary |= vec_any(binary);
	f->dots |= vec_any(dots);
	for (; p < end; p++) {
		f->eight |= *p >= 0x80;
		f->binary |= *p == 0;
		if (p + 1 < end)
			facts_pair(f, *p, p[1]);
	}
}

void
facts_end(struct facts *f)
{
	f->binary |= f->size > 0 && f->last == '\r';
	f->ends = f->size == 0 || f->last == '\n';
}

int
head_is_utf8(const struct octets *o)
{
	struct mail_header h;
	struct mail_field f;
	size_t pos = 0, i;
	int found = 0;

	if (mail_header_load(&h, o, 0, o->size) == -1)
		return -1;
	while (!found && mail_field_next(&h, &pos, &f))
		for (i = 0; !found && i < f.len; i++)
			found = h.data[f.off + i] >= 0x80;
	/* What lies behind is not known: rather too careful. */
	found |= h.cut;
	mail_header_free(&h);
	return found;
}

/* --- the other form --- */

#define STEP (512 * 1024) /* octets of the message that are read in one step */
#define STACK (512 * 1024) /* octets; lib/mail has windows of 64 KiB, and MAIL_DEPTH_MAX */
#define GUARD (64 * 1024) /* of them that nothing may reach */

/*
 * lib/mail encodes a message in one go.  It gets a stack of its own, which is left in the middle of
 * reading, and entered again there.
 */
struct downgrade {
	const struct octets *from;
	struct octets view; /* of from, with the places where it stops */
	struct spool *to;
	ucontext_t loop, work;
	void *stack;
	size_t since; /* octets read in this step */
	bool began, ended;
	bool given_up; /* reading fails, so that it comes to its end */
	int rc, code;
};

static ssize_t
view_read(void *ctx, void *p, size_t n, uint64_t off)
{
	struct downgrade *d = ctx;

	if (d->since >= STEP) {
		d->since = 0;
		(void)swapcontext(&d->work, &d->loop);
	}
	if (d->given_up) {
		errno = ECANCELED;
		return -1;
	}
	if (off >= d->from->size)
		return 0;
	if (n > d->from->size - off)
		n = (size_t)(d->from->size - off);
	d->since += n;
	return octets_read(d->from, p, n, off) == 0 ? (ssize_t)n : -1;
}

static int
encode(struct downgrade *d)
{
	struct sink s = spool_sink(d->to);
	struct mail_index ix;
	int rc = -1, code;

	if (mail_index_make(&ix, &d->view) == 0)
		rc = mail_to_7bit(&d->view, &ix, 0, 0, &s);
	code = errno;
	mail_index_free(&ix);
	errno = code;
	return rc == 0 ? spool_finish(d->to) : -1;
}

/* The address in two halves: that is all that makecontext passes. */
static void
work(unsigned high, unsigned low)
{
	struct downgrade *d = (struct downgrade *)((uintptr_t)high << 31 << 1 | low);

	d->rc = encode(d);
	d->code = errno;
	d->ended = true;
	/* Behind this comes d->loop, by uc_link. */
}

/* A stack, and where it begins. */
static int
set_up(struct downgrade *d)
{
	uintptr_t at = (uintptr_t)d;

	d->stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (d->stack == MAP_FAILED)
		return -1;
	if (mprotect(d->stack, GUARD, PROT_NONE) == -1 || getcontext(&d->work) == -1) {
		(void)munmap(d->stack, STACK);
		return -1;
	}
	d->work.uc_stack.ss_sp = (uint8_t *)d->stack + GUARD;
	d->work.uc_stack.ss_size = STACK - GUARD;
	d->work.uc_link = &d->loop;
	makecontext(&d->work, (void (*)(void))work, 2, (unsigned)(at >> 31 >> 1), (unsigned)at);
	return 0;
}

struct downgrade *
downgrade_start(const struct octets *o, struct spool *to)
{
	struct downgrade *d = calloc(1, sizeof *d);

	if (d == NULL)
		return NULL;
	d->from = o;
	d->to = to;
	d->view = (struct octets){.size = o->size, .pread = view_read, .ctx = d};
	if (set_up(d) == 0)
		return d;
	free(d);
	errno = ENOMEM;
	return NULL;
}

int
downgrade_step(struct downgrade *d)
{
	if (!d->ended) {
		d->began = true;
		(void)swapcontext(&d->loop, &d->work);
	}
	if (!d->ended)
		return 0;
	errno = d->code;
	return d->rc == 0 ? 1 : -1;
}

void
downgrade_free(struct downgrade *d)
{
	if (d == NULL)
		return;
	/* What it holds is freed on its way out. */
	d->given_up = true;
	while (d->began && !d->ended)
		(void)downgrade_step(d);
	(void)munmap(d->stack, STACK);
	free(d);
}
