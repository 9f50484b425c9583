# The inference engine: ONNX import (protobuf-c), the graph, the CPU backend (oneDNN).
sightline_room(gpu gpu config PkgConfig::PROTOBUF_C PkgConfig::SODIUM ${DNNL})
if(TARGET gpu)
    file(GLOB cpu_sources CONFIGURE_DEPENDS gpu/cpu/*.c)
    target_sources(gpu PRIVATE ${cpu_sources})
    # The CUDA backend's planner knows no device: it is always built and tested. The plug-in itself
    # is in cuda/cuda.cmake.
    set(cuda_planner gpu/cuda/cuda_plan.c gpu/cuda/cuda_pictures.c gpu/cuda/cuda_plain.c
                     gpu/cuda/cuda_tensor.c gpu/cuda/cuda_bind.c gpu/cuda/cuda_start.c
                     gpu/cuda/cuda_pack.c gpu/cuda/cuda_index.c)
    target_sources(gpu PRIVATE ${cuda_planner})

    # The reader of the file format is made by protoc-c; our warnings are not meant for its code.
    find_program(PROTOC_C protoc-c REQUIRED)
    set(onnx_dir ${CMAKE_BINARY_DIR}/onnx)
    file(MAKE_DIRECTORY ${onnx_dir})
    add_custom_command(
        OUTPUT ${onnx_dir}/onnx.pb-c.c ${onnx_dir}/onnx.pb-c.h
        COMMAND ${PROTOC_C} --proto_path=${CMAKE_SOURCE_DIR}/gpu --c_out=${onnx_dir} onnx.proto
        DEPENDS ${CMAKE_SOURCE_DIR}/gpu/onnx.proto VERBATIM)
    target_sources(gpu PRIVATE ${onnx_dir}/onnx.pb-c.c ${onnx_dir}/onnx.pb-c.h)
    set_source_files_properties(${onnx_dir}/onnx.pb-c.c PROPERTIES COMPILE_OPTIONS -w)
    target_include_directories(gpu SYSTEM PRIVATE ${onnx_dir})

    # One body of kernels, compiled for each instruction set; cpu/kernels.c picks one at run time.
    # With sanitizers: their checks of every address are kept, those of every addition are not, which
    # made the unrolled loops take minutes to compile.
    set(kernel_options -O3)
    if(SIGHTLINE_SANITIZE)
        set(kernel_options -O1)
        if(SIGHTLINE_SANITIZE MATCHES "undefined")
            list(APPEND kernel_options -fno-sanitize=undefined)
        endif()
    endif()
    # Vectors wider than the machine's are split by the compiler; that they have no fixed calling
    # convention then does not matter to static functions.
    set_source_files_properties(${CMAKE_SOURCE_DIR}/gpu/cpu/kernels_plain.c PROPERTIES
                                COMPILE_OPTIONS "${kernel_options};-Wno-psabi")
    set_source_files_properties(${CMAKE_SOURCE_DIR}/gpu/cpu/int8_plain.c
                                ${CMAKE_SOURCE_DIR}/gpu/cpu/bf16_plain.c PROPERTIES
                                COMPILE_OPTIONS "${kernel_options}")
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
        set_source_files_properties(
            ${CMAKE_SOURCE_DIR}/gpu/cpu/int8_avx512.c
            ${CMAKE_SOURCE_DIR}/gpu/cpu/int8_avx512_depthwise.c
            ${CMAKE_SOURCE_DIR}/gpu/cpu/int8_avx512_move.c PROPERTIES COMPILE_OPTIONS
            "${kernel_options};-mavx512f;-mavx512vl;-mavx512bw;-mavx512dq;-mavx512vnni;-mfma;-mprefer-vector-width=512")
        set_source_files_properties(
            ${CMAKE_SOURCE_DIR}/gpu/cpu/bf16_avx512.c PROPERTIES COMPILE_OPTIONS
            "${kernel_options};-mavx512f;-mavx512vl;-mavx512bw;-mavx512dq;-mavx512bf16;-mfma;-mprefer-vector-width=512")
        set_source_files_properties(
            ${CMAKE_SOURCE_DIR}/gpu/cpu/int8_amx.c PROPERTIES COMPILE_OPTIONS
            "${kernel_options};-mamx-tile;-mamx-int8")
        set_source_files_properties(
            ${CMAKE_SOURCE_DIR}/gpu/cpu/bf16_amx.c PROPERTIES COMPILE_OPTIONS
            "${kernel_options};-mavx512f;-mavx512vl;-mavx512bw;-mavx512dq;-mfma;-mprefer-vector-width=512;-mamx-tile;-mamx-bf16")
        set_source_files_properties(
            ${CMAKE_SOURCE_DIR}/gpu/cpu/kernels_avx2.c ${CMAKE_SOURCE_DIR}/gpu/cpu/int8_avx2.c
            ${CMAKE_SOURCE_DIR}/gpu/cpu/int8_avx2_vnni.c
            ${CMAKE_SOURCE_DIR}/gpu/cpu/int8_avx2_move.c PROPERTIES
                                    COMPILE_OPTIONS "${kernel_options};-mavx2;-mfma")
        set_source_files_properties(
            ${CMAKE_SOURCE_DIR}/gpu/cpu/kernels_avx512.c PROPERTIES COMPILE_OPTIONS
            "${kernel_options};-mavx512f;-mavx512vl;-mavx512bw;-mavx512dq;-mfma;-mprefer-vector-width=512")
    endif()

    # The planner and the kernels' bodies once more, without the rounding to half precision: then what
    # they compute is float32's to its last digits, which shows what is wrong and not merely rough.
    foreach(test cuda_plan cuda_models)
        add_executable(${test}_wide_test tests/unit/${test}_test.c ${cuda_planner})
        target_compile_definitions(${test}_wide_test PRIVATE CUDA_HALF_AS_FLOAT)
        set_target_properties(${test}_wide_test PROPERTIES
            RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
        target_link_libraries(${test}_wide_test PRIVATE gpu)
    endforeach()

    include(gpu/cuda/cuda.cmake)
endif()
