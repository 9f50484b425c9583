/* gpu/model.h: an ONNX file as a checked, planned graph that a backend can run.
 *
 * model_load() parses the file (protobuf-c), checks it, infers every shape, folds constants, fuses
 * and plans; the result is immutable and shared by all runners. The file is hostile input: whatever
 * is in it, the answer is a model or an error that names the node and what to do; memory is bounded
 * by LIMIT_MODEL_* (gpu/graph.h). Any thread; one call at a time per model. */
#ifndef SIGHTLINE_GPU_MODEL_H
#define SIGHTLINE_GPU_MODEL_H

#include "config/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_MAX_DIMENSIONS 6
#define MODEL_MAX_OUTPUTS    16
#define MODEL_DEFAULT_SIDE   640

struct model; /* opaque; gpu/graph.h has the inside for the backends */

struct model_tensor {
    char    name[128];
    int     dimension_count;
    int64_t dimension[MODEL_MAX_DIMENSIONS];
    /* Of an output: its numbers come out of a sigmoid or softmax, or of the latter. False when the
     * graph does more with them afterwards than to move them about. */
    bool unit, softmax;
};

/* What else tells one family of networks from another; see head.h. */
struct model_traits {
    bool has_grid;        /* the graph adds or multiplies constants of its cells' number */
    bool has_exponential; /* it takes e to the power of something */
    bool takes_bytes;     /* its input is whole numbers in 0..255, which it scales by itself */
};

struct model_info {
    char                path[512];
    struct model_tensor input; /* N×3×H×W, N = 1 */
    int                 output_count;
    struct model_tensor output[MODEL_MAX_OUTPUTS];
    int64_t             parameters;    /* weights, in numbers */
    int64_t             multiply_adds; /* of one picture */
    struct model_traits traits;
    bool                size_is_open; /* the file leaves the picture's height and width open */
    /* BLAKE2b-256 of the file, in hex: names the model in records. Where the file keeps weights in
     * others, keyed by theirs. */
    char digest[65];
    /* metadata_props of the file, for class names ("names", "classes"); NULL when absent. */
    const char *const *metadata_keys;
    const char *const *metadata_values;
    int                metadata_count;
};

/* How a file is read otherwise than as it says; all zero: not at all. */
struct model_options {
    int64_t height, width; /* of the picture; 0: the file's, or if it leaves that open, the size in
                              its metadata ("imgsz"), or MODEL_DEFAULT_SIDE */
    /* The same file at another size, which outlives this one and its runners: weights that are the
     * same in both are once in memory for all runners (gpu/cpu/cpu_shared.h). NULL: none. */
    const struct model *twin;
    const char         *folder; /* where tensors in files of their own lie; NULL: such are refused.
                              model_load() and model_load_with() take the file's own folder */
};

/* ERR_NOT_FOUND, ERR_INVALID (damaged), ERR_UNSUPPORTED (operator named in `why`), ERR_LIMIT,
 * ERR_MEMORY. On failure *out is NULL. */
int model_load(struct model **out, const char *path, struct why *why);
int model_load_bytes(struct model **out, const uint8_t *bytes, size_t count, const char *name,
                     struct why *why);
/* The same with options. */
int model_load_with(struct model **out, const char *path, const struct model_options *options,
                    struct why *why);
int model_load_bytes_with(struct model **out, const uint8_t *bytes, size_t count, const char *name,
                          const struct model_options *options, struct why *why);
/* Whether these are the bytes of the file that it was loaded from. */
bool model_is_made_of(const struct model *model, const uint8_t *bytes, size_t count);

/* The bytes of such a file, at most LIMIT_FILE_MODEL_BYTES; to be freed. ERR_NOT_FOUND, ERR_DENIED,
 * ERR_INVALID (not a regular file), ERR_IO, ERR_LIMIT, ERR_MEMORY. */
int  model_read_file(const char *path, uint8_t **bytes, size_t *count, struct why *why);
void model_close(struct model **model);
const struct model_info *model_info(const struct model *model);

#endif
