/* gpu/graph.h: the inside of a model: a small graph that a backend turns into steps.
 *
 * The importer (onnx_import.c) lowers every ONNX operator to one of the few kinds of node below,
 * with all shapes known and everything constant already computed. Each node has exactly one output
 * value, and the nodes stand in an order in which they can run. After graph_optimize() nothing
 * changes any more: backends read only.
 *
 * What runs is float32, all of it. Integers and truth values (0, 1) that are computed while the
 * model runs are whole numbers in float32: exact up to LIMIT_GRAPH_WHOLE, which no index that a
 * node gives can exceed, since larger dimensions are refused where indices into them are made;
 * arithmetic that leaves that range rounds. An integer constant that a node reads at run time has
 * `floats` beside its `ints`. Whoever reads indices must bring them into range first: they come
 * from data. The shape of every value is known when the model is loaded: operators whose output's
 * size depends on the numbers (NonMaxSuppression, NonZero) are refused by the importer. */
#ifndef SIGHTLINE_GPU_GRAPH_H
#define SIGHTLINE_GPU_GRAPH_H

#include "config/why.h"
#include "gpu/graph_memory.h"
#include "gpu/model.h"

#include <stdbool.h>
#include <stdint.h>

/* What a file may ask for. Far above any network that counts people; low enough that a hostile
 * file costs a moment and not the server. */
#define LIMIT_MODEL_NODES           8192
#define LIMIT_MODEL_VALUES          65536
#define LIMIT_MODEL_TENSOR_ELEMENTS (INT64_C(1) << 26)  /* one run-time tensor: 256 MiB */
#define LIMIT_MODEL_ARENA_BYTES     (INT64_C(1) << 31)  /* all run-time tensors of one runner */
#define LIMIT_MODEL_MULTIPLY_ADDS   (INT64_C(1) << 42)  /* of one picture: minutes on one core */
#define LIMIT_MODEL_EXTRA_BYTES     (INT64_C(64) << 20) /* besides some copies of the file */
#define LIMIT_NODE_INPUTS           256
#define LIMIT_NODE_OUTPUTS          256
#define LIMIT_WINDOW                4096 /* kernel, stride, dilation and padding of a window */

#define LIMIT_GRAPH_WHOLE (INT64_C(1) << 24) /* whole numbers that float32 holds */

#define STRIDED_MAX_DIMENSIONS 8

#define GRAPH_DIGEST_BYTES 32

enum value_type { VALUE_F32, VALUE_I64 };

/* A tensor: constant when floats or ints is set, otherwise computed by its producer or the input.
 * `type` is what the file says; a computed VALUE_I64 is whole numbers in float32. */
struct value {
    const char     *name; /* in the file; what a node inside the graph computes may have none */
    enum value_type type;
    int             rank;
    int64_t         dimension[MODEL_MAX_DIMENSIONS];
    int64_t         elements;
    const float    *floats; /* row-major */
    const int64_t  *ints;
    int             producer; /* node, or -1 */
    int             uses;     /* as input of nodes and as output of the model */
    int             element;  /* a constant's ONNX element type, 0: not known */
    bool            is_input;
};

enum activation_kind {
    ACTIVATION_NONE,
    ACTIVATION_RELU,         /* x < 0 ? a * x : x */
    ACTIVATION_CLIP,         /* min(max(x, a), b) */
    ACTIVATION_SIGMOID,      /* 1 / (1 + exp(-x)) */
    ACTIVATION_SILU,         /* x * sigmoid(x) */
    ACTIVATION_HARD_SIGMOID, /* min(max(a * x + b, 0), 1) */
    ACTIVATION_HARD_SWISH,   /* x * hard_sigmoid(x) */
};

struct activation {
    enum activation_kind kind;
    float                a, b;
};

enum node_kind {
    NODE_CONV,         /* inputs: x, weights, bias or -1, residual or -1 */
    NODE_MAX_POOL,     /* x */
    NODE_AVERAGE_POOL, /* x */
    NODE_ACTIVATION,   /* x; what it does is in `activation` */
    NODE_BINARY,       /* a, b, broadcast as in numpy */
    NODE_CONCAT,       /* any number, joined along `axis` */
    NODE_COPY,         /* x; reads it through `strided`: slices, reshapes, transposes, splits */
    NODE_PAD,          /* x; copied into a tensor filled with pad.value */
    NODE_RESIZE,       /* x */
    NODE_SOFTMAX,      /* x, along `axis` */
    NODE_MEAN,         /* x, over the axes of `axes` */
    NODE_MATMUL,       /* a (…×M×K), b (…×K×N), c or -1 added with broadcasting */
    NODE_UNARY,        /* x; number by number, see enum unary_kind */
    NODE_WHERE,        /* condition, a, b, broadcast: condition != 0 ? a : b */
    NODE_REDUCE,       /* x, over the axes of `axes`: see enum reduce_kind */
    NODE_LAYER_NORM,   /* x, scale or -1, shift or -1 (one number per element of a row): each row,
                          that is all dimensions from `axis` on, becomes
                          (x - mean) / sqrt(variance + epsilon) * scale + shift */
    NODE_GATHER,       /* x, indices of any rank: along `axis`, the slice of x at each index; the
                          axis is replaced by the dimensions of indices. An index below 0 counts
                          from the end; the rest is clamped into range (in all nodes with indices) */
    NODE_GATHER_ELEMENTS, /* x, indices of x's rank, at most as large as x in the other dimensions:
                             y[i][j][k] = x[i][indices[i][j][k]][k] for axis 1 */
    NODE_GATHER_ND, /* x, indices whose last dimension D holds an index for each of D dimensions of
                       x, after the first `axis` dimensions, which both have (batch) */
    NODE_SCATTER_ELEMENTS, /* x, indices, updates (same shape): a copy of x in which
                              y[i][indices[i][j][k]][k] = updates[i][j][k] for axis 1, in order */
    NODE_SCATTER_ND, /* x, indices (…×D), updates: a copy of x in which the slice at each index
                              of D numbers is replaced, in order */
    NODE_TOP_K,      /* x: along `axis`, the indices of the K largest (topk.smallest: smallest), K
                         being the output's dimension; best first, of equals the lower index first,
                         and what is not a number behind every number */
    NODE_CUM_SUM,    /* x: running sums along `axis`; see cumulate */
    NODE_GRID_SAMPLE, /* x (N×C×H×W), grid (N×Ho×Wo×2: x, y in -1..1): N×C×Ho×Wo; see grid */
    NODE_REMOVED,
};

/* The comparisons give 1 or 0; the logical ones take anything but 0 as true. */
enum binary_kind {
    BINARY_ADD,
    BINARY_SUBTRACT,
    BINARY_MULTIPLY,
    BINARY_DIVIDE,
    BINARY_MINIMUM,
    BINARY_MAXIMUM,
    BINARY_POWER,     /* a to the power of b, as powf() */
    BINARY_MODULO,    /* a - b * floor(a / b): has the sign of b */
    BINARY_REMAINDER, /* as fmodf(): has the sign of a */
    BINARY_EQUAL,
    BINARY_LESS,
    BINARY_LESS_EQUAL,
    BINARY_AND,
    BINARY_OR,
    BINARY_XOR,
};

/* What is rarely right behind a convolution, and so is not fused into one. */
enum unary_kind {
    UNARY_ABSOLUTE,
    UNARY_NEGATE,
    UNARY_SQUARE,
    UNARY_SQUARE_ROOT,
    UNARY_RECIPROCAL,
    UNARY_EXPONENTIAL,
    UNARY_LOGARITHM,
    UNARY_ERROR_FUNCTION,
    UNARY_HYPERBOLIC_TANGENT,
    UNARY_SOFTPLUS,  /* log(1 + exp(x)) */
    UNARY_MISH,      /* x * tanh(softplus(x)) */
    UNARY_GELU,      /* x / 2 * (1 + erf(x / sqrt(2))) */
    UNARY_GELU_TANH, /* x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) */
    UNARY_ELU,       /* x < 0 ? a * (exp(x) - 1) : x */
    UNARY_FLOOR,
    UNARY_CEIL,
    UNARY_ROUND,    /* halves to even */
    UNARY_TRUNCATE, /* towards 0 */
    UNARY_SIGN,
    UNARY_NOT, /* x == 0 */
    UNARY_SINE,
    UNARY_COSINE,
};

enum reduce_kind { REDUCE_SUM, REDUCE_PRODUCT, REDUCE_MAXIMUM, REDUCE_MINIMUM };

enum grid_padding { GRID_ZEROS, GRID_BORDER, GRID_REFLECTION };

enum residual_kind { RESIDUAL_NONE, RESIDUAL_BEFORE_ACTIVATION, RESIDUAL_AFTER_ACTIVATION };

/* The sliding window of a convolution or pool; [0] is vertical, [1] horizontal. */
struct window {
    int  kernel[2];
    int  stride[2];
    int  dilation[2];
    int  pad_begin[2];
    int  pad_end[2];
    int  groups;
    bool count_padding; /* average pool: padding counts in the divisor */
};

/* Element (i0, i1, ...) of the output, in row-major order, is source[offset + i0*stride[0] + ...].
 * The dimensions need not be those of the output value, only their product is the same. */
struct strided {
    int     rank;
    int64_t dimension[STRIDED_MAX_DIMENSIONS];
    int64_t stride[STRIDED_MAX_DIMENSIONS];
    int64_t offset;
};

enum resize_kind { RESIZE_NEAREST, RESIZE_LINEAR };
enum resize_coordinates {
    RESIZE_ASYMMETRIC,    /* x_in = x_out / scale */
    RESIZE_HALF_PIXEL,    /* x_in = (x_out + 0.5) / scale - 0.5 */
    RESIZE_ALIGN_CORNERS, /* x_in = x_out * (in - 1) / (out - 1) */
};
enum resize_rounding { RESIZE_FLOOR, RESIZE_CEIL, RESIZE_PREFER_FLOOR, RESIZE_PREFER_CEIL };

struct node {
    enum node_kind kind;
    const char    *name; /* of the ONNX node that it came from */
    const char    *op;   /* the ONNX operator that it came from */
    /* The node with the same weights in the model's twin (struct model_options); NULL: none. */
    const struct node *twin;
    int                input_count;
    int               *input; /* values; -1 where an optional one is absent */
    int                output;

    struct activation  activation; /* also applied at the end of CONV, BINARY and MATMUL */
    enum residual_kind residual;   /* CONV */
    struct window      window;     /* CONV and pools */
    enum binary_kind   binary;
    int                axis;
    unsigned           axes; /* MEAN and REDUCE; bit i: axis i goes */
    struct strided     strided;
    struct {
        int64_t begin[MODEL_MAX_DIMENSIONS];
        float   value;
    } pad;
    struct {
        enum resize_kind        kind;
        enum resize_coordinates coordinates;
        enum resize_rounding    rounding;
        float                   scale[2]; /* vertical, horizontal: output per input */
    } resize;
    struct {
        bool  transpose_a, transpose_b;
        float alpha, beta;
    } matmul;
    enum unary_kind  unary;
    float            unary_a; /* UNARY_ELU */
    enum reduce_kind reduce;
    float            epsilon; /* LAYER_NORM */
    struct {
        bool smallest;
    } topk;
    struct {
        bool exclusive; /* without the element itself */
        bool reverse;   /* from the end */
    } cumulate;
    struct {
        bool              nearest; /* halves to even; else bilinear */
        bool              align_corners;
        enum grid_padding padding; /* what lies outside */
    } grid;
};

struct graph {
    struct graph_memory memory;
    int                 value_count, value_room;
    struct value       *values;
    int                 node_count, node_room;
    struct node        *nodes;
    int                 input;         /* value */
    bool                input_is_open; /* its height and width, in the file */
    bool                has_external;  /* constants that the file keeps in other files */
    uint8_t             external_digest[GRAPH_DIGEST_BYTES]; /* of those, in the order of reading */
    int                 output_count;
    int                 outputs[MODEL_MAX_OUTPUTS];
    int64_t             folded_work; /* spent on constants so far: see graph_fold.c */
};

/* The graph of a model, for the backends. */
const struct graph *model_graph(const struct model *model);

/* Starts empty; `max_bytes` bounds its memory. */
void graph_init(struct graph *graph, size_t max_bytes);
void graph_free(struct graph *graph);

/* A new value or node; its number, or ERR_LIMIT / ERR_MEMORY. Pointers into graph->values and
 * graph->nodes do not survive these calls. */
int graph_add_value(struct graph *graph, const char *name, enum value_type type, int rank,
                    const int64_t *dimension);
int graph_add_node(struct graph *graph, enum node_kind kind, int input_count, const int *input,
                   int output);

/* Elements of a shape, or -1 when a dimension is below 1 or the product above `limit`. */
int64_t graph_elements(int rank, const int64_t *dimension, int64_t limit);

/* Row-major strides of a shape. */
void graph_strides(int rank, const int64_t *dimension, int64_t *stride);

/* "Conv 'Conv_41'": for messages. */
void graph_describe_node(const struct node *node, char *text, size_t bytes);

/* y = activation(x), exactly as the plain kernels compute it. */
float graph_activate(const struct activation *activation, float x);
/* The same for the other kinds of number by number, by the C library. */
float graph_unary(enum unary_kind kind, float a, float x);
float graph_binary(enum binary_kind kind, float x, float y);

/* Joins dimensions that lie together and drops those of 1. */
void graph_strided_simplify(struct strided *strided);
/* outer(inner(x)) as one; false when no single strided copy can say it. */
bool graph_strided_compose(const struct strided *inner, const struct strided *outer,
                           struct strided *out);
/* Of one whose source and output have planes of so many `pixels`: the plane of the source that the
 * plane-th of the output is; negative: it is none, or not one alone. `strided` is simplified. */
int64_t graph_strided_plane(const struct strided *strided, int64_t pixels, int64_t plane);
/* True when it reads the source from front to back: a mere change of shape. */
bool graph_strided_is_reshape(const struct strided *strided, int64_t source_elements);
/* True when the elements stand side by side in the source, in the same order. */
bool graph_strided_is_run(const struct strided *strided);

/* Rewrites the graph so that a backend has less to do: see graph_optimize.c for the passes. */
int graph_optimize(struct graph *graph, struct why *why);
/* Passes of it, in graph_patterns.c: what exporters write out as several nodes becomes one. 0 or
 * ERR_MEMORY. */
int graph_fuse_functions(struct graph *graph);
int graph_fuse_norms(struct graph *graph);
/* Uses of every value, counted from the outputs back; nodes without use go. */
void graph_drop_dead(struct graph *graph);

/* Sets the twin of every node that `with`, made of the same file, has with the same constants in the
 * same place. */
void graph_pair(struct graph *graph, const struct graph *with);

/* Of one picture. */
int64_t graph_multiply_adds(const struct graph *graph);
int64_t graph_parameters(const struct graph *graph);

#endif
