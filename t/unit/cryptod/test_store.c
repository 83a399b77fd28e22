#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cryptod/vault.h"
#include "ipc/seal.h"
#include "t/unit/cryptod/harness.h"

static int
open_in_dir(const char *name, int flags)
{
	char path[512];

	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	return open(path, flags, 0600);
}

/* A store with one key in it, not loaded. */
static void
made(uint8_t fpr[KEY_FPR])
{
	struct pgp_skey *k;
	struct key_entry en;
	struct cert_key pub;
	struct err e = {0};

	harness_begin();
	harness_init();
	ck_assert_ptr_nonnull(k = pgp_skey_generate(PGP_GEN_ED25519, 0, 1700000000, &e));
	pgp_skey_public(k, &pub);
	memcpy(fpr, pub.fpr.p, KEY_FPR);
	ck_assert_int_eq(keys_add(cryptod.keys, k, USE_SIGN, "alice@a.example", 1, &en, &e), 1);
	ck_assert_str_eq(en.info->label, "alice@a.example");
	keys_entry_free(&en);
	pgp_skey_free(k);
	cryptod_unload();
}

START_TEST(keeps_keys_sealed_and_opens_them_again)
{
	uint8_t fpr[KEY_FPR];
	struct err e = {0};

	made(fpr);
	ck_assert_int_eq(harness_load(&e), 0);
	ck_assert_ptr_null(cryptod.keys);
	ck_assert_int_eq(
	    cryptod_unlock((const uint8_t *)"another sealing key, 32 octets!!", &e), -1);
	ck_assert_int_eq(e.code, EKEYREJECTED);
	ck_assert_int_eq(cryptod_unlock(seal, &e), 0);
	ck_assert_ptr_nonnull(keys_get(cryptod.keys, (struct bytes){fpr, KEY_FPR}, &e));
	fpr[0] ^= 1;
	ck_assert_ptr_null(keys_get(cryptod.keys, (struct bytes){fpr, KEY_FPR}, &e));
	ck_assert_int_eq(e.code, ENOKEY);
	harness_end();
}
END_TEST

START_TEST(refuses_to_be_initialised_twice)
{
	uint8_t fpr[KEY_FPR], salt[SEAL_SALT_LEN] = {1};
	struct seal_params p = {.version = 1, .t = 1, .m = 8, .lanes = 1, .salt = {salt, 32}};
	struct err e = {0};

	made(fpr);
	ck_assert_int_eq(harness_load(&e), 0);
	ck_assert_int_eq(cryptod_init(&p, salt, &e), -1);
	ck_assert_int_eq(e.code, EEXIST);
	ck_assert_int_eq(cryptod_unlock(seal, &e), 0);
	ck_assert_ptr_nonnull(keys_get(cryptod.keys, (struct bytes){fpr, KEY_FPR}, &e));
	harness_end();
}
END_TEST

START_TEST(an_init_that_was_cut_short_can_be_done_again)
{
	struct ignition i;
	struct err e = {0};

	harness_begin();
	harness_init();
	i = cryptod.ignition;
	i.params.salt.p = i.salt;
	i.complete = 0;
	ck_assert_int_eq(ignition_save(&i, cryptod.dirfd, dir, &e), 0);
	cryptod_unload();
	harness_init();
	ck_assert_ptr_nonnull(cryptod.keys);
	harness_end();
}
END_TEST

START_TEST(a_damaged_ignition_record_is_named)
{
	uint8_t fpr[KEY_FPR], octets[1024], octet;
	struct err e = {0};
	ssize_t n;
	int fd;

	made(fpr);
	fd = open_in_dir(IGNITION_FILE, O_RDWR);
	n = pread(fd, octets, sizeof octets, 0);
	ck_assert_int_gt(n, 100);
	for (ssize_t i = 0; i < n; i++) {
		octet = octets[i] ^ (uint8_t)(1 << (i % 8));
		ck_assert_int_eq(pwrite(fd, &octet, 1, i), 1);
		ck_assert_int_eq(harness_load(&e), -1);
		ck_assert_int_eq(e.code, EUCLEAN);
		ck_assert_ptr_nonnull(strstr(e.text, "/ignition"));
		ck_assert_int_eq(pwrite(fd, octets + i, 1, i), 1);
	}
	for (ssize_t i = 0; i < n; i++) {
		ck_assert_int_eq(ftruncate(fd, i), 0);
		ck_assert_int_eq(harness_load(&e), -1);
		ck_assert_int_eq(e.code, EUCLEAN);
	}
	close(fd);
	/* Keys without it are not taken for an empty store. */
	ck_assert_int_eq(unlinkat(AT_FDCWD, dir, 0), -1);
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	ck_assert_int_eq(unlinkat(fd, IGNITION_FILE, 0), 0);
	close(fd);
	ck_assert_int_eq(harness_load(&e), -1);
	ck_assert_int_eq(e.code, EUCLEAN);
	harness_end();
}
END_TEST

/* Flip one bit at each of many places: found while locked, at unlocking, or without effect. */
START_TEST(damage_of_the_key_store_is_found)
{
	uint8_t fpr[KEY_FPR], octet, flipped;
	struct err e = {0};
	struct stat st;
	unsigned found = 0, same = 0;
	int fd;

	made(fpr);
	fd = open_in_dir("data.mdb", O_RDWR);
	ck_assert_int_eq(fstat(fd, &st), 0);
	for (off_t at = 0; at < st.st_size; at += 97) {
		ck_assert_int_eq(pread(fd, &octet, 1, at), 1);
		flipped = octet ^ (uint8_t)(1 << (at % 8));
		ck_assert_int_eq(pwrite(fd, &flipped, 1, at), 1);
		if (harness_load(&e) == -1 || cryptod_unlock(seal, &e) == -1) {
			ck_assert_msg(e.code == EUCLEAN, "at %lld: %s", (long long)at, e.text);
			ck_assert_ptr_nonnull(strstr(e.text, dir));
			found++;
		} else {
			ck_assert_ptr_nonnull(
			    keys_get(cryptod.keys, (struct bytes){fpr, KEY_FPR}, &e));
			ck_assert_int_eq(keys_count(cryptod.keys, &e), 1);
			same++;
		}
		cryptod_unload();
		ck_assert_int_eq(pwrite(fd, &octet, 1, at), 1);
	}
	ck_assert_uint_gt(found, 0);
	ck_assert_int_eq(ftruncate(fd, st.st_size / 2), 0);
	ck_assert_int_eq(harness_load(&e), -1);
	ck_assert_int_eq(e.code, EUCLEAN);
	close(fd);
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	ck_assert_int_eq(unlinkat(fd, "data.mdb", 0), 0);
	close(fd);
	ck_assert_int_eq(harness_load(&e), -1);
	ck_assert_int_eq(e.code, EUCLEAN);
	harness_end();
}
END_TEST

START_TEST(the_sealing_key_travels_sealed)
{
	uint8_t out[SEAL_KEY_LEN], other[SEAL_KEY_LEN] = {0};
	struct err e;
	int fd, plain;

	ck_assert_int_eq(vault_open(&e), 0);
	ck_assert_int_eq(vault_export(), -1);
	vault_put(seal);
	ck_assert_int_ne(fd = vault_export(), -1);
	ck_assert_int_eq(write(fd, "x", 1), -1);
	ck_assert_int_eq(vault_import(fd, out), 0);
	ck_assert_mem_eq(out, seal, SEAL_KEY_LEN);
	close(fd);
	vault_wipe();
	ck_assert_ptr_null(vault_get());
	harness_begin();
	plain = open_in_dir("plain", O_RDWR | O_CREAT);
	ck_assert_int_eq(write(plain, other, sizeof other), (ssize_t)sizeof other);
	ck_assert_int_eq(vault_import(plain, out), -1);
	close(plain);
	harness_end();
}
END_TEST

START_TEST(derives_from_secret_salt_and_cost)
{
	uint8_t salt[SEAL_SALT_LEN], a[SEAL_KEY_LEN], b[SEAL_KEY_LEN];
	struct seal_params p = {.version = 1, .t = 2, .m = 64, .lanes = 1, .salt = {salt, 32}};
	struct err e;

	memset(salt, 7, sizeof salt);
	ck_assert_int_eq(seal_derive(&p, "secret", 6, a, &e), 0);
	ck_assert_int_eq(seal_derive(&p, "secret", 6, b, &e), 0);
	ck_assert_mem_eq(a, b, sizeof a);
	ck_assert_int_eq(seal_derive(&p, "Secret", 6, b, &e), 0);
	ck_assert_mem_ne(a, b, sizeof a);
	salt[31] ^= 1;
	ck_assert_int_eq(seal_derive(&p, "secret", 6, b, &e), 0);
	ck_assert_mem_ne(a, b, sizeof a);
	salt[31] ^= 1;
	p.t = 3;
	ck_assert_int_eq(seal_derive(&p, "secret", 6, b, &e), 0);
	ck_assert_mem_ne(a, b, sizeof a);
	ck_assert_int_eq(seal_derive(&p, "", 0, b, &e), -1);
}
END_TEST

START_TEST(reads_secrets_from_private_files_only)
{
	static const struct {
		const char *text;
		int passphrase;
		mode_t mode;
		ssize_t want;
	} t[] = {
	    {"correct horse\n", 1, 0400, 13},
	    {"correct horse\r\n", 1, 0600, 13},
	    {"correct horse", 1, 0600, 13},
	    {"correct horse\n", 1, 0640, -1},
	    {"\n", 1, 0600, -1},
	    {"", 1, 0600, -1},
	    {"0123456789abcdef", 0, 0400, 16},
	    {"0123456789abcde\n", 0, 0400, 16},
	    {"0123456789abcde", 0, 0400, -1},
	    {"0123456789abcdef", 0, 0404, -1},
	};
	uint8_t out[SEAL_SECRET_MAX];
	struct err e;
	int fd;

	harness_begin();
	for (unsigned i = 0; i < sizeof t / sizeof t[0]; i++) {
		fd = open_in_dir("secret", O_RDWR | O_CREAT | O_TRUNC);
		ck_assert_int_eq(
		    write(fd, t[i].text, strlen(t[i].text)), (ssize_t)strlen(t[i].text));
		ck_assert_int_eq(fchmod(fd, t[i].mode), 0);
		ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
		ck_assert_int_eq(seal_read(fd, "secret", t[i].passphrase, out, &e), t[i].want);
		ck_assert_int_eq(fchmod(fd, 0600), 0);
		close(fd);
	}
	harness_end();
}
END_TEST

Suite *store_suite(void);

Suite *
store_suite(void)
{
	const TTest *const tests[] = {
	    keeps_keys_sealed_and_opens_them_again,
	    refuses_to_be_initialised_twice,
	    an_init_that_was_cut_short_can_be_done_again,
	    a_damaged_ignition_record_is_named,
	    damage_of_the_key_store_is_found,
	    the_sealing_key_travels_sealed,
	    derives_from_secret_salt_and_cost,
	    reads_secrets_from_private_files_only,
	    NULL,
	};

	return unit_suite("cryptod store", tests);
}
