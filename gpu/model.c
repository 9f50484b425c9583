#include "gpu/model.h"

#include "config/err.h"
#include "config/limits.h"
#include "config/plain_file.h"
#include "gpu/model_traits.h"
#include "gpu/onnx_import.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The graph holds the weights, a second form of those that were folded, and the tables around
 * them: this many times the file is plenty, and bounds what a hostile one can take. */
#define MEMORY_FACTOR 16

#define METADATA_MAX 64

struct model {
    struct model_info info;
    struct graph      graph;
};

const struct graph *model_graph(const struct model *model)
{
    return &model->graph;
}

const struct model_info *model_info(const struct model *model)
{
    return &model->info;
}

static void describe_tensor(const struct value *value, struct model_tensor *tensor)
{
    snprintf(tensor->name, sizeof tensor->name, "%s", value->name != NULL ? value->name : "");
    tensor->dimension_count = value->rank;
    memcpy(tensor->dimension, value->dimension, sizeof tensor->dimension);
}

static int copy_metadata(struct model *model, const Onnx__ModelProto *proto)
{
    struct graph_memory *memory = &model->graph.memory;
    const char         **keys   = graph_memory_alloc(memory, METADATA_MAX, sizeof *keys);
    const char         **values = graph_memory_alloc(memory, METADATA_MAX, sizeof *values);
    int                  count  = 0;

    if (keys == NULL || values == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < proto->n_metadata_props && count < METADATA_MAX; i++) {
        keys[count]   = graph_memory_text(memory, proto->metadata_props[i]->key);
        values[count] = graph_memory_text(memory, proto->metadata_props[i]->value);
        if (keys[count] == NULL || values[count] == NULL)
            return ERR_MEMORY;
        count++;
    }
    if (count == 0)
        return 0;
    model->info.metadata_keys   = keys;
    model->info.metadata_values = values;
    model->info.metadata_count  = count;
    return 0;
}

static int describe_model(struct model *model, struct why *why)
{
    struct model_info *info = &model->info;

    describe_tensor(&model->graph.values[model->graph.input], &info->input);
    info->size_is_open = model->graph.input_is_open;
    info->output_count = model->graph.output_count;
    for (int i = 0; i < info->output_count; i++)
        describe_tensor(&model->graph.values[model->graph.outputs[i]], &info->output[i]);
    model_find_traits(info, &model->graph);
    info->parameters    = graph_parameters(&model->graph);
    info->multiply_adds = graph_multiply_adds(&model->graph);
    if (info->multiply_adds > LIMIT_MODEL_MULTIPLY_ADDS)
        return why_set(why, ERR_LIMIT, "one picture would cost more than %lld multiply-adds",
                       (long long)LIMIT_MODEL_MULTIPLY_ADDS);
    return 0;
}

static int load_proto(struct model *model, const uint8_t *bytes, size_t count,
                      const struct model_options *options, struct why *why)
{
    struct onnx_file file;
    int              rc = onnx_file_open(&file, bytes, count, why);

    if (rc != 0)
        return rc;
    graph_init(&model->graph, count * MEMORY_FACTOR + (size_t)LIMIT_MODEL_EXTRA_BYTES);
    rc = onnx_import(&model->graph, file.proto, options, why);
    if (rc == 0)
        rc = graph_optimize(&model->graph, why);
    if (rc == 0)
        rc = copy_metadata(model, file.proto);
    onnx_file_close(&file);
    if (rc == 0 && options != NULL && options->twin != NULL)
        graph_pair(&model->graph, &options->twin->graph);
    return rc == 0 ? describe_model(model, why) : rc;
}

static void write_digest(const struct model *model, const uint8_t *bytes, size_t count,
                         char text[2 * GRAPH_DIGEST_BYTES + 1])
{
    const struct graph *graph = &model->graph;
    uint8_t             digest[GRAPH_DIGEST_BYTES];

    crypto_generichash(digest, sizeof digest, bytes, count,
                       graph->has_external ? graph->external_digest : NULL,
                       graph->has_external ? sizeof graph->external_digest : 0);
    sodium_bin2hex(text, 2 * GRAPH_DIGEST_BYTES + 1, digest, sizeof digest);
}

bool model_is_made_of(const struct model *model, const uint8_t *bytes, size_t count)
{
    char text[sizeof model->info.digest];

    write_digest(model, bytes, count, text);
    return strcmp(text, model->info.digest) == 0;
}

int model_load_bytes(struct model **out, const uint8_t *bytes, size_t count, const char *name,
                     struct why *why)
{
    return model_load_bytes_with(out, bytes, count, name, NULL, why);
}

int model_load_bytes_with(struct model **out, const uint8_t *bytes, size_t count, const char *name,
                          const struct model_options *options, struct why *why)
{
    struct model *model;
    int           rc;

    *out = NULL;
    if (count > LIMIT_FILE_MODEL_BYTES)
        return why_set(why, ERR_LIMIT, "%s: %zu bytes, at most %d are possible", name, count,
                       LIMIT_FILE_MODEL_BYTES);
    model = calloc(1, sizeof *model);
    if (model == NULL)
        return why_set(why, ERR_MEMORY, "%s: out of memory", name);
    snprintf(model->info.path, sizeof model->info.path, "%s", name);
    why_set(why, 0, "out of memory");
    rc = load_proto(model, bytes, count, options, why);
    if (rc != 0) {
        if (options != NULL && options->height > 0 && rc != ERR_MEMORY)
            why_prefix(why, "at %lld x %lld", (long long)options->width,
                       (long long)options->height);
        why_prefix(why, "%s", name);
        model_close(&model);
        return rc;
    }
    write_digest(model, bytes, count, model->info.digest);
    *out = model;
    return 0;
}

int model_read_file(const char *path, uint8_t **bytes, size_t *count, struct why *why)
{
    int64_t size = 0;
    int     fd = plain_file_open(path, PLAIN_FILE_LINKS, &size, why), rc = 0;
    size_t  done = 0;

    if (fd < 0) {
        why_prefix(why, "%s", path);
        return fd;
    }
    if (size > LIMIT_FILE_MODEL_BYTES)
        rc = why_set(why, ERR_LIMIT, "%s: %lld bytes, at most %d are possible", path,
                     (long long)size, LIMIT_FILE_MODEL_BYTES);
    else if ((*bytes = malloc((size_t)size + 1)) == NULL)
        rc = why_set(why, ERR_MEMORY, "%s: out of memory", path);
    while (rc == 0 && done < (size_t)size) {
        ssize_t got = read(fd, *bytes + done, (size_t)size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            rc = why_set(why, ERR_IO, "%s: could not be read to its end", path);
        else
            done += (size_t)got;
    }
    *count = done;
    close(fd);
    return rc;
}

int model_load(struct model **out, const char *path, struct why *why)
{
    const struct model_options as_it_is = {.folder = NULL};

    return model_load_with(out, path, &as_it_is, why);
}

int model_load_with(struct model **out, const char *path, const struct model_options *options,
                    struct why *why)
{
    struct model_options chosen = *options;
    const char          *slash  = strrchr(path, '/');
    char                 folder[sizeof((struct model_info *)NULL)->path];
    uint8_t             *bytes = NULL;
    size_t               count = 0;
    int                  rc;

    *out = NULL;
    snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - path + 1) : 1,
             slash != NULL ? path : ".");
    if (chosen.folder == NULL)
        chosen.folder = folder;
    rc = model_read_file(path, &bytes, &count, why);
    if (rc == 0)
        rc = model_load_bytes_with(out, bytes, count, path, &chosen, why);
    free(bytes);
    return rc;
}

void model_close(struct model **model)
{
    if (*model == NULL)
        return;
    graph_free(&(*model)->graph);
    free(*model);
    *model = NULL;
}
