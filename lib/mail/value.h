#ifndef MAIL_VALUE_H
#define MAIL_VALUE_H

#include <stddef.h>
#include <stdint.h>

/*
 * The part of a Content-Type or Content-Disposition before its parameters: comments, white
 * space, line ends, quotes and NUL dropped, ASCII letters in lower case.  The index and the scan
 * (classify.h) both judge by this, so that neither sees a type that the other does not.
 *
 * out, outsz	receives it with a NUL; what does not fit is dropped
 * used		receives where the ";" stands, n when there is none
 *
 * Returns the length of out.
 */
size_t mail_value_flatten(const uint8_t *p, size_t n, char *out, size_t outsz, size_t *used);

#endif
