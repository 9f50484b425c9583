/* server/camera/decode_process.h: one sandboxed decoder process (server/decoder/), from the
 * server's side: starts it, asks it, watches it, and starts it again.
 *
 * A process that ends, hangs or says what decode_wire.h does not allow is killed; the call that saw
 * it fails with ERR_DEVICE_LOST, and all decoders in it are gone. `life` numbers the processes: a
 * decoder of an older life is of no use.
 *
 * One thread asks (the decode worker that owns it); what any thread may call is said. */
#ifndef SIGHTLINE_SERVER_CAMERA_DECODE_PROCESS_H
#define SIGHTLINE_SERVER_CAMERA_DECODE_PROCESS_H

#include "config/why.h"
#include "server/camera/decode_wire.h"

#include <stdbool.h>
#include <stdint.h>

#define DECODE_PROCESS_HANG_MS    1500  /* one packet; the slowest 8K key frame takes 300 ms */
#define DECODE_PROCESS_OPEN_MS    2000  /* a file; the index of a day of video takes 200 ms */
#define DECODE_PROCESS_STARVED_MS 10000 /* likewise, when it was the machine that had no time */
#define DECODE_PROCESS_START_MS   10000 /* it takes 20 ms */
#define DECODE_PROCESS_MESSAGES   64    /* in answer to one request */

struct decode_process;

/* Starts it. ERR_NOT_FOUND: no program beside ours; ERR_UNSUPPORTED: the system refuses the
 * sandbox; ERR_IO, ERR_MEMORY. */
int  decode_process_open(struct decode_process **out, struct why *why);
void decode_process_close(struct decode_process **process);

/* Whether it runs, after starting it again if it is time. ERR_AGAIN: not yet time; else as open. */
int      decode_process_ready(struct decode_process *process, struct why *why);
uint64_t decode_process_life(const struct decode_process *process);
/* How the last one ended: "crashed, signal 11", "hung". */
const char *decode_process_end(const struct decode_process *process);
/* The last one had to be killed because it did not answer. */
bool     decode_process_hung(const struct decode_process *process);
unsigned decode_process_restarts(const struct decode_process *process); /* any thread */
int      decode_process_pid(const struct decode_process *process);      /* any thread; 0: none */

/* A number for another decoder in it; ERR_FULL. */
int decode_process_take_decoder(struct decode_process *process);
/* That decoder is closed. Any thread. */
void decode_process_close_decoder(struct decode_process *process, int decoder, uint64_t life);

/* Where the packet of the next request goes: DECODE_WIRE_AREA_BYTES. */
uint8_t *decode_process_area(struct decode_process *process);
/* Where what comes out of a file lies, likewise; it may change while it is read. */
const uint8_t *decode_process_back(const struct decode_process *process);

struct decode_process_call {
    struct decode_wire_request request;
    bool                       has_file; /* goes along: `file_fd`, which stays the caller's */
    int                        file_fd;
    struct decode_wire_answer *answer; /* checked, when the call returns 0 */
    /* The decoder's arena: 0 if it has none. */
    size_t   slot_bytes;
    unsigned slots;
    /* It needs one for pictures of so many bytes: sets the two above and *fd, which is closed
     * then; or refuses by any other value than 0. */
    int (*want)(void *arg, struct decode_process_call *call, size_t bytes, int *fd);
    void *arg;
    bool  in_hand; /* after ERR_DEVICE_LOST: it may have died of this request */
};
/* ERR_DEVICE_LOST: no answer will ever come. */
int decode_process_ask(struct decode_process *process, struct decode_process_call *call);

#endif
