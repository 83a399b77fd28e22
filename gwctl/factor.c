/* consumer password, consumer phrase: secrets that are made here. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "gwctl/gwctl.h"
#include "model/factor.h"

enum { O_REMOVE = 1000, O_JSON };

/* What --json gives. */
#define REC_MADE_PASSWORD(F, L)                                                                    \
	F(STR, id, 0, 64)                                                                          \
	F(STR, password, 0, FACTOR_TEXT_LEN) /* "": there is none any more */
REC_DECLARE(made_password, REC_MADE_PASSWORD)
REC_DEFINE(made_password, REC_MADE_PASSWORD)

#define REC_MADE_PHRASE(F, L)                                                                      \
	F(STR, id, 0, 64)                                                                          \
	F(STR, phrase, 0, PHRASE_LEN)
REC_DECLARE(made_phrase, REC_MADE_PHRASE)
REC_DEFINE(made_phrase, REC_MADE_PHRASE)

/* "[--remove] [--json] ID": the id, or NULL with the exit code in rc. */
static const char *
one_id(int argc, char *argv[], const struct option *longs, int *remove, int *json, int *rc)
{
	int o;

	*rc = 0;
	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (o == O_REMOVE)
			*remove = 1;
		else if (o == O_JSON)
			*json = 1;
		else
			*rc = complain_usage();
		if (*rc != 0)
			return NULL;
	}
	if (optind != argc - 1)
		*rc = complain_usage();
	else if (argv[optind][0] == '\0' || strlen(argv[optind]) > 64)
		*rc = complain(EX_DATAERR, "'%s' is no id", shown(argv[optind]));
	return *rc == 0 ? argv[optind] : NULL;
}

static void
tell_password(const struct made_password *p)
{
	if (p->password[0] == '\0') {
		(void)printf("%s\tgateway password removed\n", shown(p->id));
		return;
	}
	(void)printf("%s\t%s\n", shown(p->id), p->password);
	(void)fprintf(stderr,
	    "It is not shown again.  Where second_factor = password, the mail program's password "
	    "is now\n    %s:PASSWORD-AT-THE-MAIL-SERVER\n",
	    p->password);
}

int
verb_consumer_password(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"remove", no_argument, NULL, O_REMOVE},
	    {"json", no_argument, NULL, O_JSON},
	    {NULL, 0, NULL, 0},
	};
	char password[FACTOR_TEXT_LEN + 1] = "";
	uint8_t hash[FACTOR_HASH_LEN];
	struct consumer_factor q = {.id = NULL};
	struct made_password p = {.password = password};
	int remove = 0, json = 0, rc;

	if ((q.id = p.id = one_id(argc, argv, longs, &remove, &json, &rc)) == NULL)
		return rc;
	if (!remove) {
		factor_password(password);
		if (factor_hash(hash, password) == -1)
			return complain(EX_OSERR, "out of memory");
		q.factor = (struct bytes){hash, sizeof hash};
	}
	if ((rc = gwctl_change(t, M_consumer_factor, &q)) == 0) {
		if (json)
			rc = json_print(&rec_made_password, &p);
		else
			tell_password(&p);
	}
	explicit_bzero(password, sizeof password);
	return rc;
}

int
verb_consumer_phrase(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"json", no_argument, NULL, O_JSON},
	    {NULL, 0, NULL, 0},
	};
	char phrase[PHRASE_LEN + 1];
	struct consumer_phrase q = {.phrase = phrase};
	struct made_phrase p = {.phrase = phrase};
	int remove = 0, json = 0, rc;

	if ((q.id = p.id = one_id(argc, argv, longs, &remove, &json, &rc)) == NULL)
		return rc;
	phrase_make(phrase);
	if ((rc = gwctl_change(t, M_consumer_phrase, &q)) != 0)
		return rc;
	if (json)
		return json_print(&rec_made_phrase, &p);
	(void)printf("%s\t%s\n", shown(p.id), phrase);
	return 0;
}
