#include <stdlib.h>
#include <string.h>

#include "logd/http.h"
#include "t/unit/unit.h"

Suite *http_suite(void);

static enum http_status
ask(const char *s, unsigned *code)
{
	return http_request((const uint8_t *)s, strlen(s), code);
}

START_TEST(takes_what_a_scraper_asks)
{
	static const struct {
		const char *text;
		enum http_status want;
	} cases[] = {
	    {"GET /metrics HTTP/1.0\r\n\r\n", HTTP_GET},
	    {"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: text/plain;q=0.5,*/*\r\n\r\n", HTTP_GET},
	    {"GET /metrics?collect[]=x HTTP/1.1\r\nHOST:\r\nContent-Length: 0\r\n\r\n", HTTP_GET},
	    {"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", HTTP_HEAD},
	    {"", HTTP_MORE},
	    {"GET /metrics HTTP/1.0\r", HTTP_MORE},
	    {"GET /metrics HTTP/1.0\r\n", HTTP_MORE},
	    {"GET /metrics HTTP/1.0\r\n\r", HTTP_MORE},
	};
	unsigned code;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ck_assert_msg(ask(cases[i].text, &code) == cases[i].want, "%s", cases[i].text);
}
END_TEST

START_TEST(says_why_it_refuses)
{
	static const struct {
		const char *text;
		unsigned code;
	} cases[] = {
	    {"GET / HTTP/1.0\r\n\r\n", 404},
	    {"GET /metrics/ HTTP/1.0\r\n\r\n", 404},
	    {"GET http://x/metrics HTTP/1.0\r\n\r\n", 404},
	    {"POST /metrics HTTP/1.0\r\n\r\n", 405},
	    {"POST /metrics HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", 400},
	    {"GET /metrics HTTP/2.0\r\n\r\n", 505},
	    {"GET /metrics HTTP/1.1\r\n\r\n", 400},
	    {"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
	    {"GET /metrics HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	    {"GET /metrics HTTP/1.0\r\nContent-Length: 00\r\n\r\n", 400},
	    {"GET  /metrics HTTP/1.0\r\n\r\n", 400},
	    {"GET /metrics\r\n\r\n", 400},
	    {"GET /met\trics HTTP/1.0\r\n\r\n", 400},
	    {"GET /metrics HTTP/1.0\n\n", 400},
	    {"GET /metrics HTTP/1.0\r\nA: b\n\r\n", 400},
	    {"GET /metrics HTTP/1.0\rX: y\r\n\r\n", 400},
	    {"GET /metrics HTTP/1.0\r\n folded: x\r\n\r\n", 400},
	    {"GET /metrics HTTP/1.0\r\nA : b\r\n\r\n", 400},
	    {"GET /metrics HTTP/1.0\r\nno colon\r\n\r\n", 400},
	    {"GET /metrics HTTP/1.0\r\nA: \x01\r\n\r\n", 400},
	    {"\r\nGET /metrics HTTP/1.0\r\n\r\n", 400},
	};
	unsigned code;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_msg(ask(cases[i].text, &code) == HTTP_BAD, "%s", cases[i].text);
		ck_assert_msg(code == cases[i].code, "%s: %u", cases[i].text, code);
		ck_assert_str_ne(http_reason(code), "");
	}
}
END_TEST

START_TEST(a_request_without_end_is_refused_where_the_room_ends)
{
	static const char start[] = "GET /metrics HTTP/1.0\r\nA: ";
	char *big = malloc(HTTP_REQUEST_MAX);
	unsigned code;

	memset(big, 'a', HTTP_REQUEST_MAX);
	memcpy(big, start, sizeof start - 1);
	ck_assert_int_eq(http_request((uint8_t *)big, HTTP_REQUEST_MAX - 1, &code), HTTP_MORE);
	ck_assert_int_eq(http_request((uint8_t *)big, HTTP_REQUEST_MAX, &code), HTTP_BAD);
	ck_assert_uint_eq(code, 431);
	free(big);
}
END_TEST

Suite *
http_suite(void)
{
	return unit_suite(
	    "http", (const TTest *const[]){takes_what_a_scraper_asks, says_why_it_refuses,
			a_request_without_end_is_refused_where_the_room_ends, NULL});
}
