#include <string.h>

#include "keyd/keyd.h"
#include "t/unit/unit.h"

Suite *http_suite(void);

/* Give text in pieces of step octets and end the stream behind it. */
static enum http_status
play_to(struct http *h, const char *text, size_t n, size_t step, struct err *e)
{
	enum http_status s = HTTP_MORE;
	size_t from = 0, to = 0, used;

	while (s == HTTP_MORE && to < n) {
		to = to + step < n ? to + step : n;
		s = http_take(h, (const uint8_t *)text + from, to - from, &used, e);
		ck_assert_uint_le(used, to - from);
		from += used;
	}
	return s == HTTP_MORE ? http_end(h, e) : s;
}

static enum http_status
play(struct http *h, const char *text, size_t n, size_t step, struct err *e)
{
	http_init(h, OCSP_DER_MAX, NULL, 0);
	return play_to(h, text, n, step, e);
}

/* The same where HTTP/1.1 and text/plain was asked for, 1000 octets at most. */
static enum http_status
play_11(struct http *h, const char *text, size_t n, size_t step, struct err *e)
{
	http_init(h, 1000, "text/plain", 1);
	return play_to(h, text, n, step, e);
}

START_TEST(takes_answers_in_any_pieces)
{
	static const char *const cases[] = {
	    "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody",
	    "HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length:4 \r\nA:\r\n\r\nbody",
	    "HTTP/1.1 200\r\nContent-Encoding: identity\r\n\r\nbody",
	    "HTTP/1.0 200 OK\n\nbody",
	    "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody and more",
	};
	struct err e = {0};
	struct http h;
	size_t i, step;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		for (step = 1; step < 100; step += 7) {
			ck_assert_msg(play(&h, cases[i], strlen(cases[i]), step, &e) == HTTP_DONE,
			    "%zu: %s", i, e.text);
			ck_assert_uint_eq(buf_len(&h.body), 4);
			ck_assert_int_eq(memcmp(buf_ptr(&h.body), "body", 4), 0);
			http_free(&h);
		}
}
END_TEST

START_TEST(refuses_everything_else)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
	    {"", "too early"},
	    {"HTTP/1.0 200 OK\r\n", "too early"},
	    {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nbody", "too early"},
	    {"HTTP/1.0 301 Moved\r\nLocation: http://127.0.0.1/\r\n\r\n", "not followed"},
	    {"HTTP/1.0 302 Found\r\n\r\n", "not followed"},
	    {"HTTP/1.0 404 Not Found\r\n\r\n", "HTTP status 404"},
	    {"HTTP/1.0 500 x\r\n\r\n", "HTTP status 500"},
	    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "HTTP status 100"},
	    {"HTTP/1.1 204 No Content\r\n\r\n", "HTTP status 204"},
	    {"HTTP/1.0 2000 OK\r\n\r\n", "without a number"},
	    {"HTTP/1.0 abc\r\n\r\n", "without a number"},
	    {"HTTP/1.0 20", "too early"},
	    {"HTTP/2 200\r\n\r\n", "does not speak HTTP"},
	    {"220 mail ESMTP\r\n", "does not speak HTTP"},
	    {"\r\n", "does not speak HTTP"},
	    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
		"not asked for"},
	    {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nbody", "not asked for"},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nbody", "one length"},
	    {"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\nbody", "one length"},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 4, 4\r\n\r\nbody", "one length"},
	    {"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nbody", "one length"},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n", "more than"},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 16385\r\n\r\n", "more than"},
	    {"HTTP/1.1 200 OK\r\nContent-Length : 4\r\n\r\nbody", "malformed"},
	    {"HTTP/1.1 200 OK\r\nno colon\r\n\r\nbody", "malformed"},
	    {"HTTP/1.1 200 OK\r\n folded: x\r\n\r\nbody", "malformed"},
	    {"HTTP/1.1 200 OK\r\n: x\r\n\r\nbody", "malformed"},
	    {"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\nbody", "malformed"},
	};
	struct err e = {0};
	struct http h;
	size_t i, step;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		for (step = 1; step < 200; step += 33) {
			e.text[0] = '\0';
			ck_assert_msg(
			    play(&h, cases[i].text, strlen(cases[i].text), step, &e) == HTTP_BAD,
			    "%s", cases[i].text);
			ck_assert_msg(
			    strstr(e.text, cases[i].why) != NULL, "%s: %s", cases[i].text, e.text);
			http_free(&h);
		}
	ck_assert_int_eq(play(&h, "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", 25, 100, &e), HTTP_BAD);
	http_free(&h);
}
END_TEST

#define LINE "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define PLAIN "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
#define CHUNKED PLAIN "Transfer-Encoding: chunked\r\n\r\n"

START_TEST(takes_answers_of_http_1_1)
{
	static const char *const cases[] = {
	    CHUNKED "4\r\nbody\r\n0\r\n\r\n",
	    CHUNKED "1\r\nb\r\n3\r\nody\r\n0\r\nTrailer: x\r\n\r\n",
	    CHUNKED "0004;ext=\"a\"\r\nbody\r\n00;x\r\n\r\n",
	    "HTTP/1.1 200 OK\r\ncontent-type:TEXT/Plain ;charset=utf-8\r\n"
	    "transfer-encoding: Chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\nmore",
	    "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" PLAIN "Content-Length: 4\r\n\r\nbody",
	    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100\r\n\r\n" PLAIN "\r\nbody",
	    PLAIN "\r\nbody",
	};
	struct err e = {0};
	struct http h;
	size_t i, step;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		for (step = 1; step < 200; step += 13) {
			ck_assert_msg(
			    play_11(&h, cases[i], strlen(cases[i]), step, &e) == HTTP_DONE,
			    "%zu, %zu: %s", i, step, e.text);
			ck_assert_uint_eq(buf_len(&h.body), 4);
			ck_assert_int_eq(memcmp(buf_ptr(&h.body), "body", 4), 0);
			http_free(&h);
		}
}
END_TEST

START_TEST(refuses_bad_answers_of_http_1_1)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
	    {"HTTP/1.1 200 OK\r\n\r\nbody", "does not say that it is text/plain"},
	    {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nbody", "is not text/plain"},
	    {"HTTP/1.1 200 OK\r\nContent-Type: text/plainly\r\n\r\nbody", "is not text/plain"},
	    {"HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP status 101"},
	    {"HTTP/1.1 301 Moved\r\nLocation: https://x.example/\r\n\r\n", "not followed"},
	    {"HTTP/1.1 100 Continue\r\n\r\n", "too early"},
	    {"HTTP/1.1 100 Continue\r\nContent-Type: text/plain\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx",
		"does not say"},
	    {PLAIN "Transfer-Encoding: gzip, chunked\r\n\r\n", "not asked for"},
	    {PLAIN "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		"not asked for"},
	    {PLAIN "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", "length and chunks"},
	    {CHUNKED "4\r\nbody\r\n", "too early"},
	    {CHUNKED "4\r\nbody\r\n0\r\n", "too early"},
	    {CHUNKED "4\r\nbodyx\r\n0\r\n\r\n", "malformed chunk"},
	    {CHUNKED "\r\nbody", "malformed chunk"},
	    {CHUNKED "x\r\nbody", "malformed chunk"},
	    {CHUNKED "-1\r\nbody", "malformed chunk"},
	    {CHUNKED "4x\r\nbody", "malformed chunk"},
	    {CHUNKED "100000004\r\nbody", "malformed chunk"},
	    {CHUNKED "3e9\r\n", "more than 1000 octets"},
	    {CHUNKED "ffffffff\r\n", "more than 1000 octets"},
	    {PLAIN "Content-Length: 1001\r\n\r\n", "more than 1000 octets"},
	};
	struct err e = {0};
	struct http h;
	size_t i, step;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		for (step = 1; step < 200; step += 33) {
			e.text[0] = '\0';
			ck_assert_msg(
			    play_11(&h, cases[i].text, strlen(cases[i].text), step, &e) == HTTP_BAD,
			    "%s", cases[i].text);
			ck_assert_msg(
			    strstr(e.text, cases[i].why) != NULL, "%s: %s", cases[i].text, e.text);
			http_free(&h);
		}
}
END_TEST

/* Octets that never come to an end: where is it given up? */
static size_t
endless_to(int chunks, const char *start, const char *more)
{
	struct err e = {0};
	struct http h;
	struct buf b;
	size_t sum = 0, used;
	enum http_status s = HTTP_MORE;

	http_init(&h, OCSP_DER_MAX, NULL, chunks);
	buf_init(&b, 1024 * 1024);
	ck_assert_int_eq(buf_puts(&b, start), 0);
	while (s == HTTP_MORE && sum < 1024 * 1024) {
		ck_assert_int_eq(buf_puts(&b, more), 0);
		s = http_take(&h, buf_ptr(&b), buf_len(&b), &used, &e);
		buf_drain(&b, used);
		sum += used;
		ck_assert_uint_le(buf_len(&h.body), OCSP_DER_MAX);
		ck_assert_uint_le(buf_len(&b), HTTP_LINE_MAX + 200);
	}
	ck_assert_int_eq(s, HTTP_BAD);
	buf_free(&b);
	http_free(&h);
	return sum;
}

static size_t
endless(const char *start, const char *more)
{
	return endless_to(0, start, more);
}

START_TEST(gives_up_on_what_has_no_end)
{
	static const char line[] = "X-Header: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n";

	ck_assert_uint_le(endless("HTTP/1.1 200 OK\r\n", line), HTTP_HEAD_MAX + sizeof line);
	ck_assert_uint_le(endless("HTTP/1.1 200 OK\r\nX: ", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"),
	    HTTP_LINE_MAX + 100);
	ck_assert_uint_le(endless("HTTP/1.1 200 OK\r\n\r\n", line), OCSP_DER_MAX + sizeof line);
	ck_assert_uint_le(endless("HTTP/1.1 200 ", "yyyyyyyyyyyyyyyyyy"), HTTP_LINE_MAX + 100);
	ck_assert_uint_le(endless_to(1, "", "HTTP/1.1 100 x\r\n\r\n"), HTTP_HEAD_MAX + 20);
	ck_assert_uint_le(endless_to(1, CHUNKED, "1\r\nx\r\n"), 2 * HTTP_HEAD_MAX);
	ck_assert_uint_le(endless_to(1, CHUNKED, "100\r\n" LINE LINE LINE LINE "\r\n"),
	    OCSP_DER_MAX + 500 + HTTP_HEAD_MAX);
	ck_assert_uint_le(endless_to(1, CHUNKED "0\r\n", line), HTTP_HEAD_MAX + sizeof line);
}
END_TEST

Suite *
http_suite(void)
{
	return unit_suite(
	    "http", (const TTest *const[]){takes_answers_in_any_pieces, refuses_everything_else,
			takes_answers_of_http_1_1, refuses_bad_answers_of_http_1_1,
			gives_up_on_what_has_no_end, NULL});
}
