/* gpu/cpu/backend_cpu.h: the backend that runs on any machine: oneDNN and kernels of our own.
 *
 * One thread per runner, no threads of its own. See gpu/backend.h for the contract. */
#ifndef SIGHTLINE_GPU_CPU_BACKEND_CPU_H
#define SIGHTLINE_GPU_CPU_BACKEND_CPU_H

#include "gpu/backend.h"
#include "gpu/calibration.h"

/* The environment may name the instruction set for the whole process, oneDNN and the preparation of
 * pictures included: "avx512", "avx512_amx", "avx2_vnni", "avx2", "neon" or "plain". Opening a runner fails when the
 * machine lacks it. */
#define BACKEND_CPU_ISA_VARIABLE "SIGHTLINE_CPU_ISA"

extern const struct backend_ops BACKEND_CPU;

/* One step of a runner, in the order in which they run. */
struct backend_cpu_step {
    const char *node;           /* the node of the file that it came from */
    const char *what;           /* the kernel */
    const char *implementation; /* who computes it: "avx512", or oneDNN's own name */
    int64_t     spent_ns;       /* in the last profiled run */
    int64_t     multiply_adds;  /* as the graph counts them, of a convolution; else 0 */
};

/* Runs once with `input` and takes the time of each step. Returns how many there are; at most
 * `capacity` are written. */
int backend_cpu_profile(struct runner *runner, const float *input, struct backend_cpu_step *steps,
                        int capacity);

/* A runner with the kernels of one instruction set (as the variable names them; NULL: the best), so
 * that they can be tested against each other. ERR_UNSUPPORTED when this machine lacks them. */
int backend_cpu_open_with(struct runner **out, const struct model *model, const char *kernels,
                          enum precision precision, struct why *why);

/* A runner in 8 bits with ranges that need not be those in the file. `calibration` is not needed
 * any more after it. Values without a range, or to be kept, are computed in float32. */
int backend_cpu_open_calibrated(struct runner **out, const struct model *model, const char *kernels,
                                const struct calibration *calibration, struct why *why);

/* What a run computed: block × (pixel × `lanes` numbers) for channels / lanes blocks. */
struct backend_cpu_value {
    const char  *name;
    int64_t      channels, pixels, lanes;
    const float *numbers;
    bool         convolution; /* it comes out of one */
};

/* A runner in float32 in which every value between the layers can be seen. */
int backend_cpu_open_observed(struct runner **out, const struct model *model, struct why *why);

/* Runs such a runner once and shows the input and every picture between the layers. */
void backend_cpu_observe(struct runner *runner, const float *input,
                         void (*see)(void *context, const struct backend_cpu_value *value),
                         void *context);

/* Bytes of the arena that all tensors of one run share. */
int64_t backend_cpu_arena_bytes(const struct runner *runner);
/* What else is a runner's own: steps, tables, what each says of its tensors. */
int64_t backend_cpu_table_bytes(const struct runner *runner);
/* Weights in the order of the kernels, which all runners of a model in the same precision share. */
int64_t backend_cpu_shared_bytes(const struct runner *runner);

#endif
