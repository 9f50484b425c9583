/* gpu/onnx_file.h: an ONNX file unpacked by protobuf-c, under a budget of memory.
 *
 * Nothing in it is trusted: it is well-formed protobuf, no more. The importer checks the rest. */
#ifndef SIGHTLINE_GPU_ONNX_FILE_H
#define SIGHTLINE_GPU_ONNX_FILE_H

#include "config/why.h"
#include "gpu/graph.h"

#include <onnx.pb-c.h>
#include <stddef.h>
#include <stdint.h>

struct onnx_file {
    Onnx__ModelProto  *proto;
    ProtobufCAllocator allocator;
    size_t             used_bytes;
    size_t             max_bytes;
};

/* 0, ERR_INVALID (not an ONNX file), ERR_LIMIT. `bytes` may go afterwards. */
int  onnx_file_open(struct onnx_file *file, const uint8_t *bytes, size_t count, struct why *why);
void onnx_file_close(struct onnx_file *file);

/* Where tensors in files of their own may lie, and how much was read of them. */
struct onnx_external {
    const char *folder;                     /* NULL: nowhere */
    size_t      bytes;                      /* LIMIT_FILE_MODEL_BYTES at most */
    uint8_t     digest[GRAPH_DIGEST_BYTES]; /* of all that was read, in its order */
};

/* The `wanted` bytes of such a tensor; to be freed. Refuses a path that leaves the folder, a
 * file that is not there, or is too short. */
int onnx_external_read(struct onnx_external *external, const Onnx__TensorProto *tensor,
                       size_t wanted, uint8_t **bytes, struct why *why);

/* A tensor of the file as a new constant value of `graph`: floats of all widths become float32,
 * integers int64. Returns the value or a negative code. */
int onnx_tensor_value(struct graph *graph, struct onnx_external *external,
                      const Onnx__TensorProto *tensor, const char *name, struct why *why);

/* The ONNX number of an element type as one of ours; false for texts, complex numbers and others.
 */
bool onnx_element_type(int onnx_type, enum value_type *type);

#endif
