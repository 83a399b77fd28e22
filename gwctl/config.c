/* config check, config dump; reload, reopen, stop. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <linux/magic.h>
#include <sysexits.h>
#include <unistd.h>

#include "gwctl/gwctl.h"

#define RELOAD_TIMEOUT 60000 /* milliseconds: every daemon answers, one after the other */

static unsigned
warn(const char *config, unsigned line, const char *what, const char *value, const char *remedy)
{
	char where[16] = "";

	if (line > 0)
		(void)snprintf(where, sizeof where, ":%u", line);
	(void)fprintf(stderr, "%s%s: warning: %s %s: %s\n", config, where, what, value, remedy);
	return 1;
}

/* What is no error of the file but will be trouble on this machine. */
static unsigned
warnings(const char *config, const struct conf *c)
{
	struct statfs fs;
	unsigned n = 0;
	size_t i;

	for (i = 0; i < c->npeers; i++) {
		const struct conf_peer *p = &c->peers[i];

		if (p->tls != CONF_TLS_NONE && p->verify && access(p->ca_file, R_OK) == -1)
			n += warn(config, p->line, "ca_file", p->ca_file,
			    "cannot be read here; install ca-certificates, or name another");
	}
	for (i = 0; i < c->nconnectors; i++) {
		const struct conf_connector *k = &c->connectors[i];

		if (*k->certificate != '\0' && access(k->certificate, R_OK) == -1)
			n += warn(config, k->line, "certificate", k->certificate, strerror(errno));
		if (*k->client_ca != '\0' && access(k->client_ca, R_OK) == -1)
			n += warn(config, k->line, "client_ca", k->client_ca, strerror(errno));
	}
	if (statfs(c->node.spool_dir, &fs) == 0 && fs.f_type == TMPFS_MAGIC)
		n += warn(config, 0, "spool_dir", c->node.spool_dir,
		    "is in memory and does not outlive a restart of the machine; choose a disk");
	if (c->ignition.key_file[0] != '\0' && access(c->ignition.key_file, F_OK) == -1)
		n += warn(config, 0, "key_file", c->ignition.key_file, strerror(errno));
	return n;
}

int
verb_config_check(struct gwctl *t, int argc, char *argv[])
{
	int rc;

	(void)argv;
	if (argc != 1)
		return complain_usage();
	if ((rc = gwctl_conf(t)) != 0)
		return rc;
	(void)warnings(t->config, t->conf);
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
	if (t->run_dir == NULL && (rc = gwctl_conf(t)) != 0)
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
