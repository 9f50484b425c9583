/* server/decoder/sandbox.h: what a decoder process gives up before it sees the first byte of
 * video.
 *
 * After sandbox_enter it can read and write its socket, read the files whose descriptors the server
 * sends it (opened for reading alone), use and give back memory (never executable), read clocks, and
 * end. It cannot open, connect, execute, trace, signal others or
 * start a process or thread; trying ends it. It dies with the server's thread that started it,
 * gains no privileges, leaves no core file, and is not traceable. */
#ifndef SIGHTLINE_SERVER_DECODER_SANDBOX_H
#define SIGHTLINE_SERVER_DECODER_SANDBOX_H

#include "server/camera/decode_wire.h"

/* Private memory of one process: contexts of some hundred decoders. Pictures are shared memory,
 * which the server measures out. */
#define SANDBOX_DATA_BYTES (INT64_C(2) << 30)
/* Standard streams, the socket, files, and one arena on its way in. */
#define SANDBOX_DESCRIPTORS (5 + DECODE_WIRE_FILES)

/* 0, or the text of what the system refuses. */
const char *sandbox_enter(void);

/* `sightline-decode --try NAME`: shuts itself in and then does what it must not: "open", "socket",
 * "exec", "fork", "thread", "kill", "trace", "code", "descriptor"; or "memory", more than it may
 * have. Returns when it was let: 0, or 1 when an error was all that came of it; 2: no such name. */
int sandbox_try(const char *name);

#endif
