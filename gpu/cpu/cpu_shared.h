/* gpu/cpu/cpu_shared.h: weights in a kernel's order, once for all runners of a model.
 *
 * Every core has a runner of its own, and all of them read the same weights. What one runner has
 * brought into order the next ones find here. An entry lives as long as a runner uses it, and does
 * not change after it was filled. Any thread, at open and close only: a run takes no lock. */
#ifndef SIGHTLINE_GPU_CPU_CPU_SHARED_H
#define SIGHTLINE_GPU_CPU_CPU_SHARED_H

#include "gpu/cpu/cpu_runner.h"

/* What tells one entry from another. A node belongs to one model, and stands for its twin too. */
struct cpu_shared_key {
    const struct node    *node;
    const struct kernels *kernels; /* whose order it is */
    const char           *what;    /* a constant text */
    size_t                bytes;
    /* NULL: the above says it all. Otherwise oneDNN's description of the order, or the contents
     * themselves where they depend on more than the model (ranges of 8-bit codes). */
    const dnnl_memory_desc_t *order;
    const void               *contents;
};

/* The entry's bytes, zeroed and then filled by fill() if they are not there yet (`fill` may be NULL
 * where the key has the contents); aligned to 64 bytes, valid until cpu_shared_release() of this
 * runner. NULL: no memory, or fill() returned false. While one runner fills, others wait. */
const void *cpu_shared_get(struct cpu_runner *runner, const struct cpu_shared_key *key,
                           bool (*fill)(void *context, void *bytes), void         *context);

/* Gives back all that the runner uses. */
void cpu_shared_release(struct cpu_runner *runner);

/* Bytes of all entries in this process. */
int64_t cpu_shared_total_bytes(void);

#endif
