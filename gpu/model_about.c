#include "gpu/model_about.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/err.h"
#include "gpu/onnx_import.h"

static const char *text_of(const char *text)
{
    return text != NULL ? text : "";
}

static bool is_ours(const char *domain)
{
    return domain == NULL || domain[0] == '\0' || strcmp(domain, "ai.onnx") == 0;
}

static const struct onnx_operator *find_operator(const char *name)
{
    for (const struct onnx_operator *op = OPERATORS; op->name != NULL; op++)
        if (strcmp(op->name, name) == 0)
            return op;
    return NULL;
}

/* Text of a hostile file for a terminal: what is no plain character becomes a question mark. */
static void keep_text(char *kept, size_t room, const char *text)
{
    snprintf(kept, room, "%s", text);
    for (char *c = kept; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
            *c = '?';
}

static void count_node(struct model_about *about, const Onnx__NodeProto *node)
{
    char                         name[sizeof about->operators[0].name], raw[128];
    struct model_about_operator *added;

    snprintf(raw, sizeof raw, "%s%s%s", is_ours(node->domain) ? "" : node->domain,
             is_ours(node->domain) ? "" : ".", text_of(node->op_type));
    keep_text(name, sizeof name, raw);
    for (int i = 0; i < about->operator_count; i++) {
        if (strcmp(about->operators[i].name, name) == 0) {
            about->operators[i].count++;
            return;
        }
    }
    if (about->operator_count == MODEL_ABOUT_OPERATORS)
        return;
    added = &about->operators[about->operator_count++];
    memcpy(added->name, name, sizeof name);
    added->count = 1;
    added->known = is_ours(node->domain) && find_operator(text_of(node->op_type)) != NULL;
    if (!added->known) {
        added->advice = onnx_operator_advice(node->op_type);
        about->unknown_count++;
    }
}

static const char *type_name(int type)
{
    static const char *const NAMES[] = {"?",       "float32", "uint8",  "int8",   "uint16",
                                        "int16",   "int32",   "int64",  "string", "bool",
                                        "float16", "float64", "uint32", "uint64"};

    return type > 0 && type < (int)(sizeof NAMES / sizeof *NAMES) ? NAMES[type] : "?";
}

static void keep_tensor(struct model_about_tensor *kept, const Onnx__ValueInfoProto *info)
{
    const Onnx__TensorTypeProto *tensor = info->type != NULL ? info->type->tensor_type : NULL;
    size_t                       used   = 0;

    *kept = (struct model_about_tensor){.shape = "?", .type = "?"};
    keep_text(kept->name, sizeof kept->name, text_of(info->name));
    if (tensor == NULL)
        return;
    snprintf(kept->type, sizeof kept->type, "%s", type_name((int)tensor->elem_type));
    for (size_t i = 0; tensor->shape != NULL && i < tensor->shape->n_dim; i++) {
        const Onnx__DimensionProto *dimension = tensor->shape->dim[i];
        const char                 *cross     = i > 0 ? "x" : "";
        int                         written;

        if (dimension->has_dim_value)
            written = snprintf(kept->shape + used, sizeof kept->shape - used, "%s%lld", cross,
                               (long long)dimension->dim_value);
        else
            written = snprintf(kept->shape + used, sizeof kept->shape - used, "%s?", cross);
        if (written < 0 || (size_t)written >= sizeof kept->shape - used)
            return;
        used += (size_t)written;
    }
}

static bool is_initializer(const Onnx__GraphProto *graph, const char *name)
{
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (graph->initializer[i]->name != NULL && strcmp(graph->initializer[i]->name, name) == 0)
            return true;
    return false;
}

static int by_count(const void *a, const void *b)
{
    const struct model_about_operator *x = a, *y = b;

    return x->count != y->count ? y->count - x->count : strcmp(x->name, y->name);
}

static void describe(struct model_about *about, const Onnx__ModelProto *proto)
{
    const Onnx__GraphProto *graph = proto->graph;
    char                    producer[128];

    snprintf(producer, sizeof producer, "%s%s%s", text_of(proto->producer_name),
             text_of(proto->producer_version)[0] != '\0' ? " " : "",
             text_of(proto->producer_version));
    keep_text(about->producer, sizeof about->producer, producer);
    about->ir_version = proto->ir_version;
    for (size_t i = 0; i < proto->n_opset_import; i++)
        if (is_ours(proto->opset_import[i]->domain))
            about->opset = proto->opset_import[i]->version;
    if (graph == NULL)
        return;
    about->node_count = (int64_t)graph->n_node;
    for (size_t i = 0; i < graph->n_node; i++)
        count_node(about, graph->node[i]);
    /* Old files list their weights among the inputs: few are looked for, of many tensors. */
    for (size_t i = 0; i < graph->n_input && i < 4096; i++)
        if (about->input_count < MODEL_ABOUT_TENSORS &&
            !is_initializer(graph, text_of(graph->input[i]->name)))
            keep_tensor(&about->input[about->input_count++], graph->input[i]);
    for (size_t i = 0; i < graph->n_output && about->output_count < MODEL_ABOUT_TENSORS; i++)
        keep_tensor(&about->output[about->output_count++], graph->output[i]);
    qsort(about->operators, (size_t)about->operator_count, sizeof *about->operators, by_count);
}

int model_about_read(struct model_about *about, const char *path, struct why *why)
{
    struct onnx_file file;
    uint8_t         *bytes = NULL;
    size_t           count = 0;
    int              rc;

    memset(about, 0, sizeof *about);
    rc                = model_read_file(path, &bytes, &count, why);
    about->file_bytes = (int64_t)count;
    if (rc == 0) {
        rc = onnx_file_open(&file, bytes, count, why);
        if (rc == 0) {
            describe(about, file.proto);
            onnx_file_close(&file);
        } else {
            why_prefix(why, "%s", path);
        }
    }
    free(bytes);
    return rc;
}

const char *model_about_known(int number)
{
    const struct onnx_operator *op = OPERATORS;

    while (op->name != NULL && number-- > 0)
        op++;
    return op->name;
}
