/* Which trust anchors count, and whether the name servers give the keys that belong to them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "dnsd/dnsd.h"

#define FILE_MAX (1024 * 1024) /* octets of the system's trust anchor */
#define AGAIN_MS 61000 /* libunbound believes bad keys to be bad for a minute */

/* Where distributions keep the trust anchor of the root zone. */
static const char *const system_files[] = {
    "/usr/share/dns/root.key", "/var/lib/unbound/root.key", "/etc/unbound/root.key"};

/* Read before the jail: as it is, nothing is looked at. */
static struct buf system_text;
static const char *system_file;

/* A zone that has anchors. */
struct zone {
	char name[NAME_MAX_OCTETS + 2];
	enum { UNKNOWN, GOOD, BAD } state;
};

static struct zone zones[ANCHORS_MAX];
static size_t nzones;
static int required;
static uint64_t asked; /* when, by clock_ms */
static void (*on_dropped)(void);

/* 0, or -1: not there, or not to be read. */
static int
slurp(const char *path, struct buf *b)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = -1;
	struct stat st;
	uint8_t *p;
	ssize_t n;

	buf_init(b, FILE_MAX);
	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		goto out;
	while ((p = buf_reserve(b, 4096)) != NULL) {
		if ((n = read(fd, p, 4096)) == -1)
			goto out;
		if (n == 0) {
			rc = 0;
			goto out;
		}
		buf_added(b, (size_t)n);
	}
out:
	close(fd);
	return rc;
}

void
trust_open(void)
{
	size_t i;

	for (i = 0; i < sizeof system_files / sizeof system_files[0]; i++) {
		if (slurp(system_files[i], &system_text) == 0 && buf_len(&system_text) > 0) {
			system_file = system_files[i];
			return;
		}
		buf_free(&system_text);
	}
}

int
trust_choose(const struct conf *c, struct anchors *out, int *must, struct err *e)
{
	const char *path = c->dns.trust_anchor;
	const uint8_t *text;
	struct err why;
	size_t n;

	*out = (struct anchors){.n = 0};
	*must = path[0] != '\0';
	if (*must) {
		if ((text = proc_file(path, &n)) == NULL)
			return err_set(e, ENOENT, "dns: trust_anchor: %s is not there", path);
		if (anchors_parse(path, (const char *)text, n, out, &why) == -1)
			return err_set(e, why.code, "dns: trust_anchor: %s", why.text);
		return 0;
	}
	if (system_file != NULL && anchors_parse(system_file, (const char *)buf_ptr(&system_text),
				       buf_len(&system_text), out, &why) == -1)
		log_warn("%s: answers are not validated", why.text);
	return 0;
}

/* Is name, with or without a final dot, in zone? */
static int
is_below(const char *name, const char *zone)
{
	size_t n = strlen(name), z = strlen(zone) - 1;

	if (n > 0 && name[n - 1] == '.')
		n--;
	return z == 0 || (n >= z && strncmp(name + n - z, zone, z) == 0 &&
			     (n == z || name[n - z - 1] == '.'));
}

const char *
trust_trouble(const char *name)
{
	static char text[NAME_MAX_OCTETS + 120];
	const struct zone *z = NULL;
	size_t i;

	/* The longest one is whose anchors count. */
	for (i = 0; i < nzones; i++)
		if (is_below(name, zones[i].name) &&
		    (z == NULL || strlen(zones[i].name) > strlen(z->name)))
			z = &zones[i];
	if (z == NULL || z->state != BAD)
		return "";
	(void)snprintf(text, sizeof text,
	    "no keys of zone %s that fit the trust anchor come from the name servers: do they "
	    "strip DNSSEC?",
	    z->name);
	return text;
}

/* What gwctl status shows. */
static void
note(void)
{
	const char *text = "";
	size_t i;

	for (i = 0; i < nzones && text[0] == '\0'; i++)
		text = trust_trouble(zones[i].name);
	proc_note(text);
}

/*
 * The root's keys validate with every resolver that passes DNSSEC through.  With one that strips it
 * no name at all would resolve; where nobody asked for DNSSEC it is better to say so once and go on
 * without.
 */
static void
on_keys(void *arg, const struct resolver_result *r)
{
	struct zone *z = arg;
	const int was = (int)z->state;

	if (!r->bogus && r->rcode != 0)
		return;
	if (r->secure) {
		z->state = GOOD;
		if (was != GOOD)
			log_info("answers below %s are validated with DNSSEC", z->name);
	} else if (!required) {
		if (on_dropped != NULL) {
			log_warn("the name servers do not pass DNSSEC through: answers are not "
				 "validated");
			on_dropped();
		}
		on_dropped = NULL;
	} else {
		z->state = BAD;
		if (was != BAD)
			log_err("dns.trust_anchor: %s (%s) No name there is found until this is "
				"mended",
			    trust_trouble(z->name),
			    r->why != NULL ? log_str(r->why) : "not signed");
	}
	if ((int)z->state != was)
		note();
}

static void
ask_all(void)
{
	size_t i;

	asked = clock_ms();
	for (i = 0; i < nzones; i++)
		(void)resolver_ask(zones[i].name, TYPE_DNSKEY, on_keys, &zones[i]);
}

void
trust_probe(const struct anchors *a, int must, void (*dropped)(void))
{
	size_t i, k;

	nzones = 0;
	required = must;
	on_dropped = dropped;
	for (i = 0; a != NULL && i < a->n; i++) {
		anchors_zone(a, i, zones[nzones].name);
		zones[nzones].state = UNKNOWN;
		for (k = 0; strcmp(zones[k].name, zones[nzones].name) != 0; k++)
			continue;
		nzones += k == nzones;
	}
	note();
	ask_all();
}

void
trust_doubt(void)
{
	if (required && clock_ms() - asked > AGAIN_MS)
		ask_all();
}
