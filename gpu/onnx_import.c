#include "gpu/onnx_import.h"

#include "config/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Names of values, open addressing; a name stands for a value and for the node that computes it. */
struct name_entry {
    const char *name;   /* NULL: free */
    int         value;  /* -1 until it is known */
    int         source; /* ONNX node that computes it; -1: input or initializer */
};

struct name_table {
    struct name_entry *entries;
    size_t             room; /* a power of two */
};

static struct name_entry *find_name(const struct name_table *table, const char *name)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

    for (const char *c = name; *c != '\0'; c++)
        hash = (hash ^ (uint8_t)*c) * UINT64_C(1099511628211);
    for (size_t i = (size_t)(hash ^ hash >> 32);; i++) {
        struct name_entry *entry = &table->entries[i & (table->room - 1)];
        if (entry->name == NULL || strcmp(entry->name, name) == 0)
            return entry;
    }
}

static int add_name(struct importer *import, const char *name, int value, int source)
{
    struct name_entry *entry = find_name(import->names, name);

    if (entry->name != NULL)
        return why_set(import->why, ERR_INVALID, "the name '%.100s' is given to two things", name);
    entry->name   = name;
    entry->value  = value;
    entry->source = source;
    return 0;
}

/* Initializers, the input, and the names of everything that nodes compute. */
static int count_names(struct importer *import)
{
    const Onnx__GraphProto *proto = import->proto;
    size_t                  names = proto->n_initializer + proto->n_input, room = 64;

    if (proto->n_node > LIMIT_MODEL_NODES)
        return why_set(import->why, ERR_LIMIT, "the model has %zu nodes, at most %d are possible",
                       proto->n_node, LIMIT_MODEL_NODES);
    for (size_t i = 0; i < proto->n_node; i++)
        names += proto->node[i]->n_output;
    if (names > LIMIT_MODEL_VALUES)
        return why_set(import->why, ERR_LIMIT, "the model has %zu tensors, at most %d are possible",
                       names, LIMIT_MODEL_VALUES);
    while (room < names * 2)
        room *= 2;
    import->names->room    = room;
    import->names->entries = graph_memory_alloc(&import->graph->memory, room,
                                                sizeof *import->names->entries);
    return import->names->entries != NULL ? 0 : ERR_MEMORY;
}

static int add_initializers(struct importer *import)
{
    const Onnx__GraphProto *proto = import->proto;

    for (size_t i = 0; i < proto->n_initializer; i++) {
        const char *name = proto->initializer[i]->name;
        int         value, rc;
        if (name == NULL)
            return why_set(import->why, ERR_INVALID, "a constant of the model has no name");
        value = onnx_tensor_value(import->graph, &import->external, proto->initializer[i], name,
                                  import->why);
        if (value < 0)
            return value;
        rc = add_name(import, name, value, -1);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int import_add_name(struct importer *import, const char *name, int value)
{
    return add_name(import, name, value, -1);
}

bool import_has_name(const struct importer *import, const char *name)
{
    return find_name(import->names, name)->name != NULL;
}

static int add_node_names(struct importer *import)
{
    for (size_t i = 0; i < import->proto->n_node; i++) {
        const Onnx__NodeProto *node = import->proto->node[i];
        import->node                = node;
        if (node->n_output < 1 || node->n_output > LIMIT_NODE_OUTPUTS ||
            node->n_input > LIMIT_NODE_INPUTS)
            return import_refuse(import, ERR_INVALID,
                                 "has an impossible number of inputs or outputs");
        for (size_t k = 0; k < node->n_output; k++) {
            int rc;
            if (node->output[k][0] == '\0')
                continue;
            rc = add_name(import, node->output[k], -1, (int)i);
            if (rc != 0)
                return rc;
        }
    }
    return 0;
}

static const struct onnx_operator *find_operator(const char *name)
{
    for (const struct onnx_operator *op = OPERATORS; op->name != NULL; op++)
        if (strcmp(op->name, name) == 0)
            return op;
    return NULL;
}

static int check_operator(struct importer *import)
{
    const Onnx__NodeProto *node   = import->node;
    const char            *domain = node->domain != NULL ? node->domain : "";

    import->op = NULL;
    if (node->op_type != NULL && (domain[0] == '\0' || strcmp(domain, "ai.onnx") == 0))
        import->op = find_operator(node->op_type);
    if (import->op == NULL)
        return import_refuse(import, ERR_UNSUPPORTED, "the operator %s%s%.60s: %s", domain,
                             domain[0] != '\0' ? "." : "",
                             node->op_type != NULL ? node->op_type : "(none)",
                             onnx_operator_advice(node->op_type));
    return 0;
}

/* Whole numbers that a node reads while the model runs, as float32 beside their exact form. */
static int give_floats(struct importer *import, struct value *value)
{
    float *floats;

    if (value->ints == NULL || value->floats != NULL)
        return 0;
    floats = graph_memory_alloc(&import->graph->memory, (size_t)value->elements, sizeof *floats);
    if (floats == NULL)
        return ERR_MEMORY;
    for (int64_t i = 0; i < value->elements; i++)
        floats[i] = (float)value->ints[i];
    value->floats = floats;
    return 0;
}

static bool is_constant_node(const struct graph *graph, const struct node *node)
{
    for (int k = 0; k < node->input_count; k++)
        if (node->input[k] >= 0 && graph->values[node->input[k]].floats == NULL &&
            graph->values[node->input[k]].ints == NULL)
            return false;
    return true;
}

/* Name, operator and constants for the nodes from `first` on, which one ONNX node became. */
static int finish_nodes(struct importer *import, int first)
{
    struct graph *graph = import->graph;
    const char   *name  = graph_memory_text(&graph->memory, import->node->name);

    for (int i = first; i < graph->node_count; i++) {
        struct node *node = &graph->nodes[i];
        int          rc   = ERR_UNSUPPORTED;
        node->name        = name;
        node->op          = import->op->name;
        if (is_constant_node(graph, node))
            rc = graph_fold(graph, i);
        for (int k = 0; rc == ERR_UNSUPPORTED && k < node->input_count; k++)
            if (node->input[k] >= 0 && give_floats(import, &graph->values[node->input[k]]) != 0)
                rc = ERR_MEMORY;
        if (rc == ERR_MEMORY)
            return import_refuse(import, rc, "its constants need too much memory");
    }
    return 0;
}

static int lower_node(struct importer *import)
{
    const Onnx__NodeProto *node = import->node;
    int                    rc = check_operator(import), first = import->graph->node_count;

    if (rc != 0)
        return rc;
    import->input_count = (int)node->n_input;
    while (import->input_count > 0 && node->input[import->input_count - 1][0] == '\0')
        import->input_count--;
    if (import->input_count < import->op->input_min || import->input_count > import->op->input_max)
        return import_refuse(import, ERR_INVALID, "has %d inputs, wanted are %d to %d",
                             import->input_count, import->op->input_min, import->op->input_max);
    for (int i = 0; i < import->input_count; i++) {
        import->input[i] = -1;
        if (node->input[i][0] != '\0') {
            import->input[i] = find_name(import->names, node->input[i])->value;
            if (import->input[i] < 0)
                return import_refuse(import, ERR_UNSUPPORTED,
                                     "its input %d, '%.100s', is an output that its node does "
                                     "not give here",
                                     i, node->input[i]);
        } else if (i < import->op->input_min) {
            return import_refuse(import, ERR_INVALID, "its input %d is missing", i);
        }
    }
    for (size_t i = 0; i < node->n_output; i++)
        import->output[i] = -1;
    rc = import->op->lower(import);
    if (rc >= 0)
        rc = finish_nodes(import, first);
    for (size_t i = 0; rc == 0 && i < node->n_output; i++) {
        if (node->output[i][0] == '\0')
            continue;
        find_name(import->names, node->output[i])->value = import->output[i];
        if (import->output[i] >= 0 && import->graph->values[import->output[i]].name == NULL)
            import->graph->values[import->output[i]].name = graph_memory_text(
                &import->graph->memory, node->output[i]);
    }
    return rc;
}

/* Depth-first order with its own stack: a file may chain thousands of nodes. */
struct visit {
    int    node;
    size_t next_input;
};

enum { VISIT_NEW, VISIT_OPEN, VISIT_DONE };

static int visit_from(struct importer *import, int start, struct visit *stack, uint8_t *state)
{
    int depth = 0;

    if (state[start] == VISIT_DONE)
        return 0;
    stack[depth++] = (struct visit){.node = start};
    state[start]   = VISIT_OPEN;
    while (depth > 0) {
        struct visit            *top  = &stack[depth - 1];
        const Onnx__NodeProto   *node = import->proto->node[top->node];
        const struct name_entry *entry;
        int                      rc;

        import->node = node;
        if (top->next_input == node->n_input) {
            rc = lower_node(import);
            if (rc != 0)
                return rc;
            state[top->node] = VISIT_DONE;
            depth--;
            continue;
        }
        entry = find_name(import->names, node->input[top->next_input]);
        if (node->input[top->next_input++][0] == '\0')
            continue;
        if (entry->name == NULL)
            return import_refuse(import, ERR_INVALID, "its input '%.100s' comes from nowhere",
                                 node->input[top->next_input - 1]);
        if (entry->source < 0 || state[entry->source] == VISIT_DONE) {
            if (entry->value < 0)
                return import_refuse(import, ERR_UNSUPPORTED,
                                     "uses '%.100s', an optional output that is not computed",
                                     entry->name);
            continue;
        }
        if (state[entry->source] == VISIT_OPEN)
            return import_refuse(import, ERR_INVALID, "depends on itself through '%.100s'",
                                 entry->name);
        state[entry->source] = VISIT_OPEN;
        stack[depth++]       = (struct visit){.node = entry->source};
    }
    return 0;
}

/* An output must be computed by a node of its own, so that a backend can place it. */
static int place_output(struct importer *import, int value)
{
    struct graph  *graph   = import->graph;
    struct value   source  = graph->values[value];
    struct strided strided = {.rank = 1, .dimension = {source.elements}, .stride = {1}};
    int            copy, node;

    if (source.elements < 1)
        return why_set(import->why, ERR_UNSUPPORTED, "output '%.100s' is empty", source.name);
    if (!source.is_input && source.floats == NULL && source.ints == NULL)
        return value;
    if (give_floats(import, &graph->values[value]) != 0)
        return why_set(import->why, ERR_MEMORY, "the model needs too much memory");
    copy = graph_add_value(graph, source.name, VALUE_F32, source.rank, source.dimension);
    if (copy < 0)
        return copy;
    node = graph_add_node(graph, NODE_COPY, 1, &value, copy);
    if (node < 0)
        return node;
    graph->nodes[node].strided = strided;
    graph->nodes[node].name    = source.name;
    graph->nodes[node].op      = "Identity";
    return copy;
}

/* Only what the outputs need is lowered: the rest of a file can be anything. */
static int import_outputs(struct importer *import)
{
    const Onnx__GraphProto *proto = import->proto;
    struct graph           *graph = import->graph;
    struct visit           *stack;
    uint8_t                *state;

    stack = graph_memory_alloc(&graph->memory, proto->n_node + 1, sizeof *stack);
    state = graph_memory_alloc(&graph->memory, proto->n_node + 1, 1);
    if (stack == NULL || state == NULL)
        return why_set(import->why, ERR_MEMORY, "the model needs too much memory");
    if (proto->n_output < 1 || proto->n_output > MODEL_MAX_OUTPUTS)
        return why_set(import->why, ERR_UNSUPPORTED,
                       "the model has %zu outputs, wanted are 1 to %d", proto->n_output,
                       MODEL_MAX_OUTPUTS);
    for (size_t i = 0; i < proto->n_output; i++) {
        const char              *name  = proto->output[i]->name;
        const struct name_entry *entry = name != NULL ? find_name(import->names, name) : NULL;
        int                      rc;
        if (entry == NULL || entry->name == NULL)
            return why_set(import->why, ERR_INVALID, "output '%.100s' comes from nowhere",
                           name != NULL ? name : "");
        rc = entry->source >= 0 ? visit_from(import, entry->source, stack, state) : 0;
        if (rc != 0)
            return rc;
        if (entry->value < 0)
            return why_set(import->why, ERR_UNSUPPORTED, "output '%.100s' is not computed", name);
        rc = place_output(import, entry->value);
        if (rc < 0)
            return rc;
        graph->outputs[i]   = rc;
        graph->output_count = (int)i + 1;
    }
    return 0;
}

static int64_t opset_of(const Onnx__ModelProto *model)
{
    for (size_t i = 0; i < model->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *opset = model->opset_import[i];
        if (opset->domain == NULL || opset->domain[0] == '\0' ||
            strcmp(opset->domain, "ai.onnx") == 0)
            return opset->has_version ? opset->version : 1;
    }
    return 1;
}

int onnx_import(struct graph *graph, const Onnx__ModelProto *model,
                const struct model_options *options, struct why *why)
{
    struct name_table names  = {NULL, 0};
    struct importer   import = {
          .graph    = graph,
          .model    = model,
          .proto    = model->graph,
          .options  = options,
          .external = {.folder = options != NULL ? options->folder : NULL},
          .opset    = opset_of(model),
          .why      = why,
          .names    = &names,
    };
    int rc;

    if (import.opset < ONNX_OPSET_MIN)
        return why_set(why, ERR_UNSUPPORTED,
                       "the file is of opset %lld, possible are %d and later: convert it "
                       "(onnx.version_converter) or export it again",
                       (long long)import.opset, ONNX_OPSET_MIN);
    rc = count_names(&import);
    if (rc == 0)
        rc = add_initializers(&import);
    if (rc == 0)
        rc = import_inputs(&import);
    if (rc == 0)
        rc = add_node_names(&import);
    if (rc == 0)
        rc = import_outputs(&import);
    graph->has_external = import.external.bytes > 0;
    memcpy(graph->external_digest, import.external.digest, sizeof graph->external_digest);
    return rc;
}
