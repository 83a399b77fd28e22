#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/inner.h"

/* Any file is walked within bounds and comes out whole or damaged, with a reason. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char name[] = "store";
	struct store s = {.name = name, .map_size = 1 << 24};
	struct err e = {0};
	int fd = memfd_create("data.mdb", MFD_CLOEXEC);

	if (fd == -1)
		return 0;
	if (write(fd, data, size) == (ssize_t)size && pages_check(&s, fd, &e) == -1 &&
	    (e.code == 0 || e.text[0] == '\0'))
		abort();
	(void)close(fd);
	return 0;
}
