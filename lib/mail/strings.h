#ifndef MAIL_STRINGS_H
#define MAIL_STRINGS_H

#include <stddef.h>

/*
 * Strings that live and die together: an arena with a maximum, whose pointers stay good while it
 * grows.
 */
struct mail_strings;

/* NULL with errno ENOMEM. */
struct mail_strings *mail_strings_new(size_t max);
void mail_strings_free(struct mail_strings *s); /* NULL is fine */

/*
 * Keep a copy of n octets with a NUL behind.  Returns it, or NULL with errno EMSGSIZE (over the
 * maximum) or ENOMEM.
 */
char *mail_strings_add(struct mail_strings *s, const void *p, size_t n);

#endif
