#include <stdlib.h>
#include <string.h>

#include "mail/classify.h"
#include "t/unit/unit.h"

Suite *classify_suite(void);

#define E MAIL_SCAN_ENCRYPTED
#define S MAIL_SCAN_SIGNED
#define I MAIL_SCAN_INLINE
#define F MAIL_SCAN_FORGED
#define X MAIL_SCAN_SMIME
#define H "From: a@b\r\nSubject: x\r\n"

static const struct {
	const char *message;
	unsigned found;
} cases[] = {
    {H "\r\nhello\r\n", 0},
    {"", 0},
    {"Content-Type: multipart/encrypted; boundary=b\r\n\r\n", E},
    {H "CONTENT-type :\r\n\tMultiPart/\r\n Encrypted;boundary=b\r\n\r\n", E},
    {H "Content-Type: (a (nested) \\) comment) multipart/(x)encrypted\r\n\r\n", E},
    {H "Content-Type\r\n : multipart/encrypted\r\n\r\n", E},
    {H "Content-Type: multipart/encrypted", E},
    {H "Content-Type: multipart/mixed; x=multipart/encrypted\r\n\r\n", 0},
    {H "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
       "Content-Type: multipart/signed; protocol=\"application/pgp-signature\"\r\n\r\n",
	S},
    {H "Content-Type: multipart/signed; micalg=x\r\n\r\n", S},
    {H "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"\r\n\r\n", X},
    {H "Content-Type: application/x-pkcs7-mime; name=smime.p7m\r\n\r\n", X},
    {H "\n--b\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n", E},
    {H "\r\n--b\r\nContent-Type: application/pgp-signature; name=s\r\n\r\n", S},
    {H "\r\n--b\r\nContent-Type: application/pgp-keys\r\n\r\n", 0},
    {H "\r\nis Content-Type: multipart/encrypted a header?\r\n", 0},
    {H "\r\n--b\r\nContent-Type: application/octet-stream; name=\"a.pdf.PGP\"\r\n\r\n", I},
    {H "\r\n--b\r\ncontent-Disposition :\r\n attachment;\r\n filename=a.gpg\r\n\r\n", I},
    {H "Content-Disposition: attachment; filename=a.gpg", I},
    {H "\r\n--b\r\nContent-Disposition: attachment; filename=pgp.txt\r\n\r\n", 0},
    {H "\r\n--b\r\nContent-Description: a.gpg\r\n\r\n", 0},
    {H "Content-Disposition: multipart/encrypted\r\n\r\n", 0},
    {"Content-Disposition: x\rX-Postern-Verdict: y\r\n" H "\r\n", F},
    {"Content-DispositionX-Postern: y\r\nX-Postern-A: b\r\n\r\n", F},
    {H "\r\n-----BEGIN PGP MESSAGE-----\r\n", I},
    {H "\r\ntext-----BEGIN PGP SIGNED MESSAGE-----\r\n", I},
    {H "\r\n---------BEGIN PGP MESSAGE-----\r\n", I},
    {H "\r\n-----BEGIN CERTIFICATE-----\r\n", 0},
    {H "\r\n-----BEGIN\r\nPGP MESSAGE-----\r\n", 0},
    {H "\r\n=2D=2D=2D=2D=2DBEGIN=20PGP=20MESSAGE\r\n", I},
    {H "\r\n=2d--=2D-=42EGIN PG=\r\nP MESSAGE\r\n", I},
    {H "\r\n-----BEG=  \t\r\nIN P=\nGP MESSAGE\r\n", I},
    {H "\r\n=-----BEGIN PGP MESSAGE\r\n", I},
    {H "\r\n=2-----BEGIN PGP MESSAGE\r\n", I},
    {H "\r\n--=2D=2D=2=D-BEGIN PGP MESSAGE\r\n", 0},
    /* base64 of "-----BEGIN PGP MESSAGE-----" behind 0, 1, 2 octets */
    {H "\r\nLS0tLS1CRUdJTiBQR1AgTUVTU0FHRS0tLS0t\r\n", I},
    {H "\r\nCi0tLS0tQkVHSU4gUEdQIE1FU1NBR0UtLS0tLQ==\r\n", I},
    {H "\r\nDQotLS0tLUJFR0lOIFBHUCBNRVNTQUdFLS0tLS0=\r\n", I},
    {H "\r\nLS0t\r\nLS1C\r\nRUdJ\r\nTiBQ\r\nR1AgTUVTU0FHRS0tLS0t\r\n", I},
    {H "\r\nCi0tL\r\n S0tQ k\tVHSU4\r\ng\r\nUEd!QIE1FU1NBR0UtLS0tLQ==\r\n", I},
    {H "\r\nD\nQ\no\nt\nL\nS\n0\nt\nL\nU\nJ\nF\nR\n0\nl\nO\nI\nF\nB\nH\nU\nC\nB\n", I},
    {H "\r\nLS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t\r\n", 0}, /* BEGIN CERTIFICATE */
    {"X-Postern-Verdict: good\r\n" H "\r\n", F},
    {H "x-POSTERN-anything\r\n :x\r\n\r\n", F},
    {H "X-Postern-Verdict \t: x\r\n\r\n", F},
    {"  X-Postern-Verdict: x\r\n\r\n", F},
    {H "X-Other: a\rX-Postern-Verdict: x\r\n\r\n", F},
    {H "X-Other: a\r\r\nX-Postern-Verdict: x\r\n\r\n", F},
    {H "Content-Type: text/plain\rX-Postern-Verdict: x\r\n\r\n", F},
    {H "Content-Type\rX-Postern-Verdict: x\r\n\r\n", F},
    {H "Content-Type: text/plain\r\nX-Postern-Verdict: x\r\n\r\n", F},
    {H "Content-Type: text/plain\n\nX-Postern-Verdict: x\r\n\r\n", 0},
    {H "\r\nX-Postern-Verdict: in the body\r\n", 0},
    {H "X-Posternal: other\r\n\r\n", 0},
    {H " X-Postern-Fold: other\r\n\r\n", 0},
};
#define NCASES (sizeof cases / sizeof cases[0])

static unsigned
scan3(const char *p, size_t n, size_t a, size_t b)
{
	struct mail_scan s;

	mail_scan_init(&s);
	mail_scan_feed(&s, p, a);
	mail_scan_feed(&s, p + a, b - a);
	mail_scan_feed(&s, p + b, n - b);
	return mail_scan_end(&s);
}

START_TEST(finds_what_a_worker_would_act_on)
{
	size_t i, n;

	for (i = 0; i < NCASES; i++) {
		n = strlen(cases[i].message);
		ck_assert_msg(scan3(cases[i].message, n, n, n) == cases[i].found,
		    "case %zu: %x, not %x:\n%s", i, scan3(cases[i].message, n, n, n),
		    cases[i].found, cases[i].message);
	}
}
END_TEST

START_TEST(every_split_in_three_finds_the_same)
{
	size_t i, n, a, b;

	for (i = 0; i < NCASES; i++) {
		n = strlen(cases[i].message);
		for (a = 0; a <= n; a++)
			for (b = a; b <= n; b++)
				ck_assert_msg(scan3(cases[i].message, n, a, b) == cases[i].found,
				    "case %zu split at %zu, %zu", i, a, b);
	}
}
END_TEST

START_TEST(octet_by_octet_finds_the_same)
{
	struct mail_scan s;
	size_t i;
	const char *p;

	for (i = 0; i < NCASES; i++) {
		mail_scan_init(&s);
		for (p = cases[i].message; *p != '\0'; p++)
			mail_scan_feed(&s, p, 1);
		ck_assert_uint_eq(mail_scan_end(&s), cases[i].found);
	}
}
END_TEST

START_TEST(a_content_type_too_long_to_judge_goes_to_a_worker)
{
	static const char head[] = "Content-Type: (";
	struct mail_scan s;
	int i;

	mail_scan_init(&s);
	mail_scan_feed(&s, head, sizeof head - 1);
	for (i = 0; i < 600; i++)
		mail_scan_feed(&s, "x", 1);
	ck_assert(mail_scan_needs_worker(&s));
	/* a long list of parameters is no reason */
	mail_scan_init(&s);
	mail_scan_feed(&s, "Content-Type: text/plain; name=", 31);
	for (i = 0; i < 600; i++)
		mail_scan_feed(&s, "x", 1);
	mail_scan_feed(&s, "\r\n\r\n", 4);
	ck_assert_uint_eq(mail_scan_end(&s), 0);
}
END_TEST

Suite *
classify_suite(void)
{
	return unit_suite(
	    "classify", (const TTest *const[]){finds_what_a_worker_would_act_on,
			    every_split_in_three_finds_the_same, octet_by_octet_finds_the_same,
			    a_content_type_too_long_to_judge_goes_to_a_worker, NULL});
}
