/* gpu/cpu/cpu_codes.h: 8-bit steps of a runner. Inside of cpu_codes*.c and the planner. */
#ifndef SIGHTLINE_GPU_CPU_CPU_CODES_H
#define SIGHTLINE_GPU_CPU_CPU_CODES_H

#include "gpu/calibration.h"
#include "gpu/cpu/cpu_plan.h"
#include "gpu/cpu/int8.h"

/* What the codes of a tensor mean, by channel, filled up to whole blocks. */
struct cpu_scales {
    float   *scale;
    uint8_t *zero;
    float   *mean; /* of the numbers, as measured */
};

/* What an 8-bit step does: its kernels' arguments but for the addresses in the arena. */
struct cpu_codes {
    const struct int8_kernels *kernels;
    struct int8_conv           conv;
    struct int8_depthwise      depthwise;
    struct int8_pad            pad;
    struct int8_stem           stem;
    struct int8_pool           pool;
    struct activation          activation;   /* of a convolution that gives floats */
    float                     *scale, *zero; /* of steps between codes and floats */
    bool                       padded;
};

/* cpu_codes_plan.c */
/* Marks the values that somebody would rather read as codes. */
int cpu_codes_begin(struct plan *plan);
/* True when the node is to be computed in 8 bits; then cpu_codes_node() plans it. */
bool cpu_codes_takes(const struct plan *plan, const struct node *node);
int  cpu_codes_node(struct plan *plan, const struct node *node);
/* A value as codes (NULL: no memory), and from codes to blocks of floats. */
struct cpu_tensor *cpu_codes_tensor(struct plan *plan, int value);
struct cpu_tensor *cpu_codes_to_blocked(struct plan *plan, int value);

/* cpu_codes_conv.c */
bool cpu_codes_conv_fits(const struct plan *plan, const struct node *node);
bool cpu_codes_is_stem(const struct plan *plan, const struct node *node);
int  cpu_codes_conv(struct plan *plan, const struct node *node);

/* Codes of one value for all lanes; NULL: no memory. */
struct cpu_scales *cpu_codes_scales(struct plan *plan, int64_t channels);
/* The ranges of a value; NULL when they are not known. */
const struct calibrated *cpu_codes_range(const struct plan *plan, int value);
/* A new 8-bit step with `inputs` inputs. */
struct cpu_step *cpu_codes_step(struct plan *plan, const struct node *node, const char *what,
                                int inputs);

/* cpu_codes_run.c */
void cpu_codes_run_conv(const struct cpu_step *step);
void cpu_codes_run_depthwise(const struct cpu_step *step);
void cpu_codes_run_stem(const struct cpu_step *step);
void cpu_codes_run_pool(const struct cpu_step *step);
void cpu_codes_run_resize(const struct cpu_step *step);
void cpu_codes_run_gather(const struct cpu_step *step);
void cpu_codes_run_from_floats(const struct cpu_step *step);
void cpu_codes_run_to_floats(const struct cpu_step *step);

#endif
