/* Opening a folder, and checking one. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "queue/inner.h"

static void
warn(void *arg, const char *line)
{
	(void)arg;
	log_warn("queue: %s", line);
}

struct qstore *
qstore_open_dir(
    int dir, const struct conf_queue *conf, qstore_found_fn found, void *arg, struct err *e)
{
	struct qstore *s = qstore_new(dir, conf, e);
	struct recovery r;

	if (s == NULL)
		return NULL;
	qs_recovery_init(&r, s);
	r.tell = warn;
	r.write = 1;
	if (qs_recovery_read(&r, e) == -1 || qs_recovery_found(&r, found, arg, e) == -1 ||
	    qs_recovery_clean(&r, e) == -1) {
		qs_recovery_free(&r);
		qstore_free(s);
		return NULL;
	}
	qs_recovery_free(&r);
	/* Some segments may have nothing left in them. */
	s->tend = 1;
	qs_room_update(s);
	return s;
}

int
qstore_check(
    int dir, int repair, void (*tell)(void *arg, const char *line), void *arg, struct err *e)
{
	/* What is taken over must find room, whatever the limits are. */
	const struct conf_queue conf = {
	    .size = UINT64_MAX / 2, .segment = 2 * (uint64_t)SEGMENT_MIN, .memory = CHUNK};
	int fd = fcntl(dir, F_DUPFD_CLOEXEC, 0), rc = -1;
	struct recovery r;
	struct qstore *s;

	if (fd == -1)
		return err_sys(e, "queue");
	if ((s = qstore_new(fd, &conf, e)) == NULL)
		return -1;
	qs_recovery_init(&r, s);
	r.tell = tell;
	r.arg = arg;
	r.all = 1;
	r.write = repair;
	if (qs_recovery_read(&r, e) == 0 && qs_recovery_found(&r, NULL, NULL, e) == 0 &&
	    (!repair || qs_recovery_clean(&r, e) == 0))
		rc = (int)r.findings;
	qs_recovery_free(&r);
	if (repair)
		qstore_close(s);
	else
		qstore_free(s);
	return rc;
}
