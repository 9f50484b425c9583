// The kernels that read where other numbers say, and their launches.
#include "gpu/cuda/cuda_body_index.h"
#include "gpu/cuda/cuda_grid.h"

static uint32_t view_grid(const struct cuda_view *view)
{
    uint32_t lanes = (view->channels + CUDA_LANES - 1) / CUDA_LANES * CUDA_LANES;

    return view->is_picture ? view->pixels * lanes : view->elements;
}

#define LAUNCH(NAME)                                                                \
    int cuda_launch_##NAME(const struct cuda_##NAME *args, int batch, void *stream) \
    {                                                                               \
        return start_##NAME(args, batch, stream);                                   \
    }

#define ARGS struct cuda_take
KERNEL(take, view_grid(&args->y))
#undef ARGS
#define ARGS struct cuda_take_elements
KERNEL(take_elements, view_grid(&args->y))
#undef ARGS
#define ARGS struct cuda_take_slices
KERNEL(take_slices, view_grid(&args->y))
#undef ARGS
#define ARGS struct cuda_top_k
KERNEL(top_k, args->x.elements)
#undef ARGS
#define ARGS struct cuda_grid_sample
KERNEL(grid_sample, view_grid(&args->y))
#undef ARGS
#define ARGS struct cuda_where
KERNEL(where, view_grid(&args->y))
#undef ARGS

LAUNCH(take)
LAUNCH(take_elements)
LAUNCH(take_slices)
LAUNCH(top_k)
LAUNCH(grid_sample)
LAUNCH(where)
