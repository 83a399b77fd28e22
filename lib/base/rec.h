#ifndef BASE_REC_H
#define BASE_REC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

/*
 * Records: declared once, used everywhere.  A record is a macro that lists its fields:
 *
 *	#define REC_RCPT(F, L)					\
 *		F(STR, addr, 3, 320)	   // octets, no NUL	\
 *		F(U8, notify, 0, 15)	   // least, most value	\
 *		L(param, params, 0, 16)	   // struct param, 0 to 16 of them
 *	REC_DECLARE(rcpt, REC_RCPT)	   // in a header: struct rcpt, extern rec_rcpt
 *	REC_DEFINE(rcpt, REC_RCPT)	   // in one .c file: the table
 *
 * The table serves IPC messages, stored records, JSON and the fuzzer alike.  On the wire:
 * U8..U64 big-endian; STR a 32-bit length, the octets, a NUL (so a decoded string is used in
 * place); BYTES a 32-bit length and the octets; a list a 32-bit count and its items.
 */
enum rec_type { REC_U8, REC_U16, REC_U32, REC_U64, REC_STR, REC_BYTES, REC_LIST };

struct rec;

struct rec_field {
	const char *name;
	enum rec_type type;
	size_t off; /* in the struct */
	uint64_t min, max; /* of the value, of the octets, of the count */
	const struct rec *item; /* of a list */
};

struct rec {
	const char *name;
	size_t size; /* sizeof the struct */
	const struct rec_field *(*rows)(unsigned *n);
};

#define REC_C_U8 uint8_t
#define REC_C_U16 uint16_t
#define REC_C_U32 uint32_t
#define REC_C_U64 uint64_t
#define REC_C_STR const char *
#define REC_C_BYTES struct bytes

#define REC_MEMBER(type, name, min, max) REC_C_##type name;
#define REC_MEMBER_L(record, name, min, max)                                                       \
	struct {                                                                                   \
		struct record *v;                                                                  \
		size_t n;                                                                          \
	} name;

#define REC_DECLARE(record, FIELDS)                                                                \
	struct record {                                                                            \
		FIELDS(REC_MEMBER, REC_MEMBER_L)                                                   \
	};                                                                                         \
	extern const struct rec rec_##record;

#define REC_ROW(type, name, min, max) {#name, REC_##type, offsetof(rec_self, name), min, max, NULL},
#define REC_ROW_L(record, name, min, max)                                                          \
	{#name, REC_LIST, offsetof(rec_self, name), min, max, &rec_##record},

/* The rows stand in a function so that each table can have a rec_self of its own. */
#define REC_DEFINE(record, FIELDS)                                                                 \
	static const struct rec_field *rec_rows_##record(unsigned *n)                              \
	{                                                                                          \
		typedef struct record rec_self;                                                    \
		static const struct rec_field rows[] = {FIELDS(REC_ROW, REC_ROW_L)};               \
		*n = sizeof rows / sizeof rows[0];                                                 \
		return rows;                                                                       \
	}                                                                                          \
	const struct rec rec_##record = {#record, sizeof(struct record), rec_rows_##record};

/*
 * Append the encoding of the struct at v to out.
 *
 * Returns 0, or -1 with errno EINVAL (a field out of its bounds, a NULL string whose minimum is
 * not 0; out is unchanged in length), EMSGSIZE or ENOMEM.  A NULL string counts as "".
 */
int rec_encode(const struct rec *r, const void *v, struct buf *out);

/*
 * Decode exactly n octets.  Strings and bytes point into p; p must outlive the result.
 *
 * Returns a struct of the record's type with its lists behind it in one allocation, to be given
 * to free(); or NULL with errno EBADMSG (short, long, out of bounds, NUL in a string) or ENOMEM.
 */
void *rec_decode(const struct rec *r, const void *p, size_t n);

/* For those who walk a table: the layout of every list member, and a number's value. */
struct rec_list {
	void *v;
	size_t n;
};
uint64_t rec_uint(const struct rec_field *f, const uint8_t *base);

/* Name of the first field of v that is out of its bounds, or NULL: for messages to people. */
const char *rec_bad_field(const struct rec *r, const void *v);

#endif
