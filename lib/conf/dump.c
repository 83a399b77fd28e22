#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/load.h"

static void
free_section(enum conf_section_id id, void *section)
{
	unsigned i;

	for (i = 0; i < conf_sections[id].nkeys; i++)
		conf_value_free(&conf_sections[id].keys[i], section);
}

static char *
name_of(const void *titled)
{
	struct conf_titled head;

	memcpy(&head, titled, sizeof head);
	return head.name;
}

void
conf_free(struct conf *c)
{
	size_t i, k, n;
	uint8_t *v;

	if (c == NULL)
		return;
	for (k = 0; k < c->nconnectors; k++) {
		free(c->connectors[k].bound);
		conf_strings_free(&c->connectors[k].chains);
	}
	for (i = 0; i < CONF_S_COUNT; i++) {
		if (!conf_sections[i].titled) {
			free_section((enum conf_section_id)i, (uint8_t *)c + conf_sections[i].off);
			continue;
		}
		v = conf_array(c, (enum conf_section_id)i, &n);
		for (k = 0; k < n; k++) {
			free(name_of(v + k * conf_sections[i].size));
			free_section((enum conf_section_id)i, v + k * conf_sections[i].size);
		}
		free(v);
	}
	free(c);
}

static int
dump_section(enum conf_section_id id, const char *title, const void *section, const struct sink *to)
{
	const struct conf_section *s = &conf_sections[id];
	char head[128];
	unsigned i;

	if (title != NULL)
		(void)snprintf(head, sizeof head, "%s \"%s\" {\n", s->name, title);
	else
		(void)snprintf(head, sizeof head, "%s {\n", s->name);
	if (sink_puts(to, head) == -1)
		return -1;
	for (i = 0; i < s->nkeys; i++) {
		(void)snprintf(head, sizeof head, "\t%s = ", s->keys[i].name);
		if (sink_puts(to, head) == -1 || conf_value_dump(&s->keys[i], section, to) == -1 ||
		    sink_puts(to, "\n") == -1)
			return -1;
	}
	return sink_puts(to, "}\n");
}

int
conf_dump(const struct conf *c, const struct sink *to)
{
	enum conf_section_id id;
	const uint8_t *v;
	size_t k, n;

	for (id = 0; id < CONF_S_COUNT; id++)
		if (!conf_sections[id].titled &&
		    dump_section(id, NULL, (const uint8_t *)c + conf_sections[id].off, to) == -1)
			return -1;
	for (id = 0; id < CONF_S_COUNT; id++) {
		if (!conf_sections[id].titled)
			continue;
		v = conf_array(c, id, &n);
		for (k = 0; k < n; k++, v += conf_sections[id].size)
			if (dump_section(id, name_of(v), v, to) == -1)
				return -1;
	}
	return 0;
}

static const void *
find(const struct conf *c, enum conf_section_id id, const char *name)
{
	const uint8_t *v;
	size_t k, n;

	v = conf_array(c, id, &n);
	for (k = 0; k < n; k++, v += conf_sections[id].size)
		if (strcmp(name_of(v), name) == 0)
			return v;
	return NULL;
}

const struct conf_profile *
conf_profile_find(const struct conf *c, const char *name)
{
	return find(c, CONF_S_PROFILE, name);
}

const struct conf_action *
conf_action_find(const struct conf *c, const char *name)
{
	return find(c, CONF_S_ACTION, name);
}

const struct conf_peer *
conf_peer_find(const struct conf *c, const char *name)
{
	return find(c, CONF_S_PEER, name);
}

const struct conf_connector *
conf_connector_find(const struct conf *c, const char *name)
{
	return find(c, CONF_S_CONNECTOR, name);
}

int
conf_peer_vouches(const struct conf *c, const struct conf_peer *p, const char *tenant)
{
	const struct conf_connector *k;
	size_t i, n = 0, ours = 0;

	for (i = 0; i < c->nconnectors; i++) {
		k = &c->connectors[i];
		if (k->peer != p)
			continue;
		if (k->second_factor != CONF_FACTOR_NONE)
			return 0;
		n++;
		ours += strcmp(k->tenant, tenant) == 0;
	}
	return n == 0 || ours > 0;
}
