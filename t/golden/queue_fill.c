/*
 * A queue with COUNT small messages in an empty folder, to nobody.N@dM.test for M below DOMAINS:
 * what a gateway finds at its start.
 *
 *	queue_fill FOLDER COUNT DOMAINS
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "queue/qstore.h"

#define AT_ONCE 1000 /* messages in one group */

static const struct conf_queue conf = {
    .size = 16ULL << 30, .segment = 16 << 20, .memory = 32 << 20};
static struct qstore *store;
static struct event_base *base;
static unsigned long next, count, domains;

static void put(void);

static void
on_done(void *arg, int ok, const char *why)
{
	(void)arg;
	if (!ok)
		errx(1, "%s", why);
	if (next < count)
		put();
	else
		event_base_loopbreak(base);
}

static void
put_one(unsigned long n)
{
	char qid[24], to[64], text[200];
	struct envelope env = {.qid = qid,
	    .tx = qid,
	    .tenant = "default",
	    .connector = "relay",
	    .sender = "dora@example.test",
	    .envid = "",
	    .msgid = qid,
	    .priority = 5,
	    .arrived = (uint64_t)time(NULL) * 1000};
	struct queue_rcpt rcpt = {.addr = to, .orcpt = "", .hold = ""};
	struct qstore_entry e = {.envelope = {&env, 1}, .rcpts = {&rcpt, 1}};
	struct octets o;
	qstore_id id;

	(void)snprintf(qid, sizeof qid, "%lX00", n + 0x10000000UL);
	(void)snprintf(to, sizeof to, "nobody.%lu@d%lu.test", n, n % domains);
	(void)snprintf(
	    text, sizeof text, "From: dora@example.test\r\nSubject: %lu\r\n\r\nHello.\r\n", n);
	o = octets_mem(text, strlen(text));
	if (qstore_add(store, &e, &o, &id) == -1)
		err(1, "message %lu", n);
}

static void
put(void)
{
	unsigned long i;

	if (qstore_begin(store) == -1)
		err(1, "begin");
	for (i = 0; i < AT_ONCE && next < count; i++)
		put_one(next++);
	if (qstore_commit(store, 0, on_done, NULL) == -1)
		err(1, "commit");
}

int
main(int argc, char *argv[])
{
	struct err e = {0};
	int dir;

	if (argc != 4 || (count = strtoul(argv[2], NULL, 10)) == 0 ||
	    (domains = strtoul(argv[3], NULL, 10)) == 0)
		errx(64, "usage: queue_fill FOLDER COUNT DOMAINS");
	if ((dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		err(1, "%s", argv[1]);
	if ((base = event_base_new()) == NULL)
		errx(1, "no event base");
	if ((store = qstore_open_dir(dir, &conf, NULL, NULL, &e)) == NULL ||
	    qstore_start(store, base, &e) == -1)
		errx(1, "%s", e.text);
	put();
	(void)event_base_dispatch(base);
	qstore_close(store);
	event_base_free(base);
	return 0;
}
