/* tests/driver_nvcuvid.h: what a test may ask of the decoder that is none, and reads of it: the symbol
 * driver_control of the library. One decoder at a time; read while nothing is decoded. */
#ifndef SIGHTLINE_TESTS_DRIVER_NVCUVID_H
#define SIGHTLINE_TESTS_DRIVER_NVCUVID_H

struct driver_control {
    int refuse_decoders; /* none can be made */
    int fail_at;         /* the picture that fails, from 1; 0: none */
    int fail_map_at;     /* the one of which the pixels are not given out, from 1; 0: none */
    int decoders;        /* that are there */
    int decoded;         /* pictures, in all */
    int mapped, mapped_most;
    int overwritten; /* surfaces decoded into while somebody had their picture */
    int lost;        /* pictures still outside when their decoder went */
};

#endif
