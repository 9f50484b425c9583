/* gpu/model_traits.h: what a graph shows of the family that its network is of. Inside of gpu/. */
#ifndef SIGHTLINE_GPU_MODEL_TRAITS_H
#define SIGHTLINE_GPU_MODEL_TRAITS_H

#include "gpu/graph.h"

/* Sets info->traits, and unit and softmax of its outputs; all else of `info` is there already. */
void model_find_traits(struct model_info *info, const struct graph *graph);

#endif
