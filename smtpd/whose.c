/* Whose is an address: asked of policyd, and remembered for a moment. */
#include "smtpd/whose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "mail/address.h"

#define ASK_MS 5000 /* milliseconds for policyd to answer, its restart included */

/*
 * What is remembered: sets of a few places each, in which the one that ends first makes room.  A
 * stranger who fills them makes us ask more, and that is all.
 */
#define SETS 512
#define PLACES 4
#define KEY_MAX (2 * ADDR_MAX + 80) /* a screened message's: connector, sender, recipient */

struct memo {
	char *key;
	uint64_t until; /* clock_ms */
	struct whose w;
};

static struct memo memos[SETS][PLACES];
static uint64_t seed;

struct whose_ask {
	struct proc_req *req;
	int sender;
	whose_fn fn;
	void *arg;
	char addr[];
};

static struct memo *
set_of(const char *key)
{
	uint64_t h = seed;

	while (seed == 0) {
		arc4random_buf(&seed, sizeof seed);
		h = seed;
	}
	for (; *key != '\0'; key++)
		h = (h ^ (uint8_t)*key) * 0x100000001b3;
	return memos[(h ^ h >> 29) % SETS];
}

static const struct memo *
find(const char *key)
{
	const struct memo *set = set_of(key);
	uint64_t now = clock_ms();
	size_t i;

	for (i = 0; i < PLACES; i++)
		if (set[i].key != NULL && set[i].until > now && strcmp(set[i].key, key) == 0)
			return &set[i];
	return NULL;
}

static void
keep(const char *key, const struct whose *w, uint64_t ms)
{
	struct memo *set = set_of(key), *to = &set[0];
	char *copy = strdup(key);
	size_t i;

	if (copy == NULL)
		return;
	for (i = 0; i < PLACES; i++) {
		if (set[i].key != NULL && strcmp(set[i].key, key) == 0) {
			to = &set[i];
			break;
		}
		if (set[i].until < to->until)
			to = &set[i];
	}
	free(to->key);
	to->key = copy;
	to->until = clock_ms() + ms;
	to->w = *w;
}

void
whose_forget(void)
{
	size_t i, k;

	for (i = 0; i < SETS; i++)
		for (k = 0; k < PLACES; k++) {
			free(memos[i][k].key);
			memset(&memos[i][k], 0, sizeof memos[i][k]);
		}
}

/* A domain that is none of ours is so for all its addresses. */
static void
make_keys(char addr_key[KEY_MAX], char domain_key[KEY_MAX], const char *addr, int sender)
{
	(void)snprintf(addr_key, KEY_MAX, "%c%s", sender ? 'S' : 'R', addr);
	(void)snprintf(domain_key, KEY_MAX, "@%s", mail_addr_domain(addr));
}

int
whose_find(const char *addr, int sender, struct whose *out)
{
	char key[KEY_MAX], domain[KEY_MAX];
	const struct memo *m;

	make_keys(key, domain, addr, sender);
	if ((m = find(key)) == NULL && (m = find(domain)) == NULL)
		return 0;
	*out = m->w;
	return 1;
}

static void
on_answer(void *arg, struct ipc_msg *m, int error)
{
	const struct whose_rep *p = m != NULL ? m->body : NULL;
	struct whose_ask *a = arg;
	char key[KEY_MAX], domain[KEY_MAX];
	struct whose w = {.defer = 1};

	(void)error;
	if (p != NULL && !p->defer) {
		w.defer = 0;
		w.whose = (enum whose_addr)p->whose;
		w.known = p->consumer[0] != '\0';
		w.reads = p->reads;
		(void)strlcpy(w.tenant, p->tenant, sizeof w.tenant);
		make_keys(key, domain, a->addr, a->sender);
		keep(w.whose == WHOSE_FOREIGN ? domain : key, &w, WHOSE_KEPT_MS);
	}
	a->fn(&w, a->arg);
	free(a);
}

struct whose_ask *
whose_ask(const char *addr, int sender, whose_fn fn, void *arg)
{
	struct whose_req q = {.addr = addr, .sender = (uint8_t)sender};
	size_t n = strlen(addr) + 1;
	struct whose_ask *a = calloc(1, sizeof *a + n);

	if (a == NULL)
		return NULL;
	memcpy(a->addr, addr, n);
	a->sender = sender;
	a->fn = fn;
	a->arg = arg;
	if ((a->req = proc_request(P_POLICYD, M_whose_req, &q, ASK_MS, on_answer, a)) == NULL) {
		free(a);
		return NULL;
	}
	return a;
}

void
whose_cancel(struct whose_ask *a)
{
	if (a == NULL)
		return;
	proc_cancel(a->req);
	free(a);
}

/* --- messages that need no worker --- */

static void
screen_key(char key[KEY_MAX], const char *connector, const char *sender, const char *rcpt)
{
	/* No address has a control in it. */
	(void)snprintf(key, KEY_MAX, "!%s\001%s\001%s", connector, sender, rcpt);
}

int
screen_find(const char *connector, const char *sender, const char *rcpt)
{
	char key[KEY_MAX];

	screen_key(key, connector, sender, rcpt);
	return find(key) != NULL;
}

void
screen_keep(const char *connector, const char *sender, const char *rcpt)
{
	static const struct whose nothing;
	char key[KEY_MAX];

	screen_key(key, connector, sender, rcpt);
	keep(key, &nothing, SCREEN_KEPT_MS);
}
