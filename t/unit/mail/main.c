#include <stdlib.h>

#include "t/unit/unit.h"

Suite *classify_suite(void);
Suite *header_suite(void);
Suite *address_suite(void);
Suite *mime_suite(void);
Suite *write_suite(void);
Suite *encode_suite(void);
Suite *verdict_suite(void);
Suite *dsn_suite(void);
Suite *corpus_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){classify_suite, header_suite, address_suite,
	    mime_suite, write_suite, encode_suite, verdict_suite, dsn_suite, corpus_suite, NULL});
}
