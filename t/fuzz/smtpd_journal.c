/* A notice's file: with its checksum made right, so that the record behind it is reached. */
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "smtpd/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *file;

	free(journal_parse(data, size));
	if ((file = malloc(5 + size + 32)) == NULL)
		return 0;
	memcpy(file, "PSTN\1", 5);
	memcpy(file + 5, data, size);
	(void)EVP_Digest(file, 5 + size, file + 5 + size, NULL, EVP_sha256(), NULL);
	free(journal_parse(file, 5 + size + 32));
	free(file);
	return 0;
}
