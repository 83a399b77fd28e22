#ifndef BASE_VERSION_H
#define BASE_VERSION_H

/* Of this build: master, daemons and tools talk only to their like. */
#define POSTERN_VERSION "0.1"

#endif
