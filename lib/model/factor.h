#ifndef MODEL_FACTOR_H
#define MODEL_FACTOR_H

#include "base/rec.h"
#include "model/consumer.h"

/*
 * A gateway password: made here at random, so that it needs no slow hash; stored as salt and
 * SHA-256 of salt and password.
 */
#define FACTOR_SALT_LEN 16
#define FACTOR_LETTERS 26 /* of 5 bits each */
#define FACTOR_TEXT_LEN 30 /* the letters in groups, with hyphens between */

/* A new password: letters and digits in lower case, no colon. */
void factor_password(char out[FACTOR_TEXT_LEN + 1]);

/* What is stored of it. 0, or -1 with errno ENOMEM. */
int factor_hash(uint8_t out[FACTOR_HASH_LEN], const char *secret);

/*
 * Is this the password? The time does not depend on how much of it is right, nor on whether there
 * is one (stored of length 0).
 */
int factor_match(struct bytes stored, const char *secret);

/* A new phrase for a consumer's banners: PHRASE_LEN letters that can be read out aloud. */
void phrase_make(char out[PHRASE_LEN + 1]);

#endif
