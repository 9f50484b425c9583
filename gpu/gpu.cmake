# The inference engine: ONNX import (protobuf-c), the graph, the CPU backend (oneDNN).
sightline_room(gpu gpu config PkgConfig::PROTOBUF_C ${DNNL})
if(TARGET gpu)
    file(GLOB cpu_sources CONFIGURE_DEPENDS gpu/cpu/*.c)
    target_sources(gpu PRIVATE ${cpu_sources})
endif()
