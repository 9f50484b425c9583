/* tests/fake_network.h: what a model says of itself whose network is none: a picture of SIDE_PX goes in,
 * and CELLS rows come out as a YOLOX gives them, with as many numbers and names of classes as are
 * wanted. */
#ifndef SIGHTLINE_TESTS_FAKE_NETWORK_H
#define SIGHTLINE_TESTS_FAKE_NETWORK_H

#include "gpu/model.h"

#define SIDE_PX 32
#define CELLS   21

/* An initializer of struct model_info; `names`: "car, bus". */
#define FAKE_NETWORK(numbers, names)                                                               \
    {                                                                                              \
        .path  = "fake.onnx",                                                                      \
        .input = {.dimension_count = 4, .dimension = {1, 3, SIDE_PX, SIDE_PX}}, .output_count = 1, \
        .output         = {{.dimension_count = 3, .dimension = {1, CELLS, (numbers)}}},            \
        .metadata_count = 1, .metadata_keys = (const char *const[]){"names"},                      \
        .metadata_values = (const char *const[]){names},                                           \
    }

#endif
