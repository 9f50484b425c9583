/* gpu/onnx_import.h: from an ONNX file to the graph. Inside of the importer.
 *
 * Each ONNX operator has one row in the table OPERATORS (onnx_operators.c) with a function that
 * checks a node, infers the shape of what it gives, and adds nodes of our own kinds to the graph.
 * To add an operator: write its function in the file of its family (onnx_number.c, onnx_reduce.c,
 * onnx_index.c, ...), add its row, and a row in the table of tests/unit/operator_test.c. */
#ifndef SIGHTLINE_GPU_ONNX_IMPORT_H
#define SIGHTLINE_GPU_ONNX_IMPORT_H

#include "gpu/onnx_file.h"

/* Before it, shapes broadcast only where an attribute says so, and along an axis of its choice. */
#define ONNX_OPSET_MIN 7

struct importer {
    struct graph               *graph;
    const Onnx__ModelProto     *model;
    const Onnx__GraphProto     *proto;
    const struct model_options *options; /* or NULL */
    struct onnx_external        external;
    int64_t                     opset;
    struct why                 *why;
    const Onnx__NodeProto      *node; /* being lowered */
    const struct onnx_operator *op;
    int                         input_count;
    int                         input[LIMIT_NODE_INPUTS];   /* values; -1 where absent */
    int                         output[LIMIT_NODE_OUTPUTS]; /* set by the lower function */
    struct name_table          *names;
};

struct onnx_operator {
    const char *name;
    int         input_min, input_max;
    int (*lower)(struct importer *import);
};

/* Ordered by name, ends with a row of NULL. */
extern const struct onnx_operator OPERATORS[];
/* What to do about an operator that is not among them. */
const char *onnx_operator_advice(const char *name);

/* graph->input, graph->outputs and all nodes from the file. Codes as model_load(). */
int onnx_import(struct graph *graph, const Onnx__ModelProto *model,
                const struct model_options *options, struct why *why);

/* onnx_inputs.c: graph->input, and the names of all inputs. */
int import_inputs(struct importer *import);
/* Names of values in the file. A name is given once. */
int  import_add_name(struct importer *import, const char *name, int value);
bool import_has_name(const struct importer *import, const char *name);

/* Refuses the node that is being lowered: "Conv 'Conv_41': ...". Returns `code`. */
int import_refuse(struct importer *import, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#ifdef __clang_analyzer__ /* see config/why.h */
#define import_refuse(import, code, ...) \
    why_known((import_refuse)((import), (code), __VA_ARGS__), (code))
#endif

/* The value of an input (it must be present). */
const struct value *import_input(const struct importer *import, int index);
bool                import_has_input(const struct importer *import, int index);
/* The integers of a constant input; refuses anything else. */
int import_input_ints(struct importer *import, int index, const int64_t **ints, int *count);
/* The first number of a constant input of floats. */
int import_input_float(struct importer *import, int index, float *number);

/* Attributes of the node; `fallback` when it does not have one of that name. */
int64_t        import_int(const struct importer *import, const char *name, int64_t fallback);
float          import_float(const struct importer *import, const char *name, float fallback);
bool           import_text_is(const struct importer *import, const char *name, const char *text,
                              const char *fallback);
const int64_t *import_ints(const struct importer *import, const char *name, int *count);
const Onnx__AttributeProto *import_attribute(const struct importer *import, const char *name);

/* -rank..rank-1 to 0..rank-1, or refuses. */
int import_axis(struct importer *import, int64_t axis, int rank);

/* A new node with its output value; the node through *node, valid until the next call. Returns the
 * value or a negative code. */
int import_emit(struct importer *import, enum node_kind kind, int input_count, const int *input,
                int rank, const int64_t *dimension, struct node **node);
/* NODE_COPY of `source` into another shape with the same elements in the same order. */
int import_emit_reshape(struct importer *import, int source, int rank, const int64_t *dimension);
/* A constant; `count` numbers are copied. */
int import_emit_ints(struct importer *import, int rank, const int64_t *dimension,
                     const int64_t *ints);
int import_emit_floats(struct importer *import, int rank, const int64_t *dimension,
                       const float *floats);

/* A constant of numbers that lie in the graph's memory already. */
int import_take_floats(struct importer *import, int rank, const int64_t *dimension,
                       const float *floats);

/* Computes a node whose inputs are constants, and removes it. 0, or ERR_UNSUPPORTED for a kind that
 * is better computed while the model runs, or ERR_MEMORY. */
int graph_fold(struct graph *graph, int node);

/* The shape that two shapes broadcast to; its rank, or -1. */
int broadcast_shape(const struct value *a, const struct value *b, int64_t *dimension);
/* The strides with which `value` is read to fill a shape of that rank: 0 where it repeats. */
void broadcast_strides(const struct value *value, int rank, int64_t *stride);

/* onnx_emit.c: nodes that several operators are lowered to. Each gives a value or refuses with a
 * negative code; a source may be any value of the graph. */
bool import_is_constant(const struct importer *import, int value);
int  import_emit_number(struct importer *import, enum value_type type, double number);
int  import_emit_unary(struct importer *import, enum unary_kind kind, int source);
int  import_emit_activation(struct importer *import, struct activation activation, int source);
/* Broadcast. Comparisons give VALUE_I64; a division of integers rounds towards 0. */
int import_emit_binary(struct importer *import, enum binary_kind kind, int a, int b);
int import_emit_where(struct importer *import, int condition, int a, int b);
int import_emit_reduce(struct importer *import, enum reduce_kind kind, int source, unsigned axes,
                       bool keep);
int import_emit_mean(struct importer *import, int source, unsigned axes, bool keep);
int import_emit_transpose(struct importer *import, int source, const int *order);
/* A copy of `source` that reads it with the given strides. */
int import_emit_strided(struct importer *import, int source, int rank, const int64_t *dimension,
                        const int64_t *stride, int64_t offset);
/* The product of (stacks of) matrices of two dimensions or more. */
int import_emit_product(struct importer *import, int a, int b);
/* The node's only output, or the code of what went wrong on the way to it. */
int import_set(struct importer *import, int value);

/* Rows of the table, by family. */
int lower_conv(struct importer *import);
int lower_batch_normalization(struct importer *import);
int lower_max_pool(struct importer *import);
int lower_average_pool(struct importer *import);
int lower_resize(struct importer *import);

int lower_relu(struct importer *import);
int lower_leaky_relu(struct importer *import);
int lower_sigmoid(struct importer *import);
int lower_hard_sigmoid(struct importer *import);
int lower_hard_swish(struct importer *import);

int lower_unary(struct importer *import);
int lower_gelu(struct importer *import);
int lower_elu(struct importer *import);
int lower_softsign(struct importer *import);
int lower_prelu(struct importer *import);
int lower_binary(struct importer *import);
int lower_many(struct importer *import);
int lower_power(struct importer *import);
int lower_modulo(struct importer *import);
int lower_where(struct importer *import);
int lower_clip(struct importer *import);
int lower_cast(struct importer *import);

int lower_reduce_mean(struct importer *import);
int lower_reduce(struct importer *import);
int lower_global_average_pool(struct importer *import);
int lower_global_max_pool(struct importer *import);
int lower_softmax(struct importer *import);
int lower_layer_norm(struct importer *import);
int lower_group_norm(struct importer *import);
int lower_lp_norm(struct importer *import);
int lower_top_k(struct importer *import);
int lower_arg_max(struct importer *import);
int lower_cum_sum(struct importer *import);

int lower_gemm(struct importer *import);
int lower_matmul(struct importer *import);
int lower_einsum(struct importer *import);
int lower_conv_transpose(struct importer *import);
int lower_quantize(struct importer *import);
int lower_dequantize(struct importer *import);

int lower_gather(struct importer *import);
int lower_gather_elements(struct importer *import);
int lower_gather_nd(struct importer *import);
int lower_scatter_elements(struct importer *import);
int lower_scatter_nd(struct importer *import);
int lower_expand(struct importer *import);
int lower_tile(struct importer *import);
int lower_range(struct importer *import);
int lower_non_zero(struct importer *import);
int lower_size(struct importer *import);
int lower_depth_to_space(struct importer *import);
int lower_space_to_depth(struct importer *import);
int lower_grid_sample(struct importer *import);

int lower_concat(struct importer *import);
int lower_split(struct importer *import);
int lower_slice(struct importer *import);
int lower_reshape(struct importer *import);
int lower_transpose(struct importer *import);
int lower_pad(struct importer *import);
int lower_flatten(struct importer *import);
int lower_squeeze(struct importer *import);
int lower_unsqueeze(struct importer *import);
int lower_constant(struct importer *import);
int lower_constant_of_shape(struct importer *import);
int lower_shape(struct importer *import);
int lower_identity(struct importer *import);

#endif
