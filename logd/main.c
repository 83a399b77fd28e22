#include "logd/logd.h"

int
main(int argc, char *argv[])
{
	return proc_main(&logd, argc, argv);
}
