#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "conf/conf.h"

/* Any text is refused with a reason, or its dump loads again and dumps as the same text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
dump(const struct conf *c, struct buf *b)
{
	struct sink to = sink_buf(b);

	buf_init(b, 8 * 1024 * 1024);
	if (conf_dump(c, &to) == -1)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf *c, *again;
	struct buf one, two;
	struct err e = {0};

	if ((c = conf_load_mem(data, size, "input", NULL, &e)) == NULL) {
		if (e.code == 0 || e.text[0] == '\0')
			abort();
		return 0;
	}
	dump(c, &one);
	if ((again = conf_load_mem(buf_ptr(&one), buf_len(&one), "dump", NULL, &e)) == NULL)
		abort();
	dump(again, &two);
	if (buf_len(&one) != buf_len(&two) ||
	    memcmp(buf_ptr(&one), buf_ptr(&two), buf_len(&one)) != 0)
		abort();
	conf_free(c);
	conf_free(again);
	buf_free(&one);
	buf_free(&two);
	return 0;
}
