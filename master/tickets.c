/* Keys of session tickets: all proxies have the same, so that any of them resumes a session. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "master/master.h"

/* A key as one run of octets: name, aes, hmac. */
#define NAME_LEN 16
#define AES_LEN 32
#define HMAC_LEN 32

struct key {
	uint8_t name[NAME_LEN], aes[AES_LEN], hmac[HMAC_LEN];
};

static struct key keys[TICKET_KEYS_MAX]; /* the newest first */
static size_t nkeys;
static struct event timer;

int
tickets_rotate(void)
{
	struct key fresh;
	ssize_t n;

	do
		n = getrandom(&fresh, sizeof fresh, 0);
	while (n == -1 && errno == EINTR);
	if (n != (ssize_t)sizeof fresh) {
		explicit_bzero(&fresh, sizeof fresh);
		return -1;
	}
	memmove(keys + 1, keys, (TICKET_KEYS_MAX - 1) * sizeof keys[0]);
	keys[0] = fresh;
	if (nkeys < TICKET_KEYS_MAX)
		nkeys++;
	explicit_bzero(&fresh, sizeof fresh);
	return 0;
}

int
tickets_send(struct chan *to)
{
	struct ticket_key v[TICKET_KEYS_MAX];
	struct ticket_keys m = {{v, nkeys}};
	size_t i;

	if (nkeys == 0 || !ipc_allowed(ipc_message(M_ticket_keys), P_MASTER, chan_peer(to)))
		return 0;
	for (i = 0; i < nkeys; i++) {
		v[i].name = (struct bytes){keys[i].name, NAME_LEN};
		v[i].aes = (struct bytes){keys[i].aes, AES_LEN};
		v[i].hmac = (struct bytes){keys[i].hmac, HMAC_LEN};
	}
	return chan_send(to, M_ticket_keys, 0, &m, -1);
}

void
tickets_renew(void)
{
	size_t i;

	if (tickets_rotate() == -1) {
		log_err("no new key for session tickets: %s", strerror(errno));
		return;
	}
	for (i = 0; i < M.nchildren; i++)
		/* A send that fails means that it is dying: its successor gets them. */
		if (M.children[i].chan != NULL)
			(void)tickets_send(M.children[i].chan);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	tickets_renew();
}

int
tickets_init(struct err *e)
{
	const struct timeval tv = {.tv_sec = TICKET_KEY_S};

	if (tickets_rotate() == -1)
		return err_sys(e, "no random octets for session tickets");
	if (event_assign(&timer, M.base, -1, EV_PERSIST, on_timer, NULL) == -1 ||
	    evtimer_add(&timer, &tv) == -1)
		return err_set(e, ENOMEM, "no memory for a timer");
	return 0;
}

void
tickets_wipe(void)
{
	explicit_bzero(keys, sizeof keys);
	nkeys = 0;
}
