/* import: secret keys of other programs. */
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
#include "keyctl/import.h"

#define TRIES 3 /* of a passphrase on the terminal */
#define IMPORT_ANSWER_MAX (4 * 1024 * 1024) /* octets of one encoded struct imported */

void
import_answer_free(struct import_answer *a)
{
	free(a->rec);
	a->rec = NULL;
	buf_wipe_free(&a->mem);
}

int
read_file(const char *name, struct buf *out)
{
	ssize_t n = -1;
	uint8_t *to;
	int fd;

	if ((fd = open(name, O_RDONLY | O_CLOEXEC)) == -1)
		return complain(
		    errno == EACCES ? EX_NOPERM : EX_NOINPUT, "%s: %s", name, strerror(errno));
	while ((to = buf_reserve(out, 65536)) != NULL && (n = read(fd, to, 65536)) > 0)
		buf_added(out, (size_t)n);
	close(fd);
	if (to == NULL)
		return complain(EX_DATAERR, "%s: larger than %zu MiB", name, out->max >> 20);
	if (n == -1)
		return complain(EX_IOERR, "%s: %s", name, strerror(errno));
	return 0;
}

int
import_read_jailed(const char *name, const struct import_ask *ask, struct import_answer *a)
{
	struct err e = {0};

	import_answer_free(a);
	buf_init(&a->mem, IMPORT_ANSWER_MAX);
	if (jail_run(import_read, ask, name, &a->mem, &e) == -1)
		return complain_err(&e);
	a->rec = rec_decode(&rec_imported, buf_ptr(&a->mem), buf_len(&a->mem));
	return a->rec != NULL ? 0 : complain(EX_DATAERR, "%s: cannot be read", name);
}

/* Read one key, asking for its passphrase when it has one. */
static int
read_key(const char *name, const struct import_options *o, struct import_ask *ask,
    struct import_answer *a)
{
	char pass[PASS_MAX], what[300];
	struct err e = {0};
	int rc, tries = 0;

	ask->pass = NULL;
	rc = import_read_jailed(name, ask, a);
	while (rc == 0 && (a->rec->code == EACCES || (a->rec->code == EKEYREJECTED && tries > 0)) &&
	       tries < (o->passphrase_file != NULL ? 1 : TRIES)) {
		if (tries++ > 0)
			(void)complain(0, "%s: %s", name, shown(a->rec->text, what));
		(void)snprintf(what, sizeof what, "Passphrase of key %u of %u in %s",
		    ask->index + 1, a->rec->total, name);
		if (ask_passphrase(o->passphrase_file, what, 0, pass, &e) == -1)
			return complain_err(&e);
		ask->pass = pass;
		rc = import_read_jailed(name, ask, a);
		explicit_bzero(pass, sizeof pass);
		ask->pass = NULL;
	}
	return rc;
}

static int
owner(struct keyctl *t, const struct import_options *o, const struct imported *im,
    char consumer[CONSUMER_ID])
{
	char uid[SHOWN_MAX], other[CONSUMER_ID];
	int rc;

	if (o->consumer != NULL)
		return find_consumer(t, o->consumer, NULL, 0, consumer);
	consumer[0] = '\0';
	for (size_t i = 0; i < im->addrs.n; i++) {
		rc = find_consumer(t, NULL, im->addrs.v[i].addr, 1, other);
		if (rc == EX_NOINPUT)
			continue;
		if (rc != 0)
			return rc;
		if (consumer[0] != '\0' && strcmp(consumer, other) != 0)
			return complain(EX_DATAERR,
			    "addresses of %s belong to the consumers %s and %s: name one with "
			    "--consumer",
			    shown(im->uid, uid), consumer, other);
		(void)strlcpy(consumer, other, CONSUMER_ID);
	}
	if (consumer[0] != '\0')
		return 0;
	return complain(EX_NOINPUT,
	    "no consumer owns an address of %s: name one with --consumer, or first gwctl consumer "
	    "add ID --internal --address ADDRESS",
	    im->uid[0] != '\0' ? shown(im->uid, uid) : "this key");
}

/* One line for each private key of a certificate. */
static int
put_keys(struct keyctl *t, const struct imported *im, const char *label,
    const struct import_count *count, int *fresh)
{
	uint8_t uses[CERT_KEYS_MAX];
	char fpr[2 * KEY_FPR + 1];
	struct put_result put;
	int rc = 0;

	import_uses(im, uses);
	for (size_t i = 0; rc == 0 && i < im->keys.n; i++) {
		const struct imported_key *k = &im->keys.v[i];
		struct key_import_req req = {
		    .use = uses[i],
		    .algo = k->algo,
		    .created = k->created,
		    .label = label,
		    .params = k->params,
		    .secret = k->secret,
		};

		(void)hex_encode(fpr, k->fpr.p, KEY_FPR);
		if (uses[i] == 0) {
			if (!count->quiet)
				(void)printf("  %s\tleft out: neither signs nor decrypts\n", fpr);
			continue;
		}
		if ((rc = put_key(t, &req, &put)) != 0)
			break;
		*fresh |= put.fresh;
		if (count->quiet)
			continue;
		(void)printf(
		    "  %s\t%s%s\n", fpr, key_use_name(put.use), put.fresh ? "" : "\t(was there)");
		if (k->primary && uses[i] != USE_DECRYPT && (k->flags & KEY_ENCRYPT))
			(void)printf("  %s\tnote: one key has one use, it will not decrypt\n", fpr);
	}
	return rc;
}

/* What the key has that is not taken over. */
static void
tell_missing(const char *uid, const struct imported *im, const struct import_count *count)
{
	const char *begin = count->quiet ? uid : " ", *sep = count->quiet ? ":" : "";

	if (im->missing + im->unsupported > 0)
		progress_clear();
	if (im->missing > 0)
		(void)printf(
		    "%s%s %u without private half (on a card, or left out): not imported\n", begin,
		    sep, im->missing);
	if (im->unsupported > 0)
		(void)printf("%s%s %u of an algorithm that is not supported: not imported\n", begin,
		    sep, im->unsupported);
}

int
import_one(struct keyctl *t, const struct import_options *o, const char *name,
    const struct imported *im, struct import_count *count)
{
	char consumer[CONSUMER_ID], uid[SHOWN_MAX];
	const char *label = im->addrs.n > 0 ? im->addrs.v[0].addr : "";
	int rc, fresh = 0;

	if (im->code != 0)
		return complain(
		    im->code == EACCES || im->code == EKEYREJECTED ? EX_NOPERM : EX_DATAERR,
		    "%s: %s", name, shown(im->text, uid));
	if ((rc = owner(t, o, im, consumer)) != 0)
		return rc;
	(void)shown(im->uid, uid);
	if (!count->quiet)
		(void)printf("%s\tconsumer %s\n", uid, consumer);
	tell_missing(uid, im, count);
	if ((rc = put_keys(t, im, label, count, &fresh)) != 0 ||
	    (rc = store_cert(t, consumer, im->raw.p, im->raw.n)) != 0)
		return rc;
	*(fresh ? &count->fresh : &count->there) += 1;
	return 0;
}

static int
import_file(struct keyctl *t, const struct import_options *o, const char *name)
{
	struct import_answer a = {.rec = NULL};
	struct import_ask ask = {.now = clock_unix()};
	struct import_count count = {0};
	unsigned total = 1, bad = 0;
	struct buf file;
	int rc, worst = 0;

	buf_init(&file, IMPORT_FILE_MAX);
	buf_init(&a.mem, IMPORT_ANSWER_MAX);
	if ((worst = read_file(name, &file)) != 0)
		goto out;
	ask.p = buf_ptr(&file);
	ask.n = buf_len(&file);
	for (; ask.index < total; ask.index++) {
		if (total > 1)
			progress("import", "keys", ask.index, total);
		rc = read_key(name, o, &ask, &a);
		if (rc == 0 && a.rec->total > total)
			total = a.rec->total;
		progress_clear();
		if (rc == 0)
			rc = import_one(t, o, name, a.rec, &count);
		if (rc == 0)
			continue;
		worst = rc;
		bad++;
		/* What is wrong with one key need not be wrong with the next. */
		if (rc != EX_DATAERR && rc != EX_NOINPUT && rc != EX_NOPERM)
			break;
	}
	if (total > 1 && bad > 0)
		(void)complain(0, "%s: %u of %u keys were not imported", name, bad, total);
out:
	import_answer_free(&a);
	buf_wipe_free(&file);
	return worst;
}

int
verb_import(struct keyctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"consumer", required_argument, NULL, 'o'},
	    {"passphrase-file", required_argument, NULL, 'p'},
	    {"gnupg-home", required_argument, NULL, 'g'},
	    {"tls", no_argument, NULL, 't'},
	    {"certificate", required_argument, NULL, 'c'},
	    {NULL, 0, NULL, 0},
	};
	struct import_options o = {.consumer = NULL};
	int c, rc, worst = 0;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'o')
			o.consumer = optarg;
		else if (c == 'p')
			o.passphrase_file = optarg;
		else if (c == 'g')
			o.home = optarg;
		else if (c == 't')
			o.tls = 1;
		else if (c == 'c')
			o.certificate = optarg;
		else
			return complain_usage(argv[0]);
	}
	if ((optind == argc) != (o.home != NULL) ||
	    (o.tls && (o.consumer != NULL || o.home != NULL)) ||
	    (!o.tls && o.certificate != NULL) || (o.certificate != NULL && optind + 1 != argc))
		return complain_usage(argv[0]);
	if ((rc = connect_keys(t)) != 0 || (!o.tls && (rc = connect_policy(t)) != 0))
		return rc;
	if (o.home != NULL)
		return import_home(t, &o);
	for (int i = optind; i < argc; i++)
		if ((rc = (o.tls ? import_tls : import_file)(t, &o, argv[i])) != 0)
			worst = rc;
	return worst;
}
