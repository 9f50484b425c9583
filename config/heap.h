/* config/heap.h: how the C library's heap is kept from growing in a program that runs for months. */
#ifndef SIGHTLINE_CONFIG_HEAP_H
#define SIGHTLINE_CONFIG_HEAP_H

/* Larger blocks are mapped one by one, and given back to the system when they are freed. */
#define HEAP_MAPPED_BYTES (128 << 10)

/* Before the first thread. By itself the library raises that bound to the size of whatever large block
 * is freed, up to 32 MiB; from then on pictures and decoders of cameras that come and go lie in the
 * heaps of whichever threads asked for them, and what is freed between two that live is kept for good:
 * 61 MB after an hour of flapping cameras where 12 MB were in use. */
void heap_settle(void);

#endif
