// links: gpu
// A call of oneDNN that fails is an error of that run, not the boxes of the picture before; and the next
// run is good again. The library's function is this program's here, which may say no.
#include "gpu/cpu/backend_cpu.h"

#include "config/err.h"
#include "tests/onnx_writer.h"
#include "tests/tap.h"

#include <dlfcn.h>
#include <dnnl.h>

enum { ROWS = 1, INSIDE = 8, COLUMNS = 4 };

static int calls, failing_call; /* from 1; 0: none */

dnnl_status_t dnnl_primitive_execute(const_dnnl_primitive_t primitive, dnnl_stream_t stream,
                                     int count, const dnnl_exec_arg_t *arguments)
{
    static dnnl_status_t (*real)(const_dnnl_primitive_t, dnnl_stream_t, int,
                                 const dnnl_exec_arg_t *);

    if (real == NULL) {
        void *found = dlsym(RTLD_NEXT, "dnnl_primitive_execute");
        if (found == NULL)
            abort();
        memcpy(&real, &found, sizeof real);
    }
    return ++calls == failing_call ? dnnl_out_of_memory : real(primitive, stream, count, arguments);
}

/* Two products, one behind the other. */
static struct model *products(void)
{
    const float        weights[INSIDE * INSIDE] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct onnx_writer onnx                     = {.opset = 13};
    struct why         why                      = {""};
    struct model      *model;
    const uint8_t     *bytes;
    size_t             count;

    onnx_input(&onnx, "x", 2, (int64_t[]){ROWS, INSIDE});
    onnx_output(&onnx, "y");
    onnx_floats(&onnx, "a", 2, (int64_t[]){INSIDE, INSIDE}, weights);
    onnx_floats(&onnx, "b", 2, (int64_t[]){INSIDE, COLUMNS}, weights);
    onnx_node(&onnx, "MatMul", "x,a", "m", "");
    onnx_node(&onnx, "MatMul", "m,b", "y", "");
    bytes = onnx_finish(&onnx, &count);
    if (model_load_bytes(&model, bytes, count, "products", &why) != 0) {
        diag("%s", why.text);
        abort();
    }
    onnx_free(&onnx);
    return model;
}

int main(void)
{
    const float    input[INSIDE] = {1, 1, 1, 1, 1, 1, 1, 1};
    struct model  *model         = products();
    struct why     why           = {""};
    struct runner *runner;
    float          first;
    int            each, refused = 0;

    if (backend_cpu_open_with(&runner, model, NULL, PRECISION_F32, &why) != 0) {
        ok(false, "%s", why.text);
        return done_testing();
    }
    calls = 0;
    is_int(BACKEND_CPU.run(runner, input, 1, &why), 0, "two products");
    each  = calls;
    first = BACKEND_CPU.output(runner, 0)[0];
    ok(each >= 2, "are %d calls of oneDNN", each);
    for (failing_call = 1; failing_call <= each; failing_call++) {
        calls = 0;
        refused += BACKEND_CPU.run(runner, input, 1, &why) == ERR_MEMORY;
    }
    is_int(refused, each, "each of them may fail, which is said: %s", why.text);
    failing_call = 0;
    is_int(BACKEND_CPU.run(runner, input, 1, &why), 0, "the next run");
    ok(BACKEND_CPU.output(runner, 0)[0] == first, "gives what the first gave");
    BACKEND_CPU.close(&runner);
    model_close(&model);
    return done_testing();
}
