#ifndef QUEUE_CRC32C_H
#define QUEUE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * CRC-32C (Castagnoli; RFC 3720, 12.1), by the processor's instruction where it has one.
 *
 * crc	0 to begin with, or what was returned for the octets before p
 */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);

/* The same without the instruction. */
uint32_t crc32c_table(uint32_t crc, const void *p, size_t n);

#endif
