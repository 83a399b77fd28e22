#ifndef T_OPENPGP_PEOPLE_H
#define T_OPENPGP_PEOPLE_H

#include "openpgp/decrypt.h"
#include "openpgp/encrypt.h"
#include "openpgp/skey.h"

/* Keys for the message tests: made once, before the tests fork. */
#define NOW 1800000000 /* 2027 */
#define MADE (NOW - 1000000)

enum who {
	ALICE,
	BOB,
	CAROL,
	ROBERT,
	PEOPLE
}; /* Robert has one RSA key of 3,072 bit, the others Curve25519 */

struct person {
	struct pgp_skey *sign, *encrypt;
	struct cert_key keys[2]; /* signing primary, encryption subkey */
	struct cert cert;
};

extern struct person people[PEOPLE];
extern const struct pgp_secret secret; /* of everybody */
extern int secret_errno; /* when not 0, how the secret operations fail */
extern const struct pgp_certs certs; /* of everybody */
extern struct pgp_signer signer_of[PEOPLE];
extern struct pgp_recipient recipient_of[PEOPLE];
extern const struct cert_key *const key_of[PEOPLE]; /* for decryption */

void people_make(void);

/* A fresh buffer; sink over it. */
struct mail {
	struct buf b;
	struct sink to;
};
void mail_init(struct mail *m);
void mail_free(struct mail *m);

/* Encrypt and/or sign n octets fed in steps; fails the test on an error. */
void people_encrypt(
    struct mail *m, const struct pgp_encrypt_params *p, const void *data, size_t n, size_t step);

/* Decrypt with the keys of who (PEOPLE: of nobody): what pgp_decrypt gives. */
int people_decrypt(struct mail *out, const void *p, size_t n, enum who who, struct pgp_result *r);

#endif
