#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/version.h"
#include "master/master.h"

#define DEFAULT_CONF SYSCONFDIR "/postern/postern.conf"

static int
usage(void)
{
	(void)fprintf(stderr, "usage: postern [-dFtV] [-c file]\n");
	return EX_USAGE;
}

int
main(int argc, char *argv[])
{
	struct master_options o = {.conf_path = DEFAULT_CONF};
	int ch;

	while ((ch = getopt(argc, argv, "c:dFtV")) != -1)
		switch (ch) {
		case 'c':
			o.conf_path = optarg;
			break;
		case 'd':
			o.debug = 1;
			break;
		case 'F':
			o.foreground = 1;
			break;
		case 't':
			o.check = 1;
			break;
		case 'V':
			(void)printf("postern %s\n", POSTERN_VERSION);
			return EX_OK;
		default:
			return usage();
		}
	if (optind != argc)
		return usage();
	return master_run(&o);
}
