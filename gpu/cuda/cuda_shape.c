/* The shape of a convolution as cuDNN is asked about it; calls nothing of cuDNN. */
#include "gpu/cuda/cuda_cudnn.h"

#include <string.h>

static int as_int(uint32_t number)
{
    return (int)number;
}

struct cudnn_conv_shape cudnn_conv_shape_of(const struct cuda_step *step, int batch)
{
    const struct cuda_conv *conv = &step->args.conv;
    struct cudnn_conv_shape shape;

    memset(&shape, 0, sizeof shape); /* compared by its bytes */
    shape.batch           = batch;
    shape.in_channels     = conv->group_in;
    shape.in_height       = as_int(conv->x.height);
    shape.in_width        = as_int(conv->x.width);
    shape.in_pitch        = as_int(conv->x.pitch);
    shape.out_channels    = conv->group_out;
    shape.out_height      = as_int(conv->y.height);
    shape.out_width       = as_int(conv->y.width);
    shape.out_pitch       = as_int(conv->y.pitch);
    shape.window          = step->node->window;
    shape.activation.kind = (enum activation_kind)conv->activation.kind;
    shape.activation.a    = conv->activation.a;
    shape.activation.b    = conv->activation.b;
    shape.residual        = (enum residual_kind)conv->residual;
    shape.residual_pitch  = conv->residual != 0 ? as_int(conv->r.pitch) : 0;
    return shape;
}
