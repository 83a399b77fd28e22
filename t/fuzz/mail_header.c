/* Headers, encoded words, parameters: decoded text is one line of UTF-8. */
#include <stdlib.h>
#include <string.h>

#include "mail/header.h"
#include "mail/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct octets o = octets_mem(data, size);
	struct mail_header h;
	struct mail_field f;
	struct mail_params params;
	struct buf text;
	size_t pos = 0, end = 0, i;

	if (mail_header_load(&h, &o, 0, size) == -1)
		abort();
	buf_init(&text, 64 + 8 * size);
	while (mail_field_next(&h, &pos, &f)) {
		if (f.off != end || f.len == 0)
			abort();
		end = f.off + f.len;
		buf_reset(&text);
		if (mail_decode_text(f.body, &text) == -1 ||
		    !mail_utf8_valid(buf_ptr(&text), buf_len(&text)) ||
		    (buf_len(&text) > 0 && memchr(buf_ptr(&text), '\n', buf_len(&text)) != NULL))
			abort();
		if (mail_params_parse(&params, f.body) == -1)
			abort();
		for (i = 0; i < params.n; i++)
			if (mail_param_get(&params, params.v[i].name) == NULL)
				abort();
		mail_params_free(&params);
	}
	buf_free(&text);
	mail_header_free(&h);
	return 0;
}
