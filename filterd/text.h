#ifndef FILTERD_TEXT_H
#define FILTERD_TEXT_H

#include <stdbool.h>

#include "base/io.h"

/* Nothing but space, tab and line ends in [begin, end)? false too when it cannot be read. */
bool text_blank(const struct octets *o, uint64_t begin, uint64_t end);

/* Is all of it UTF-8 (ASCII included)? false too when it cannot be read. */
bool text_utf8(const struct octets *o);

#endif
