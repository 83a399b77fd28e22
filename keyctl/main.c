#include "keyctl/keyctl.h"

int
main(int argc, char *argv[])
{
	return keyctl_main(argc, argv);
}
