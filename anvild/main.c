#include "anvild/anvild.h"

int
main(int argc, char *argv[])
{
	return proc_main(&anvild, argc, argv);
}
