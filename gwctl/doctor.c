/* doctor: look at everything, say what is wrong and what to do. */
#include "gwctl/doctor.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define TIMEOUT 10000 /* milliseconds for one question */
#define EX_WRONG 1 /* none of sysexits.h: as gwctl status */

REC_DEFINE(doctor_finding, REC_DOCTOR_FINDING)

static const char *const levels[] = {
    [DOCTOR_GOOD] = "good", [DOCTOR_NOTE] = "note", [DOCTOR_WRONG] = "wrong"};

static const struct {
	const char *name;
	void (*look)(struct doctor *d);
} areas[] = {
    {"config", doctor_config},
    {"daemons", doctor_daemons},
    {"clock", doctor_clock},
    {"spool", doctor_spool},
    {"ports", doctor_ports},
    {"tls", doctor_tls},
    {"dns", doctor_dns},
};

#define NAREAS (sizeof areas / sizeof areas[0])

static int
room(struct doctor *d)
{
	size_t size = d->size == 0 ? 64 : 2 * d->size;
	struct doctor_finding *more;

	if (d->n < d->size)
		return 0;
	if (d->n >= DOCTOR_FINDINGS_MAX || (more = reallocarray(d->v, size, sizeof *more)) == NULL)
		return -1;
	d->v = more;
	d->size = size;
	return 0;
}

void
doctor_say(struct doctor *d, enum doctor_level level, const char *about, const char *remedy,
    const char *fmt, ...)
{
	char text[1024];
	struct doctor_finding *f;
	va_list ap;

	d->wrong += level == DOCTOR_WRONG;
	d->notes += level == DOCTOR_NOTE;
	if (room(d) == -1) {
		d->failed = 1;
		return;
	}
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	f = &d->v[d->n];
	*f = (struct doctor_finding){.level = levels[level], .area = d->area};
	f->about = strdup(about);
	f->text = strdup(text);
	f->remedy = strdup(remedy);
	d->n++;
	if (f->about == NULL || f->text == NULL || f->remedy == NULL)
		d->failed = 1;
}

static void
print_one(const struct doctor_finding *f)
{
	enum tint tint = strcmp(f->level, "good") == 0   ? TINT_GOOD
			 : strcmp(f->level, "note") == 0 ? TINT_WARN
							 : TINT_BAD;

	put_tinted(tint, f->level, strlen(f->level));
	(void)printf("%*s%-8s %s%s%s\n", (int)(7 - strlen(f->level)), "", f->area, shown(f->about),
	    f->about[0] != '\0' ? ": " : "", shown(f->text));
	if (f->remedy[0] != '\0')
		(void)printf("       %-8s -> %s\n", "", shown(f->remedy));
}

static int
print_json(const struct doctor *d)
{
	struct json_list list;
	size_t i;

	json_list_begin(&list, "findings");
	for (i = 0; i < d->n; i++)
		json_list_item(&list, &rec_doctor_finding, &d->v[i]);
	return json_list_end(&list);
}

static int
tell(const struct doctor *d, int how)
{
	size_t i;
	int rc = 0;

	if (how == 'j')
		rc = print_json(d);
	else {
		for (i = 0; i < d->n; i++)
			if (how != 'q' || strcmp(d->v[i].level, "good") != 0)
				print_one(&d->v[i]);
		if (how != 'q')
			(void)printf("%u wrong, %u to be noted\n", d->wrong, d->notes);
	}
	if (d->failed)
		return complain(EX_OSERR, "out of memory: there may be more");
	return rc != 0 ? rc : d->wrong > 0 ? EX_WRONG : EX_OK;
}

/* Look at the areas named, or at all. 0 or the exit code. */
static int
look(struct doctor *d, int argc, char *argv[])
{
	size_t i;
	int k, chosen;

	for (k = 0; k < argc; k++) {
		for (i = 0; i < NAREAS && strcmp(areas[i].name, argv[k]) != 0; i++)
			continue;
		if (i == NAREAS)
			return complain(EX_USAGE,
			    "%s: no such area; there are config, daemons, clock, spool, ports, "
			    "tls, dns",
			    shown(argv[k]));
	}
	for (i = 0; i < NAREAS; i++) {
		for (chosen = argc == 0, k = 0; k < argc; k++)
			chosen |= strcmp(areas[i].name, argv[k]) == 0;
		/* The others need to know whether there is a configuration, and a gateway. */
		if (!chosen && i > 1)
			continue;
		progress(areas[i].name, i, NAREAS);
		d->area = areas[i].name;
		areas[i].look(d);
		if (!chosen && d->t->conf != NULL) {
			while (d->n > 0) {
				d->n--;
				free((void *)(uintptr_t)d->v[d->n].about);
				free((void *)(uintptr_t)d->v[d->n].text);
				free((void *)(uintptr_t)d->v[d->n].remedy);
			}
			d->wrong = d->notes = 0;
		}
		if (d->t->conf == NULL)
			break;
	}
	progress_clear();
	return 0;
}

int
verb_doctor(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"json", no_argument, NULL, 'j'},
	    {"quiet", no_argument, NULL, 'q'},
	    {NULL, 0, NULL, 0},
	};
	struct doctor d = {.t = t, .timeout = TIMEOUT};
	int o, rc, how = 0;

	while ((o = getopt_long(argc, argv, "q", longs, NULL)) != -1) {
		if (o == '?' || (how != 0 && how != o))
			return complain_usage();
		how = o;
	}
	if ((rc = look(&d, argc - optind, argv + optind)) == 0)
		rc = tell(&d, how);
	while (d.n > 0) {
		d.n--;
		free((void *)(uintptr_t)d.v[d.n].about);
		free((void *)(uintptr_t)d.v[d.n].text);
		free((void *)(uintptr_t)d.v[d.n].remedy);
	}
	free(d.v);
	return rc;
}
