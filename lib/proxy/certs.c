#include "proxy/certs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/sha.h>

#include "base/clock.h"
#include "base/log.h"
#include "proc/proc.h"
#include "proxy/tls_server.h"

#define DAY 86400
#define SOON (14 * DAY) /* seconds before its end that a certificate is warned of */
#define SHOWN_MAX 64 /* certificates in the status */

struct tls_file *
certs_find(struct tls_file *set, const char *path)
{
	while (set != NULL && strcmp(set->path, path) != 0)
		set = set->next;
	return set;
}

const struct tls_file *
certs_of_handle(const struct tls_file *set, const uint8_t handle[KEYPROV_HANDLE])
{
	while (set != NULL && memcmp(set->handle, handle, KEYPROV_HANDLE) != 0)
		set = set->next;
	return set;
}

void
certs_free(struct tls_file **set)
{
	struct tls_file *c;

	while ((c = *set) != NULL) {
		*set = c->next;
		staple_end(c);
		tls_cert_free(c->cert);
		free(c);
	}
}

static struct tls_file *
take_over(const struct tls_file *old, const char *path, const uint8_t digest[32])
{
	while (
	    old != NULL && (strcmp(old->path, path) != 0 || memcmp(old->digest, digest, 32) != 0))
		old = old->next;
	return (struct tls_file *)(uintptr_t)old;
}

static int
make(struct tls_file **to, const struct tls_file *old, const char *connector, const char *path,
    struct err *e)
{
	size_t n = 0, len = strlen(path) + 1;
	const uint8_t *text = proc_file(path, &n);
	const struct tls_file *before;
	struct err why;
	struct tls_file *c;

	if (text == NULL)
		return err_set(
		    e, ENOENT, "connector %s: certificate %s is not there", connector, path);
	if ((c = calloc(1, sizeof *c + len)) == NULL)
		return err_sys(e, "memory");
	memcpy(c->path, path, len);
	(void)SHA256(text, n, c->digest);
	if ((before = take_over(old, path, c->digest)) != NULL) {
		c->cert = tls_cert_keep(before->cert);
		memcpy(c->handle, before->handle, sizeof c->handle);
	} else {
		c->cert = tls_cert_new(text, n, false, path, tls_server_bind, c->handle, &why);
		if (c->cert == NULL) {
			free(c);
			return err_set(e, why.code, "connector %s: %s", connector, why.text);
		}
	}
	c->next = *to;
	*to = c;
	return 0;
}

int
certs_make(struct tls_file **to, const struct tls_file *old, const struct conf *conf,
    enum conf_service service, struct err *e)
{
	const struct conf_connector *k;
	struct tls_file *c;
	size_t i, j;

	*to = NULL;
	for (i = 0; i < conf->nconnectors; i++) {
		k = &conf->connectors[i];
		for (j = 0; conf_is_smtp(k->service) == conf_is_smtp(service) && j < k->chains.n;
		     j++) {
			if ((c = certs_find(*to, k->chains.v[j])) == NULL) {
				if (make(to, old, k->name, k->chains.v[j], e) == -1) {
					certs_free(to);
					return -1;
				}
				c = *to;
			}
			c->stapled |= k->profile->stapling != 0;
		}
	}
	return 0;
}

/* --- their ends --- */

/* "2026-01-31", UTC. */
static const char *
day_text(char *out, size_t outsz, int64_t when)
{
	time_t t = (time_t)when;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL || strftime(out, outsz, "%Y-%m-%d", &tm) == 0)
		(void)snprintf(out, outsz, "?");
	return out;
}

void
certs_warn(const struct tls_file *c)
{
	int64_t end, now = (int64_t)clock_unix();
	char day[32];

	for (; c != NULL; c = c->next) {
		if ((end = tls_cert_expires(c->cert)) > now + SOON)
			continue;
		(void)day_text(day, sizeof day, end);
		if (end <= now)
			log_warn("certificate %s has ended on %s: clients will refuse it; install "
				 "a new one (gwctl tls install)",
			    log_str(c->path), day);
		else
			log_warn("certificate %s ends on %s: install a new one before then (gwctl "
				 "tls install)",
			    log_str(c->path), day);
	}
}

void
certs_status(const struct tls_file *c)
{
	int64_t end, now = (int64_t)clock_unix();
	unsigned n = 0;
	char day[32];

	for (; c != NULL && n++ < SHOWN_MAX; c = c->next) {
		end = tls_cert_expires(c->cert);
		proc_fact("tls.certificate", "%s: %s on %s", log_str(c->path),
		    end <= now ? "ENDED" : "ends", day_text(day, sizeof day, end));
	}
}
