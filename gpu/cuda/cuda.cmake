# libsightline_cuda.so: the CUDA backend as a plug-in, where the toolkit and cuDNN are there.
# No card is needed to build it. -DSIGHTLINE_CUDA=OFF leaves it out.
option(SIGHTLINE_CUDA "Build the CUDA plug-in where the CUDA toolkit and cuDNN are installed" ON)
set(SIGHTLINE_CUDA_HOME "/usr/local/cuda" CACHE PATH "The CUDA toolkit")

find_program(NVCC nvcc HINTS ${SIGHTLINE_CUDA_HOME}/bin ENV CUDA_HOME PATH_SUFFIXES bin)
find_library(CUDNN cudnn HINTS ${SIGHTLINE_CUDA_HOME}/lib64)
find_path(CUDNN_INCLUDE cudnn.h HINTS ${SIGHTLINE_CUDA_HOME}/include)
find_library(CUDART cudart_static HINTS ${SIGHTLINE_CUDA_HOME}/lib64)

if(NOT SIGHTLINE_CUDA)
    message(STATUS "CUDA plug-in: switched off")
elseif(NOT NVCC OR NOT CUDNN OR NOT CUDNN_INCLUDE OR NOT CUDART)
    message(STATUS "CUDA plug-in: left out, as there is no CUDA toolkit with cuDNN 9 "
                   "(nvcc: ${NVCC}, cudnn: ${CUDNN}); the CPU backend does not need them")
elseif(SIGHTLINE_SANITIZE OR SIGHTLINE_FUZZ)
    message(STATUS "CUDA plug-in: left out of builds with sanitizers")
else()
    # Machine code for the cards of the last years, and PTX for those to come.
    set(cuda_cards -gencode=arch=compute_75,code=sm_75 -gencode=arch=compute_80,code=sm_80
                   -gencode=arch=compute_86,code=sm_86 -gencode=arch=compute_89,code=sm_89
                   -gencode=arch=compute_90,code=[sm_90,compute_90])
    set(cuda_objects)
    file(GLOB cuda_kernels CONFIGURE_DEPENDS gpu/cuda/*.cu)
    file(GLOB cuda_headers CONFIGURE_DEPENDS gpu/cuda/*.h)
    foreach(source ${cuda_kernels})
        get_filename_component(name ${source} NAME_WE)
        set(object ${CMAKE_BINARY_DIR}/cuda/${name}.o)
        # -fmad=false: products and sums round as they do in the tests' emulation; what is to be
        # fused is written as fmaf().
        add_custom_command(
            OUTPUT ${object}
            COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/cuda
            COMMAND ${NVCC} -std=c++17 -O3 -fmad=false -I${CMAKE_SOURCE_DIR} ${cuda_cards}
                    -Xcompiler -fPIC,-fvisibility=hidden,-fno-exceptions,-fno-rtti -c ${source} -o
                    ${object}
            DEPENDS ${source} ${cuda_headers} VERBATIM)
        list(APPEND cuda_objects ${object})
    endforeach()
    add_library(sightline_cuda MODULE
        ${cuda_planner} gpu/cuda/cuda_cudnn.c gpu/cuda/cuda_shape.c gpu/cuda/cuda_device.c gpu/cuda/cuda_network.c gpu/cuda/cuda_runner.c
        gpu/cuda/cuda_frames.c gpu/cuda/cuda_guest.c gpu/cuda/cuda_plugin.c gpu/graph.c gpu/graph_strided.c
        gpu/graph_memory.c gpu/prepare_tables.c gpu/prepare_filter.c gpu/prepare_c.c gpu/frame.c
        gpu/suppress.c gpu/box.c config/why.c config/assert.c config/clock.c ${cuda_objects})
    set_target_properties(sightline_cuda PROPERTIES
        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin C_VISIBILITY_PRESET hidden
        INSTALL_RPATH "$ORIGIN;${SIGHTLINE_CUDA_HOME}/lib64")
    target_include_directories(sightline_cuda SYSTEM PRIVATE ${CUDNN_INCLUDE})
    target_link_libraries(sightline_cuda PRIVATE ${CUDNN} ${CUDART} Threads::Threads stdc++ dl rt m)
    target_link_options(sightline_cuda PRIVATE -Wl,-z,defs)
    # For tests/integration/cuda_heuristics.t.
    add_executable(cuda_heuristics tests/gpu/cuda_heuristics.c gpu/cuda/cuda_cudnn.c
                   gpu/cuda/cuda_shape.c)
    set_target_properties(cuda_heuristics PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_include_directories(cuda_heuristics SYSTEM PRIVATE ${CUDNN_INCLUDE})
    target_link_libraries(cuda_heuristics PRIVATE gpu ${CUDNN})
    # Skips itself where there is no card; tests/gpu/run builds and runs it with what belongs to it.
    add_executable(cuda_device_test tests/gpu/cuda_device_test.c)
    set_target_properties(cuda_device_test PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_link_libraries(cuda_device_test PRIVATE gpu)
    add_dependencies(cuda_device_test sightline_cuda)
    # The backend's host code on an emulated device: needs the toolkit's headers and no card.
    add_executable(cuda_host_test tests/gpu/cuda_host_test.c gpu/cuda/cuda_shape.c
                   gpu/cuda/cuda_device.c gpu/cuda/cuda_network.c gpu/cuda/cuda_runner.c gpu/cuda/cuda_frames.c
                   gpu/cuda/cuda_guest.c gpu/cuda/cuda_plugin.c)
    set_target_properties(cuda_host_test PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_include_directories(cuda_host_test SYSTEM PRIVATE ${CUDNN_INCLUDE})
    target_link_libraries(cuda_host_test PRIVATE gpu)
    install(TARGETS sightline_cuda LIBRARY DESTINATION lib/sightline)
    message(STATUS "CUDA plug-in: libsightline_cuda.so for sm_75, 80, 86, 89, 90 and PTX")
endif()
