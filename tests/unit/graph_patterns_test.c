// links: gpu
// Functions and norms that exporters write out as several nodes: each becomes one node, and gives
// what it gives when it cannot become one, because its constants are computed from the picture.
#include "gpu/graph.h"

#include "gpu/cpu/backend_cpu.h"
#include "tests/onnx_writer.h"
#include "tests/tap.h"

#include <math.h>

#define ROWS    6
#define COLUMNS 40

struct pattern {
    const char    *name;
    enum node_kind kind;   /* of the one node that it becomes; NODE_REMOVED: it stays as it is */
    int            detail; /* which function, activation, or how many inputs of a norm are there */
    const char    *lines;  /* OPERATOR inputs output [attributes]; constants are cNUMBER */
};

static const struct pattern PATTERNS[] = {
    {"GELU, x times the gate, then half", NODE_UNARY, UNARY_GELU,
     "Div x,c1.41421356 a;Erf a b;Add b,c1 g;Mul x,g h;Mul h,c0.5 y"},
    {"GELU, half of x first", NODE_UNARY, UNARY_GELU,
     "Mul x,c0.70710678 a;Erf a b;Add c1,b g;Mul x,c0.5 h;Mul h,g y"},
    {"GELU, half of the gate first", NODE_UNARY, UNARY_GELU,
     "Mul c0.70710678,x a;Erf a b;Add b,c1 g;Mul g,c0.5 h;Mul x,h y"},
    {"GELU, divided by two", NODE_UNARY, UNARY_GELU,
     "Div x,c1.41421356 a;Erf a b;Add b,c1 g;Mul g,x h;Div h,c2 y"},
    {"GELU with tanh and a power", NODE_UNARY, UNARY_GELU_TANH,
     "Pow x,c3 p;Mul p,c0.044715 q;Add x,q r;Mul r,c0.79788456 s;Tanh s t;Add t,c1 g;"
     "Mul x,c0.5 h;Mul h,g y"},
    {"GELU with tanh and products", NODE_UNARY, UNARY_GELU_TANH,
     "Mul x,x p;Mul p,x o;Mul c0.044715,o q;Add q,x r;Mul c0.79788456,r s;Tanh s t;Add c1,t g;"
     "Mul g,x h;Mul c0.5,h y"},
    {"GELU with another factor is none", NODE_REMOVED, 0,
     "Div x,c1.41421356 a;Erf a b;Add b,c1 g;Mul x,g h;Mul h,c0.6 y"},
    {"GELU of another width is none", NODE_REMOVED, 0,
     "Div x,c1.7 a;Erf a b;Add b,c1 g;Mul x,g h;Mul h,c0.5 y"},
    {"GELU of something else times x is none", NODE_REMOVED, 0,
     "Abs x z;Div z,c1.41421356 a;Erf a b;Add b,c1 g;Mul x,g h;Mul h,c0.5 y"},
    {"Mish", NODE_UNARY, UNARY_MISH, "Softplus x a;Tanh a g;Mul x,g y"},
    {"Mish, the gate first", NODE_UNARY, UNARY_MISH, "Softplus x a;Tanh a g;Mul g,x y"},
    {"Mish times two is Mish and a product", NODE_REMOVED, 0,
     "Softplus x a;Tanh a g;Mul g,x h;Mul h,c2 y"},
    {"hard swish, divided at the end", NODE_ACTIVATION, ACTIVATION_HARD_SWISH,
     "Add x,c3 a;Clip a,c0,c6 g;Mul x,g h;Div h,c6.0 y"},
    {"hard swish, the gate divided", NODE_ACTIVATION, ACTIVATION_HARD_SWISH,
     "Add c3,x a;Clip a,c0,c6 g;Div g,c6.0 h;Mul x,h y"},
    {"hard swish, by a factor", NODE_ACTIVATION, ACTIVATION_HARD_SWISH,
     "Add c3,x a;Clip a,c0,c6 g;Mul g,c0.16666667 h;Mul h,x y"},
    {"hard sigmoid", NODE_ACTIVATION, ACTIVATION_HARD_SIGMOID,
     "Add x,c3 a;Clip a,c0,c6 g;Div g,c6.0 y"},
    {"hard swish cut at 5 is none", NODE_REMOVED, 0,
     "Add x,c3 a;Clip a,c0,c5 g;Mul x,g h;Div h,c6.0 y"},
    {"layer norm", NODE_LAYER_NORM, 1,
     "ReduceMean x m axes:is=-1;Sub x,m d;Pow d,c2 s;ReduceMean s v axes:is=-1;Add v,c0.001 e;"
     "Sqrt e r;Div d,r y"},
    {"layer norm with scale", NODE_LAYER_NORM, 2,
     "ReduceMean x m axes:is=-1;Sub x,m d;Mul d,d s;ReduceMean s v axes:is=-1;Add c0.001,v e;"
     "Sqrt e r;Div d,r n;Mul n,scale y"},
    {"layer norm with shift", NODE_LAYER_NORM, 2,
     "ReduceMean x m axes:is=-1;Sub x,m d;Mul d,d s;ReduceMean s v axes:is=-1;Add c0.001,v e;"
     "Sqrt e r;Div d,r n;Add shift,n y"},
    {"layer norm with scale and shift, the difference twice", NODE_LAYER_NORM, 3,
     "ReduceMean x m axes:is=-1;Sub x,m d;Sub x,m f;Pow f,c2 s;ReduceMean s v axes:is=-1;"
     "Add v,c0.001 e;Sqrt e r;Div d,r n;Mul scale,n o;Add o,shift y"},
    {"layer norm over all of a picture", NODE_LAYER_NORM, 1,
     "ReduceMean x m axes:is=1,2;Sub x,m d;Pow d,c2 s;ReduceMean s v axes:is=1,2;Add v,c0.001 e;"
     "Sqrt e r;Div d,r y"},
    {"a norm over rows but not columns is none", NODE_REMOVED, 0,
     "ReduceMean x m axes:is=1;Sub x,m d;Pow d,c2 s;ReduceMean s v axes:is=1;Add v,c0.001 e;"
     "Sqrt e r;Div d,r y"},
    {"a variance over other axes is none", NODE_REMOVED, 0,
     "ReduceMean x m axes:is=-1;Sub x,m d;Pow d,c2 s;ReduceMean s v axes:is=1,2;Add v,c0.001 e;"
     "Sqrt e r;Div d,r y"},
};

static const int64_t SIZE[] = {1, ROWS, COLUMNS};

/* A constant, or, to keep the pattern from being seen, a sum with a zero from the picture. What is
 * multiplied by x is then multiplied by another sum with that zero. */
static void write_constant(struct onnx_writer *onnx, const char *name, int rank,
                           const int64_t *size, const float *numbers, bool hidden)
{
    char plain[32], inputs[64];

    if (!hidden) {
        onnx_floats(onnx, name, rank, size, numbers);
        return;
    }
    snprintf(plain, sizeof plain, "plain_%s", name);
    snprintf(inputs, sizeof inputs, "%s,zero", plain);
    onnx_floats(onnx, plain, rank, size, numbers);
    onnx_node(onnx, "Add", inputs, name, "");
}

static void write_numbers(struct onnx_writer *onnx, const char *lines, bool hidden)
{
    char seen[512] = " ";

    for (const char *at = strpbrk(lines, "c"); at != NULL; at = strpbrk(at + 1, "c")) {
        char  name[24], mark[32];
        float number = strtof(at + 1, NULL);
        if ((at[-1] != ' ' && at[-1] != ',') || at[1] < '0' || at[1] > '9')
            continue;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, " ,;"), at);
        snprintf(mark, sizeof mark, " %s ", name);
        if (strstr(seen, mark) != NULL)
            continue;
        snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%s ", name);
        /* The limits of a Clip must be constants. */
        write_constant(onnx, name, 0, NULL, &number,
                       hidden && strcmp(name, "c0") != 0 && strcmp(name, "c5") != 0 &&
                           strcmp(name, "c6") != 0);
    }
}

static void write_pattern(struct onnx_writer *onnx, const struct pattern *pattern, bool hidden)
{
    char    lines[512], *next;
    float   scale[COLUMNS], shift[COLUMNS], zero = 0.0F;
    int64_t width = COLUMNS;

    for (int i = 0; i < COLUMNS; i++) {
        scale[i] = 0.5F + 0.05F * (float)i;
        shift[i] = 1.0F - 0.1F * (float)i;
    }
    onnx_input(onnx, "x", 3, SIZE);
    onnx_output(onnx, "y");
    onnx_floats(onnx, "nothing", 0, NULL, &zero);
    if (hidden) {
        onnx_node(onnx, "ReduceMax", "x", "largest", "keepdims:i=0");
        onnx_node(onnx, "Mul", "largest,nothing", "zero", "");
        onnx_node(onnx, "Add", "x,zero", "x_again", "");
    }
    write_numbers(onnx, pattern->lines, hidden);
    write_constant(onnx, "scale", 1, &width, scale, hidden);
    write_constant(onnx, "shift", 1, &width, shift, hidden);
    snprintf(lines, sizeof lines, "%s", pattern->lines);
    for (char *line = strtok_r(lines, ";", &next); line != NULL;
         line       = strtok_r(NULL, ";", &next)) {
        char *rest = NULL, *type = strtok_r(line, " ", &rest), *inputs = strtok_r(NULL, " ", &rest);
        char *output = strtok_r(NULL, " ", &rest), *attributes = strtok_r(NULL, " ", &rest);
        char  again[64];
        if (hidden && strcmp(type, "Mul") == 0 && strncmp(inputs, "x,", 2) == 0) {
            snprintf(again, sizeof again, "x_again,%s", inputs + 2);
            inputs = again;
        } else if (hidden && strcmp(type, "Mul") == 0 && strstr(inputs, ",x") != NULL) {
            snprintf(again, sizeof again, "%.*s,x_again", (int)strcspn(inputs, ","), inputs);
            inputs = again;
        }
        onnx_node(onnx, type, inputs, output, attributes != NULL ? attributes : "");
    }
}

/* The network on one picture; *out has its numbers. Returns the model, for a look at its graph. */
static struct model *run(const struct pattern *pattern, bool hidden, float *out)
{
    struct onnx_writer onnx = {.opset = 13};
    struct why         why  = {""};
    struct model      *model;
    struct runner     *runner;
    float              x[ROWS * COLUMNS];
    size_t             count;

    for (int i = 0; i < ROWS * COLUMNS; i++)
        x[i] = 7.0F * sinf((float)i * 0.37F) + 0.01F * (float)i;
    write_pattern(&onnx, pattern, hidden);
    const uint8_t *bytes = onnx_finish(&onnx, &count);
    if (model_load_bytes(&model, bytes, count, pattern->name, &why) != 0 ||
        backend_cpu_open_with(&runner, model, NULL, PRECISION_F32, &why) != 0) {
        diag("%s", why.text);
        onnx_free(&onnx);
        return NULL;
    }
    BACKEND_CPU.run(runner, x, 1, &why);
    memcpy(out, BACKEND_CPU.output(runner, 0), sizeof x);
    BACKEND_CPU.close(&runner);
    onnx_free(&onnx);
    return model;
}

static int detail_of(const struct node *node)
{
    if (node->kind == NODE_UNARY)
        return (int)node->unary;
    if (node->kind == NODE_ACTIVATION)
        return (int)node->activation.kind;
    return (node->input[0] >= 0) + (node->input[1] >= 0) + (node->input[2] >= 0);
}

static int live_nodes(const struct graph *graph, const struct node **last)
{
    int live = 0;

    for (int i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].kind != NODE_REMOVED) {
            live++;
            *last = &graph->nodes[i];
        }
    return live;
}

static void test_pattern(const struct pattern *pattern)
{
    float              fused[ROWS * COLUMNS], apart[ROWS * COLUMNS];
    struct model      *one = run(pattern, false, fused), *several = run(pattern, true, apart);
    const struct node *last  = NULL;
    double             worst = 0;
    int                live;

    if (one == NULL || several == NULL) {
        ok(false, "%s runs", pattern->name);
        goto done;
    }
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        double error = fabs((double)fused[i] - (double)apart[i]) / (1 + fabs((double)apart[i]));
        worst        = error <= worst ? worst : error;
    }
    live = live_nodes(model_graph(one), &last);
    if (pattern->kind == NODE_REMOVED)
        ok(live >= 2 && worst < 4e-6, "%s: %d nodes, error %.1e", pattern->name, live, worst);
    else
        ok(live == 1 && last->kind == pattern->kind && detail_of(last) == pattern->detail &&
               worst < 4e-6,
           "%s: one node, error %.1e", pattern->name, worst);
    live = live_nodes(model_graph(several), &last);
    ok(live > 4, "%s: it is compared with %d nodes", pattern->name, live);
done:
    model_close(&one);
    model_close(&several);
}

int main(void)
{
    for (size_t i = 0; i < sizeof PATTERNS / sizeof PATTERNS[0]; i++)
        test_pattern(&PATTERNS[i]);
    return done_testing();
}
