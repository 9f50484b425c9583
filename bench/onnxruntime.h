/* bench/onnxruntime.h: ONNX Runtime's C interface, as far as the measurement needs it.
 *
 * The library comes out of the package onnxruntime-node and is loaded at run time; its table of
 * functions keeps its order from version to version, so that the places below are all that must be
 * known. A failing call ends the measurement: there is nothing to compare with. */
#ifndef SIGHTLINE_BENCH_ONNXRUNTIME_H
#define SIGHTLINE_BENCH_ONNXRUNTIME_H

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "gpu/model.h"

#define ONNXRUNTIME_API_VERSION 13 /* the oldest that has all of the table below */

struct ort_status;
struct ort_value;

/* Places in the table, counted from its first function. */
enum ort_place {
    ORT_ERROR_MESSAGE         = 2,
    ORT_CREATE_ENVIRONMENT    = 3,
    ORT_CREATE_SESSION        = 7,
    ORT_RUN                   = 9,
    ORT_CREATE_OPTIONS        = 10,
    ORT_SET_INTRA_OP_THREADS  = 24,
    ORT_SET_INTER_OP_THREADS  = 25,
    ORT_CREATE_TENSOR_OF_DATA = 49,
    ORT_TENSOR_DATA           = 51,
    ORT_CREATE_CPU_MEMORY     = 69,
    ORT_PLACES                = 70,
};

typedef void (*ort_function)(void);

struct ort_library {
    ort_function table[ORT_PLACES];
};

struct ort_base {
    const struct ort_library *(*api)(uint32_t version);
    const char *(*version)(void);
};

struct ort {
    const struct ort_library *api;
    const char               *version;
    void                     *environment, *memory;
};

struct ort_session {
    const struct ort        *ort;
    const struct model_info *model;
    void                    *session;
    const char              *output_names[MODEL_MAX_OUTPUTS];
    struct ort_value        *input, *outputs[MODEL_MAX_OUTPUTS]; /* filled again by every run */
};

static void ort_check(const struct ort *ort, struct ort_status *status)
{
    const char *(*message)(const struct ort_status *);

    if (status == NULL)
        return;
    message = (const char *(*)(const struct ort_status *))ort->api->table[ORT_ERROR_MESSAGE];
    fprintf(stderr, "ONNX Runtime: %s\n", message(status));
    exit(1);
}

/* Lives until the end of the program. */
static void ort_open(struct ort *ort, const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol  = library != NULL ? dlsym(library, "OrtGetApiBase") : NULL;
    const struct ort_base *(*get_base)(void);
    struct ort_status *(*create_environment)(int level, const char *name, void **out);
    struct ort_status *(*create_memory)(int allocator, int kind, void **out);

    if (symbol == NULL) {
        fprintf(stderr, "ONNX Runtime cannot be loaded: %s\n", dlerror());
        exit(1);
    }
    *(void **)&get_base = symbol;
    ort->version        = get_base()->version();
    ort->api            = get_base()->api(ONNXRUNTIME_API_VERSION);
    create_environment  = (struct ort_status * (*)(int, const char *, void **))
                             ort->api->table[ORT_CREATE_ENVIRONMENT];
    create_memory = (struct ort_status * (*)(int, int, void **))
                        ort->api->table[ORT_CREATE_CPU_MEMORY];
    ort_check(ort, create_environment(3, "bench", &ort->environment)); /* errors only */
    ort_check(ort, create_memory(1, 0, &ort->memory));                 /* from its arena */
}

/* `input` is read by every run. Optimisations are on by default. */
static void ort_session_open(struct ort_session *session, const struct ort *ort,
                             const struct model_info *model, const char *path, float *input,
                             int threads)
{
    const ort_function *table = ort->api->table;
    void               *options;
    size_t              bytes                     = sizeof *input;
    struct ort_status *(*create_options)(void **) = (struct ort_status * (*)(void **))
        table[ORT_CREATE_OPTIONS];
    struct ort_status *(*set_intra)(void *, int) = (struct ort_status * (*)(void *, int))
        table[ORT_SET_INTRA_OP_THREADS];
    struct ort_status *(*set_inter)(void *, int) = (struct ort_status * (*)(void *, int))
        table[ORT_SET_INTER_OP_THREADS];
    struct ort_status *(*create)(void *, const char *, void *, void **) =
        (struct ort_status * (*)(void *, const char *, void *, void **)) table[ORT_CREATE_SESSION];
    struct ort_status *(*create_tensor)(
        void *, void *, size_t, const int64_t *, size_t, int,
        struct ort_value **) = (struct ort_status * (*)(void *, void *, size_t, const int64_t *,
                                                        size_t, int, struct ort_value **))
        table[ORT_CREATE_TENSOR_OF_DATA];

    *session = (struct ort_session){.ort = ort, .model = model};
    ort_check(ort, create_options(&options));
    ort_check(ort, set_intra(options, threads));
    ort_check(ort, set_inter(options, 1));
    ort_check(ort, create(ort->environment, path, options, &session->session));
    for (int i = 0; i < model->input.dimension_count; i++)
        bytes *= (size_t)model->input.dimension[i];
    ort_check(ort, create_tensor(ort->memory, input, bytes, model->input.dimension,
                                 (size_t)model->input.dimension_count, 1, &session->input));
    for (int i = 0; i < model->output_count; i++)
        session->output_names[i] = model->output[i].name;
}

static void ort_session_run(struct ort_session *session)
{
    const char *input_name = session->model->input.name;
    struct ort_status *(*run)(void *, void *, const char *const *, struct ort_value *const *,
                              size_t, const char *const *, size_t, struct ort_value **) =
        (struct ort_status * (*)(void *, void *, const char *const *, struct ort_value *const *,
                                 size_t, const char *const *, size_t, struct ort_value **))
            session->ort->api->table[ORT_RUN];

    ort_check(session->ort,
              run(session->session, NULL, &input_name, &session->input, 1, session->output_names,
                  (size_t)session->model->output_count, session->outputs));
}

static const float *ort_session_output(const struct ort_session *session, int index)
{
    void *data;
    struct ort_status *(*tensor_data)(
        struct ort_value *, void **) = (struct ort_status * (*)(struct ort_value *, void **))
                                           session->ort->api->table[ORT_TENSOR_DATA];

    ort_check(session->ort, tensor_data(session->outputs[index], &data));
    return data;
}

#endif
