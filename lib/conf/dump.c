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

void
conf_free(struct conf *c)
{
	unsigned i;
	size_t k;

	if (c == NULL)
		return;
	for (i = 0; i < CONF_S_COUNT; i++)
		if (!conf_sections[i].titled)
			free_section((enum conf_section_id)i, (uint8_t *)c + conf_sections[i].off);
	for (k = 0; k < c->npeers; k++) {
		free(c->peers[k].name);
		free_section(CONF_S_PEER, &c->peers[k]);
	}
	for (k = 0; k < c->nconnectors; k++) {
		free(c->connectors[k].name);
		free_section(CONF_S_CONNECTOR, &c->connectors[k]);
	}
	free(c->peers);
	free(c->connectors);
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
	unsigned i;
	size_t k;

	for (i = 0; i < CONF_S_COUNT; i++)
		if (!conf_sections[i].titled &&
		    dump_section((enum conf_section_id)i, NULL,
			(const uint8_t *)c + conf_sections[i].off, to) == -1)
			return -1;
	for (k = 0; k < c->npeers; k++)
		if (dump_section(CONF_S_PEER, c->peers[k].name, &c->peers[k], to) == -1)
			return -1;
	for (k = 0; k < c->nconnectors; k++)
		if (dump_section(CONF_S_CONNECTOR, c->connectors[k].name, &c->connectors[k], to) ==
		    -1)
			return -1;
	return 0;
}

const struct conf_peer *
conf_peer_find(const struct conf *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->npeers; i++)
		if (strcmp(c->peers[i].name, name) == 0)
			return &c->peers[i];
	return NULL;
}

const struct conf_connector *
conf_connector_find(const struct conf *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->nconnectors; i++)
		if (strcmp(c->connectors[i].name, name) == 0)
			return &c->connectors[i];
	return NULL;
}
