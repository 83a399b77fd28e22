#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/json.h"
#include "t/unit/unit.h"

Suite *json_suite(void);

#define REC_JSON_LEAF(F, L)                                                                        \
	F(STR, addr, 1, 20)                                                                        \
	F(U8, flags, 0, 15)
#define REC_JSON_ROOT(F, L)                                                                        \
	F(U64, id, 0, UINT64_MAX)                                                                  \
	F(U16, port, 1, 65535)                                                                     \
	F(STR, note, 0, 40)                                                                        \
	F(BYTES, blob, 0, 4)                                                                       \
	L(json_leaf, items, 0, 3)
REC_DECLARE(json_leaf, REC_JSON_LEAF)
REC_DECLARE(json_root, REC_JSON_ROOT)
REC_DEFINE(json_leaf, REC_JSON_LEAF)
REC_DEFINE(json_root, REC_JSON_ROOT)

static struct json_leaf leaves[] = {{"a@b", 1}, {"c@d", 15}};

static const char *
text_of(const struct json_root *v, int flags)
{
	static char text[4096];
	struct buf b;

	buf_init(&b, 4096);
	ck_assert_int_eq(json_from_rec(&rec_json_root, v, flags, &b), 0);
	ck_assert_int_eq(buf_putc(&b, 0), 0);
	memcpy(text, buf_ptr(&b), buf_len(&b));
	buf_free(&b);
	return text;
}

START_TEST(a_record_is_an_object_of_its_fields)
{
	struct json_root v = {
	    7, 25, "say \"\\\x01\x7f", {(const uint8_t *)"\x00\xab", 2}, {leaves, 2}};

	ck_assert_str_eq(text_of(&v, 0),
	    "{\"id\":7,\"port\":25,\"note\":\"say \\\"\\\\\\u0001\\u007f\",\"blob\":\"00AB\","
	    "\"items\":[{\"addr\":\"a@b\",\"flags\":1},{\"addr\":\"c@d\",\"flags\":15}]}");
	v = (struct json_root){UINT64_MAX, 1, NULL, {NULL, 0}, {NULL, 0}};
	ck_assert_str_eq(text_of(&v, JSON_LINES),
	    "{\n  \"id\": \"18446744073709551615\",\n  \"port\": 1,\n  \"note\": \"\",\n"
	    "  \"blob\": \"\",\n  \"items\": []\n}");
	v.id = INT64_MAX;
	ck_assert_ptr_nonnull(strstr(text_of(&v, 0), ":9223372036854775807,"));
}
END_TEST

START_TEST(octets_that_are_no_utf8_become_the_replacement_character)
{
	static const struct {
		const char *in, *out;
	} cases[] = {{"J\xc3\xb6rg", "J\xc3\xb6rg"}, {"\xc3(", "\xef\xbf\xbd("},
	    {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	    {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"}, {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
	    {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	    {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"}};
	struct json_root v = {1, 1, NULL, {NULL, 0}, {NULL, 0}};
	char want[64];
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		v.note = cases[i].in;
		(void)snprintf(want, sizeof want, "\"note\":\"%s\"", cases[i].out);
		ck_assert_ptr_nonnull(strstr(text_of(&v, 0), want));
	}
}
END_TEST

START_TEST(json_gives_the_record_back)
{
	static const char *const texts[] = {
	    "{\"id\":\"18446744073709551615\",\"port\":25,\"note\":\"\xc3\xb6\",\"blob\":\"00AB\","
	    "\"items\":[{\"addr\":\"a@b\",\"flags\":1},{\"addr\":\"c@d\",\"flags\":15}]}",
	    "{\"id\":0,\"port\":1,\"note\":\"\",\"blob\":\"\",\"items\":[]}"};
	struct json_root *v;
	struct buf wire;
	struct err e;
	size_t i;

	for (i = 0; i < 2; i++) {
		buf_init(&wire, 4096);
		ck_assert_int_eq(
		    json_to_rec(&rec_json_root, texts[i], strlen(texts[i]), &wire, &e), 0);
		v = rec_decode(&rec_json_root, buf_ptr(&wire), buf_len(&wire));
		ck_assert_ptr_nonnull(v);
		ck_assert_str_eq(text_of(v, 0), texts[i]);
		free(v);
		buf_free(&wire);
	}
	buf_init(&wire, 4096);
	ck_assert_int_eq(json_to_rec(&rec_json_root, "{\"port\":\"9\"}", 12, &wire, &e), 0);
	v = rec_decode(&rec_json_root, buf_ptr(&wire), buf_len(&wire));
	ck_assert_uint_eq(v->port, 9);
	ck_assert_str_eq(v->note, "");
	free(v);
	buf_free(&wire);
}
END_TEST

START_TEST(what_is_wrong_is_named_with_its_place)
{
	static const struct {
		const char *text, *told;
	} cases[] = {{"{", "line 1: "}, {"\n\n{\"port\" 1}", "line 3: "},
	    {"[]", "json_root: an object"}, {"{}", "port: is missing"},
	    {"{\"port\":0}", "port: 1 to 65535 is needed"}, {"{\"port\":-1}", "port: 1 to"},
	    {"{\"port\":65536}", "port: 1 to"}, {"{\"port\":1.0}", "port: a number"},
	    {"{\"port\":true}", "port: a number"}, {"{\"port\":null}", "port: a number"},
	    {"{\"port\":\"\"}", "port: a number"}, {"{\"port\":\"1x\"}", "port: a number"},
	    {"{\"port\":1,\"port\":2}", "line 1: duplicate"},
	    {"{\"port\":1,\"id\":\"18446744073709551616\"}", "id: a number"},
	    {"{\"port\":1,\"id\":18446744073709551616}", "line 1: "},
	    {"{\"port\":1,\"prot\":1}", "prot: there is no such field"},
	    {"{\"port\":1,\"note\":5}", "note: a string"},
	    {"{\"port\":1,\"note\":\"12345678901234567890123456789012345678901\"}",
		"note: 0 to 40 octets"},
	    {"{\"port\":1,\"note\":\"a\\u0000b\"}", "line 1: "},
	    {"{\"port\":1,\"note\":\"\xff\"}", "line 1: "},
	    {"{\"port\":1,\"blob\":\"0\"}", "blob: a string"},
	    {"{\"port\":1,\"blob\":\"0g\"}", "blob: a string"},
	    {"{\"port\":1,\"blob\":\"0011223344\"}", "blob: 0 to 4 octets"},
	    {"{\"port\":1,\"items\":{}}", "items: an array"},
	    {"{\"port\":1,\"items\":[1]}", "items[0]: an object"},
	    {"{\"port\":1,\"items\":[{\"addr\":\"a\"},{\"addr\":\"\"}]}",
		"items[1].addr: 1 to 20 octets"},
	    {"{\"port\":1,\"items\":[{\"addr\":\"a\",\"x\":1}]}", "items[0].x: there is no"},
	    {"{\"port\":1,\"items\":[{},{},{},{}]}", "items: 0 to 3 items"}};
	struct buf wire;
	struct err e;
	size_t i;

	buf_init(&wire, 4096);
	ck_assert_int_eq(buf_puts(&wire, "before"), 0);
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_msg(json_to_rec(&rec_json_root, cases[i].text, strlen(cases[i].text),
				  &wire, &e) == -1,
		    "accepted %s", cases[i].text);
		ck_assert_msg(strncmp(e.text, cases[i].told, strlen(cases[i].told)) == 0,
		    "%s said %s", cases[i].text, e.text);
		ck_assert_int_eq(e.code, EINVAL);
		ck_assert_uint_eq(buf_len(&wire), 6);
	}
	buf_free(&wire);
}
END_TEST

START_TEST(a_full_buffer_is_left_as_it_was)
{
	static const char text[] = "{\"port\":1,\"note\":\"long enough to overflow\"}";
	struct json_root v = {1, 1, "long enough to overflow", {NULL, 0}, {NULL, 0}};
	struct buf b;
	struct err e;

	buf_init(&b, 24);
	ck_assert_int_eq(json_from_rec(&rec_json_root, &v, 0, &b), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	ck_assert_uint_eq(buf_len(&b), 0);
	ck_assert_int_eq(json_to_rec(&rec_json_root, text, sizeof text - 1, &b, &e), -1);
	ck_assert_int_eq(e.code, EMSGSIZE);
	ck_assert_uint_eq(buf_len(&b), 0);
	v.port = 0;
	ck_assert_int_eq(json_from_rec(&rec_json_root, &v, 0, &b), -1);
	ck_assert_int_eq(errno, EINVAL);
	buf_free(&b);
}
END_TEST

Suite *
json_suite(void)
{
	return unit_suite(
	    "json", (const TTest *const[]){a_record_is_an_object_of_its_fields,
			octets_that_are_no_utf8_become_the_replacement_character,
			json_gives_the_record_back, what_is_wrong_is_named_with_its_place,
			a_full_buffer_is_left_as_it_was, NULL});
}
