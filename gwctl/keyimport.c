/* key import: certificates of correspondents. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/enc.h"
#include "gwctl/keys.h"
#include "openpgp/cert.h"
#include "proc/jail.h"

#define RUN_MAX (4 * KEYREAD_OCTETS) /* octets of one encoded struct read_certs */
#define MERGED_MAX (1024 * 1024) /* and of one struct read_cert */

struct import {
	struct gwctl *t;
	const char *file, *consumer;
	uint64_t now;
	unsigned done, failed; /* certificates */
};

static int
read_file(const char *name, struct buf *out)
{
	int fd = strcmp(name, "-") == 0 ? dup(STDIN_FILENO) : open(name, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;
	uint8_t *to;

	if (fd == -1)
		return complain(errno == EACCES ? EX_NOPERM : EX_NOINPUT, "%s: %s", shown(name),
		    strerror(errno));
	while ((to = buf_reserve(out, 65536)) != NULL && (n = read(fd, to, 65536)) > 0)
		buf_added(out, (size_t)n);
	close(fd);
	if (to == NULL)
		return complain(
		    EX_DATAERR, "%s: larger than %d MiB; split it", shown(name), KEYFILE_MAX >> 20);
	if (n == -1)
		return complain(EX_IOERR, "%s: %s", shown(name), strerror(errno));
	return 0;
}

static const char *
name_of(const struct cert *c, uint64_t now)
{
	const struct cert_uid *u = pgp_cert_primary_uid(c, now);

	return u != NULL && u->text[0] != '\0' ? shown(u->text) : "(no user id)";
}

/* ---- whose it is ---- */

/* The consumer that this address belongs to: 0 and out, -1 for none, or the exit code. */
static int
owner_of_address(struct gwctl *t, const char *addr, char out[65])
{
	struct consumer_get q = {.id = "", .addr = addr};
	const struct consumer_page *p;
	struct ipc_msg m;
	int rc;

	if ((rc = gwctl_ask(t, M_consumer_get, &q, M_consumer_page, &m)) != 0)
		return rc;
	p = m.body;
	rc = -1;
	if (p->consumers.n == 1) {
		(void)strlcpy(out, p->consumers.v[0].id, 65);
		rc = 0;
	}
	ipc_done(&t->policy, &m);
	return rc;
}

static int
owner(const struct import *im, const struct cert *c, char out[65])
{
	const char *first = NULL;
	size_t i;
	int rc;

	if (im->consumer != NULL) {
		(void)strlcpy(out, im->consumer, 65);
		return 0;
	}
	for (i = 0; i < c->uids.n; i++) {
		const struct cert_uid *u = &c->uids.v[i];

		if (u->addr[0] == '\0' || (u->revoked != 0 && u->revoked <= im->now))
			continue;
		if ((rc = owner_of_address(im->t, u->addr, out)) != -1)
			return rc;
		first = first != NULL ? first : u->addr;
	}
	if (first == NULL)
		return complain(EX_NOINPUT,
		    "%s: no address in it: say whose it is with --consumer ID",
		    name_of(c, im->now));
	return complain(EX_NOINPUT,
	    "%s: %s belongs to no consumer; first: gwctl consumer add ID --external --address %s",
	    name_of(c, im->now), shown(first), shown(first));
}

/* ---- storing ---- */

/* Merge with what is stored for this consumer: 0 and *merged (NULL: nothing was there). */
static int
merge_stored(const struct import *im, const struct read_cert *r, const char *consumer,
    struct buf *mem, struct read_cert **merged, int *same)
{
	struct keymerge job = {.add = r->raw, .now = im->now};
	struct cert_get q = {.id = r->cert.v->keys.v[0].fpr};
	const struct stored_cert *old = NULL;
	const struct cert_page *p;
	struct err e = {0};
	struct ipc_msg m;
	size_t i;
	int rc;

	*merged = NULL;
	*same = 0;
	if ((rc = gwctl_ask(im->t, M_cert_get, &q, M_cert_page, &m)) != 0)
		return rc;
	p = m.body;
	for (i = 0; i < p->certs.n && old == NULL; i++)
		if (strcmp(p->certs.v[i].consumer, consumer) == 0)
			old = &p->certs.v[i];
	if (old != NULL) {
		job.old = old->raw;
		if (jail_run(keymerge_run, &job, im->file, mem, &e) == -1)
			rc = complain_err(&e);
		else if ((*merged = rec_decode(&rec_read_cert, buf_ptr(mem), buf_len(mem))) ==
			     NULL ||
			 (*merged)->cert.n != 1)
			rc = complain(EX_DATAERR, "%s: it cannot be merged with what is stored: %s",
			    name_of(r->cert.v, im->now),
			    *merged != NULL ? shown((*merged)->text) : strerror(errno));
		else
			*same = (*merged)->raw.n == old->raw.n &&
				memcmp((*merged)->raw.p, old->raw.p, old->raw.n) == 0;
	}
	ipc_done(&im->t->policy, &m);
	return rc;
}

static int
put_cert(const struct import *im, const struct read_cert *r, const char *consumer)
{
	struct stored_cert sc = {
	    .consumer = consumer,
	    .manual = 1,
	    .added = im->now,
	    .raw = r->raw,
	};
	struct cert_put q = {.cert = {&sc, 1}};

	if (r->raw.n > CERT_RAW_MAX)
		return complain(EX_DATAERR, "%s: %zu octets, more than %d",
		    name_of(r->cert.v, im->now), r->raw.n, CERT_RAW_MAX);
	sc.cert.v = r->cert.v;
	sc.cert.n = 1;
	return gwctl_change(im->t, M_cert_put, &q);
}

/* One line for what became of it, and one when it is of no use now. */
static void
print_result(const struct import *im, const struct cert *c, const char *consumer, const char *what)
{
	const struct bytes f = c->keys.v[0].fpr;
	const struct cert_key *k;
	char fpr[2 * 32 + 1];
	struct err e = {0};

	progress_clear();
	(void)printf("%s  %s  %s  %s\n", hex_encode(fpr, f.p, f.n), what, shown(consumer),
	    name_of(c, im->now));
	if (pgp_cert_encryption_keys(c, im->now, &k, 1, &e) == -1)
		(void)printf("  note: nothing can be encrypted to it now: %s\n", shown(e.text));
}

/* Behind the complaint that said why. */
static void
print_refused(const struct import *im, const struct cert *c)
{
	const struct bytes f = c->keys.v[0].fpr;
	char fpr[2 * 32 + 1];

	(void)printf("%s  refused  %s\n", hex_encode(fpr, f.p, f.n), name_of(c, im->now));
}

static int
import_cert(struct import *im, const struct read_cert *r)
{
	struct read_cert *merged = NULL;
	char consumer[65];
	struct buf mem;
	int rc, same;

	if (r->cert.n != 1)
		return complain(EX_DATAERR, "%s: certificate %u: %s", shown(im->file), im->done + 1,
		    shown(r->text));
	if ((rc = owner(im, r->cert.v, consumer)) != 0) {
		print_refused(im, r->cert.v);
		return rc;
	}
	buf_init(&mem, MERGED_MAX);
	if ((rc = merge_stored(im, r, consumer, &mem, &merged, &same)) == 0 && !same)
		rc = put_cert(im, merged != NULL ? merged : r, consumer);
	if (rc != 0)
		print_refused(im, r->cert.v);
	else
		print_result(im, merged != NULL ? merged->cert.v : r->cert.v, consumer,
		    same             ? "unchanged"
		    : merged != NULL ? "merged"
				     : "added");
	free(merged);
	buf_free(&mem);
	return rc;
}

/* ---- files ---- */

/* What is wrong with one certificate need not be wrong with the next. */
static int
goes_on(int rc)
{
	return rc == 0 || rc == EX_DATAERR || rc == EX_NOINPUT;
}

static int
import_run(struct import *im, const struct read_certs *run, int *worst)
{
	size_t i;
	int rc;

	for (i = 0; i < run->certs.n; i++) {
		progress(
		    "certificates", im->done, run->next == 0 ? im->done - i + run->certs.n : 0);
		if ((rc = import_cert(im, &run->certs.v[i])) != 0) {
			*worst = rc;
			im->failed++;
		}
		im->done++;
		if (!goes_on(rc))
			return -1;
	}
	return 0;
}

static int
import_file(struct import *im)
{
	struct keyread job = {.now = im->now};
	struct read_certs *run = NULL;
	struct err e = {0};
	struct buf file, mem;
	int worst = 0;

	buf_init(&file, KEYFILE_MAX);
	buf_init(&mem, RUN_MAX);
	if ((worst = read_file(im->file, &file)) != 0)
		goto out;
	job.p = buf_ptr(&file);
	job.n = buf_len(&file);
	im->done = im->failed = 0;
	do {
		free(run);
		run = NULL;
		buf_reset(&mem);
		if (jail_run(keyread_run, &job, im->file, &mem, &e) == -1) {
			worst = complain_err(&e);
			break;
		}
		if ((run = rec_decode(&rec_read_certs, buf_ptr(&mem), buf_len(&mem))) == NULL) {
			worst = complain(EX_DATAERR, "%s: cannot be read", shown(im->file));
			break;
		}
		if (run->code != 0) {
			worst = complain(EX_DATAERR, "%s: %s", shown(im->file), shown(run->text));
			break;
		}
		if (run->next != 0 && run->next <= job.from) /* it must go forward */
			run->next = 0;
		job.from = run->next;
	} while (import_run(im, run, &worst) == 0 && job.from != 0);
	progress_clear();
	if (im->done > 1 && im->failed > 0)
		(void)complain(0, "%s: %u of %u certificates were not imported", shown(im->file),
		    im->failed, im->done);
	if (worst == 0 && im->done == 0)
		worst = complain(EX_DATAERR, "%s: no OpenPGP public key in it", shown(im->file));
out:
	free(run);
	buf_free(&file);
	buf_free(&mem);
	return worst;
}

int
verb_key_import(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"consumer", required_argument, NULL, 'c'},
	    {NULL, 0, NULL, 0},
	};
	struct import im = {.t = t, .now = clock_unix()};
	int o, i, rc, worst = 0;

	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (o != 'c')
			return complain_usage();
		im.consumer = optarg;
	}
	if (optind == argc)
		return complain_usage();
	if (im.consumer != NULL && (im.consumer[0] == '\0' || strlen(im.consumer) > 64))
		return complain(EX_DATAERR, "'%s' is no id", shown(im.consumer));
	for (i = optind; i < argc && goes_on(worst); i++) {
		im.file = argv[i];
		if ((rc = import_file(&im)) != 0)
			worst = rc;
	}
	return worst;
}
