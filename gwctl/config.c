/* config check, config dump; reload, reopen, stop. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <linux/magic.h>
#include <sysexits.h>
#include <unistd.h>

#include "gwctl/gwctl.h"
#include "proxy/profile.h"

#define RELOAD_TIMEOUT 60000 /* milliseconds: every daemon answers, one after the other */

static void
warn(const char *config, const char *what, const char *value, const char *remedy)
{
	(void)fprintf(stderr, "%s: warning: %s: %s: %s\n", config, what, value, remedy);
}

static int
check_file(void *arg, const char *path, const char *what, int need)
{
	char text[200];

	if (!need || access(path, R_OK) == 0)
		return 0;
	(void)snprintf(text, sizeof text,
	    "%s: put it there%s, or correct its name: without it the "
	    "gateway neither starts nor reloads",
	    strerror(errno), strstr(what, "certificates") != NULL ? " (gwctl tls install)" : "");
	warn(arg, what, path, text);
	return 0;
}

/* What is no error of the file but will be trouble on this machine. */
static void
warnings(const char *config, const struct conf *c)
{
	struct statfs fs;

	(void)conf_files(c, check_file, (void *)(uintptr_t)config);
	if (statfs(c->node.spool_dir, &fs) == 0 && fs.f_type == TMPFS_MAGIC)
		warn(config, "spool_dir", c->node.spool_dir,
		    "is in memory and does not outlive a restart of the machine; choose a disk");
	if (c->ignition.key_file[0] != '\0' && access(c->ignition.key_file, F_OK) == -1)
		warn(config, "key_file", c->ignition.key_file, strerror(errno));
}

/* The configuration, with what OpenSSL has to say about it: 0 or the exit code. */
static int
correct_conf(struct gwctl *t)
{
	struct profile_options o;
	const struct conf_profile *p;
	struct err e = {0};
	int rc;

	if ((rc = gwctl_conf(t)) != 0)
		return rc;
	for (p = t->conf->profiles; p < t->conf->profiles + t->conf->nprofiles; p++) {
		profile_options(&o, p, NULL);
		if (tls_options_check(&o.o, &e) == 0)
			continue;
		(void)fprintf(
		    stderr, "%s:%u: tls_profile \"%s\": %s\n", t->config, p->line, p->name, e.text);
		rc = EX_CONFIG;
	}
	if (rc != 0)
		return complain(rc, "%s is not usable; correct it and try again", t->config);
	return 0;
}

int
verb_config_check(struct gwctl *t, int argc, char *argv[])
{
	int rc;

	(void)argv;
	if (argc != 1)
		return complain_usage();
	t->warn = 1;
	if ((rc = correct_conf(t)) != 0)
		return rc;
	warnings(t->config, t->conf);
	(void)printf("%s: correct: %zu connector%s, %zu peer%s\n", t->config, t->conf->nconnectors,
	    t->conf->nconnectors == 1 ? "" : "s", t->conf->npeers, t->conf->npeers == 1 ? "" : "s");
	return EX_OK;
}

static int
to_stdout(void *ctx, const void *p, size_t n)
{
	(void)ctx;
	return fwrite(p, 1, n, stdout) == n ? 0 : -1;
}

int
verb_config_dump(struct gwctl *t, int argc, char *argv[])
{
	const struct sink out = {to_stdout, NULL};
	int rc;

	(void)argv;
	if (argc != 1)
		return complain_usage();
	if ((rc = gwctl_conf(t)) != 0)
		return rc;
	if (conf_dump(t->conf, &out) == -1)
		return complain(EX_IOERR, "standard output: %s", strerror(errno));
	return EX_OK;
}

int
verb_reload(struct gwctl *t, int argc, char *argv[])
{
	struct err e = {0};
	int rc;

	(void)argv;
	if (argc != 1)
		return complain_usage();
	/* Better told here with every line than by master with the first one. */
	if (t->run_dir == NULL && (rc = correct_conf(t)) != 0)
		return rc;
	if ((rc = gwctl_master(t)) != 0)
		return rc;
	if (control_verb(&t->master, CTL_RELOAD, RELOAD_TIMEOUT, &e) == -1) {
		rc = complain(e.code == EHOSTDOWN ? EX_CONFIG : EX_UNAVAILABLE, "%s", e.text);
		return complain(rc, "the running gateway keeps its old configuration");
	}
	(void)printf("reloaded\n");
	return EX_OK;
}

int
verb_reopen(struct gwctl *t, int argc, char *argv[])
{
	(void)argv;
	return argc != 1 ? complain_usage() : gwctl_control(t, CTL_REOPEN, CONTROL_TIMEOUT);
}

int
verb_stop(struct gwctl *t, int argc, char *argv[])
{
	int rc;

	(void)argv;
	if (argc != 1)
		return complain_usage();
	if ((rc = gwctl_control(t, CTL_STOP, CONTROL_TIMEOUT)) == 0)
		(void)printf("stopping\n");
	return rc;
}
