/*
 * Notices: whatever the message, the replies and the addresses are, the parts that are written here
 * have CRLF line ends and lines of 998 octets at most, and no octet above 127 unless they may.
 */
#include <stdlib.h>
#include <string.h>

#include "mail/dsn.h"
#include "mail/utf8.h"

#define TEXTS 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct dsn_facts *f, const uint8_t *p, size_t n)
{
	size_t i, line = 0;

	for (i = 0; i < n; i++) {
		if (p[i] == '\0' || (p[i] == '\r') != (i + 1 < n && p[i + 1] == '\n') ||
		    (!f->utf8 && p[i] >= 0x80))
			abort();
		if (p[i] == '\n')
			line = 0;
		else if (p[i] != '\r' && ++line > 998)
			abort();
	}
	if (f->utf8 && !mail_utf8_valid(p, n))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char texts[TEXTS][1001];
	struct dsn_rcpt r[2];
	struct dsn_facts f = {.hostname = "gw.test",
	    .subject = "Subject",
	    .msgid = "1@gw.test",
	    .log_id = "Q",
	    .before = "before\n\nit",
	    .after = "after",
	    .label = "It said: ",
	    .arrived = 1,
	    .now = 2,
	    .rcpts = r,
	    .n = 2};
	static const size_t most[TEXTS] = {320, 100, 320, 500, 255, 1000};
	struct octets message;
	struct buf b;
	size_t i, n;

	if (size < 2)
		return 0;
	f.utf8 = data[0] & 1;
	f.what = (data[0] >> 1) % 2 ? DSN_HEADERS : DSN_FIELDS;
	f.hide_subject = data[0] >> 3 & 1;
	for (data++, size--, i = 0; i < TEXTS; i++) {
		for (n = 0; n < size && n < most[i] && data[n] != '\0'; n++)
			texts[i][n] = (char)data[n];
		texts[i][n] = '\0';
		n += n < size;
		data += n;
		size -= n;
	}
	f.to = texts[0];
	f.envid = texts[1];
	for (i = 0; i < 2; i++)
		r[i] = (struct dsn_rcpt){.addr = texts[2],
		    .orcpt = texts[3],
		    .action = i == 0 ? DSN_FAILED : DSN_DELAYED,
		    .status = "5.0.0",
		    .mta = i == 0 ? texts[4] : "",
		    .code = i == 0 ? 0 : 550,
		    .text = texts[5]};
	message = octets_mem(data, size);
	f.message = &message;
	buf_init(&b, 4 * 1024 * 1024);
	if (dsn_build(&f, &b) == -1)
		abort();
	check(&f, buf_ptr(&b), buf_len(&b));
	buf_free(&b);
	return 0;
}
