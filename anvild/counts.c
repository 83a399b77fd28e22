#include "anvild/counts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anvild/table.h"

#define MINUTE 60000 /* ms */
#define GATES_MAX 256 /* names of gates since the start; what others count is not counted */

struct rate {
	uint64_t minute; /* that now is of */
	uint32_t now, before;
};

enum what { CONNECTIONS, MESSAGES, RECIPIENTS, ERRORS, RATES };

struct client {
	struct entry e; /* pinned once for each connection */
	struct rate rates[RATES];
};

struct counts {
	struct table *clients;
	struct table *networks; /* of bare entries, as the next one */
	struct table *held; /* of each smtpd, by client */
	char *gates[GATES_MAX];
	unsigned ngates;
	struct counts_facts facts;
};

struct counts *
counts_new(void)
{
	struct counts *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	c->clients = table_new(sizeof(struct client), COUNTS_CLIENTS_MAX);
	c->networks = table_new(sizeof(struct entry), COUNTS_CLIENTS_MAX);
	c->held = table_new(sizeof(struct entry), COUNTS_CLIENTS_MAX);
	if (c->clients == NULL || c->networks == NULL || c->held == NULL) {
		counts_free(c);
		return NULL;
	}
	return c;
}

void
counts_free(struct counts *c)
{
	unsigned i;

	if (c == NULL)
		return;
	table_free(c->clients);
	table_free(c->networks);
	table_free(c->held);
	for (i = 0; i < c->ngates; i++)
		free(c->gates[i]);
	free(c);
}

/* -1: there is no such gate. */
static int
gate_number(const struct counts *c, const char *name)
{
	unsigned i;

	for (i = 0; i < c->ngates; i++)
		if (strcmp(c->gates[i], name) == 0)
			return (int)i;
	return -1;
}

/* -1: there were too many. */
static int
gate_add(struct counts *c, const char *name)
{
	if (gate_number(c, name) != -1)
		return 0;
	if (c->ngates == GATES_MAX || (c->gates[c->ngates] = strdup(name)) == NULL)
		return -1;
	c->ngates++;
	return 0;
}

/* The three keys of a client. */
struct keys {
	struct key client, network, held;
};

static int
make_keys(
    const struct counts *c, const char *name, unsigned instance, struct bytes ip, struct keys *k)
{
	int gate = gate_number(c, name);

	memset(k, 0, sizeof *k);
	if (gate == -1 || client_key(ip, &k->client.who) == -1 ||
	    network_key(ip, &k->network.who) == -1)
		return -1;
	k->network.network = 1;
	k->client.gate = k->network.gate = (uint16_t)gate;
	k->held = k->client;
	k->held.instance = (uint16_t)instance;
	return 0;
}

static void
roll(struct rate *r, uint64_t now)
{
	uint64_t minute = now / MINUTE;

	if (minute == r->minute)
		return;
	r->before = minute == r->minute + 1 ? r->now : 0;
	r->now = 0;
	r->minute = minute;
}

static uint64_t
rate_of(struct rate *r, uint64_t now)
{
	roll(r, now);
	return r->now + (uint64_t)r->before * (MINUTE - now % MINUTE) / MINUTE;
}

static void
rate_add(struct rate *r, uint32_t n, uint64_t now)
{
	roll(r, now);
	r->now = n > UINT32_MAX - r->now ? UINT32_MAX : r->now + n;
}

/* Without an entry it is 0. */
static uint64_t
client_rate(struct client *cl, enum what what, uint64_t now)
{
	return cl != NULL ? rate_of(&cl->rates[what], now) : 0;
}

static int
over(uint64_t figure, uint64_t limit, const char *unit, char text[COUNTS_TEXT_MAX])
{
	if (limit == 0 || figure <= limit)
		return 0;
	(void)snprintf(text, COUNTS_TEXT_MAX, "%llu%s, limit %llu", (unsigned long long)figure,
	    unit, (unsigned long long)limit);
	return 1;
}

#define A_MINUTE " per minute"

static enum client_verdict
judge(struct counts *c, const struct conf_gate *g, const struct keys *k, uint64_t now,
    char text[COUNTS_TEXT_MAX])
{
	struct client *cl = (struct client *)table_find(c->clients, &k->client);
	const struct entry *net = table_find(c->networks, &k->network);
	uint64_t mine = cl != NULL ? cl->e.pins : 0, all = net != NULL ? net->pins : 0;

	if (over(mine + 1, g->connections, "", text))
		return CLIENT_CONNECTIONS;
	if (over(all + 1, g->network_connections, "", text))
		return CLIENT_NETWORK;
	if (over(client_rate(cl, CONNECTIONS, now) + 1, g->connection_rate, A_MINUTE, text))
		return CLIENT_RATE;
	if (over(client_rate(cl, ERRORS, now), g->error_rate, A_MINUTE, text))
		return CLIENT_ERRORS;
	return CLIENT_OK;
}

enum client_verdict
counts_enter(struct counts *c, const struct conf_gate *g, unsigned instance, struct bytes ip,
    uint64_t now, char text[COUNTS_TEXT_MAX])
{
	struct entry *client, *network, *held;
	enum client_verdict v;
	struct keys k;

	text[0] = '\0';
	if (gate_add(c, g->name) == -1 || make_keys(c, g->name, instance, ip, &k) == -1)
		return CLIENT_OK;
	if ((v = judge(c, g, &k, now, text)) != CLIENT_OK) {
		c->facts.refused[v]++;
		return v;
	}
	/* Without room he is let in, and not counted: all three or none. */
	if ((client = table_get(c->clients, &k.client, now)) == NULL)
		return CLIENT_OK;
	rate_add(&((struct client *)client)->rates[CONNECTIONS], 1, now);
	if ((network = table_get(c->networks, &k.network, now)) == NULL ||
	    (held = table_get(c->held, &k.held, now)) == NULL)
		return CLIENT_OK;
	table_pin(c->clients, client);
	table_pin(c->networks, network);
	table_pin(c->held, held);
	c->facts.connections++;
	return CLIENT_OK;
}

/* n connections of this client are over. */
static void
release(struct counts *c, const struct keys *k, unsigned n, uint64_t now)
{
	struct entry *client = table_find(c->clients, &k->client);
	struct entry *network = table_find(c->networks, &k->network);

	for (; n > 0; n--, c->facts.connections--) {
		if (client != NULL)
			table_unpin(c->clients, client, now);
		if (network != NULL)
			table_unpin(c->networks, network, now);
	}
}

void
counts_leave(struct counts *c, const char *gate, unsigned instance, struct bytes ip,
    uint32_t errors, uint64_t now)
{
	struct entry *held, *client;
	struct keys k;

	if (make_keys(c, gate, instance, ip, &k) == -1)
		return;
	if (errors > 0 && (client = table_get(c->clients, &k.client, now)) != NULL)
		rate_add(&((struct client *)client)->rates[ERRORS], errors, now);
	if ((held = table_find(c->held, &k.held)) == NULL)
		return;
	release(c, &k, 1, now);
	table_unpin(c->held, held, now);
	if (held->pins == 0)
		table_drop(c->held, held);
}

int
counts_rate(struct counts *c, const struct conf_gate *g, struct bytes ip, uint32_t messages,
    uint32_t recipients, uint64_t now, char text[COUNTS_TEXT_MAX])
{
	struct client *cl;
	struct keys k;

	text[0] = '\0';
	if (gate_add(c, g->name) == -1 || make_keys(c, g->name, 0, ip, &k) == -1 ||
	    (cl = (struct client *)table_get(c->clients, &k.client, now)) == NULL)
		return 1;
	if ((messages > 0 && over(rate_of(&cl->rates[MESSAGES], now) + messages, g->message_rate,
				 A_MINUTE, text)) ||
	    (recipients > 0 && over(rate_of(&cl->rates[RECIPIENTS], now) + recipients,
				   g->recipient_rate, A_MINUTE, text))) {
		c->facts.slowed++;
		return 0;
	}
	rate_add(&cl->rates[MESSAGES], messages, now);
	rate_add(&cl->rates[RECIPIENTS], recipients, now);
	return 1;
}

struct forget {
	struct counts *c;
	unsigned instance;
	uint64_t now;
};

static void
forget(struct entry *e, void *arg)
{
	const struct forget *f = arg;
	struct keys k;

	if (e->key.instance != f->instance)
		return;
	memset(&k, 0, sizeof k);
	k.client = k.network = e->key;
	k.client.instance = k.network.instance = 0;
	k.network.network = 1;
	/* The network of the client: its key has more octets of the same address. */
	memset(k.network.who.addr + (e->key.who.family == 4 ? 3 : 6), 0,
	    sizeof k.network.who.addr - (e->key.who.family == 4 ? 3 : 6));
	release(f->c, &k, e->pins, f->now);
	table_drop(f->c->held, e);
}

void
counts_forget(struct counts *c, unsigned instance, uint64_t now)
{
	struct forget f = {c, instance, now};

	table_each(c->held, forget, &f);
}

void
counts_sweep(struct counts *c, uint64_t now)
{
	/* Nothing of before the last whole minute counts any more. */
	uint64_t before = now > 2 * MINUTE ? now - 2 * MINUTE : 0;

	table_sweep(c->clients, before);
	table_sweep(c->networks, before);
	table_sweep(c->held, before);
}

void
counts_facts(const struct counts *c, struct counts_facts *f)
{
	*f = c->facts;
	f->clients = table_count(c->clients);
	f->networks = table_count(c->networks);
}
