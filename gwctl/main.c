#include "gwctl/gwctl.h"

int
main(int argc, char *argv[])
{
	return gwctl_main(argc, argv);
}
