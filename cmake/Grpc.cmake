# gRPC and protobuf, linked two ways.
#
# nv_grpc_shared: Debian's shared libraries, for the engine.
# nv_grpc_static: the archives without TLS, for the static client and guest. Debian's gRPC:: targets are SHARED IMPORTED
# and its pkg-config file omits upb, re2, cares, z and address_sorting, so the list is spelled out here.

find_package(Threads REQUIRED)
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)

add_library(nv_grpc_shared INTERFACE)
target_link_libraries(nv_grpc_shared INTERFACE gRPC::grpc++ gRPC::grpc++_reflection protobuf::libprotobuf Threads::Threads)

if(NV_SANITIZER)
  add_library(nv_grpc_static ALIAS nv_grpc_shared)
else()
  pkg_check_modules(GRPCXX_UNSECURE REQUIRED grpc++_unsecure)
  set(_archives "")
  foreach(name grpc++_unsecure grpc_unsecure address_sorting re2 upb cares z gpr protobuf)
    find_library(NV_A_${name} NAMES lib${name}.a REQUIRED)
    list(APPEND _archives ${NV_A_${name}})
  endforeach()
  set(_absl ${GRPCXX_UNSECURE_STATIC_LIBRARIES})
  list(FILTER _absl INCLUDE REGEX "^absl_")
  list(REMOVE_DUPLICATES _absl)
  foreach(name IN LISTS _absl)
    find_library(NV_A_${name} NAMES lib${name}.a REQUIRED)
    list(APPEND _archives ${NV_A_${name}})
  endforeach()
  add_library(nv_grpc_static INTERFACE)
  target_link_libraries(nv_grpc_static INTERFACE -Wl,--start-group ${_archives} -Wl,--end-group Threads::Threads dl rt)
endif()

# nv_proto_library(<target> <file.proto>...): one static library of messages and stubs, which links neither flavour of gRPC.
function(nv_proto_library target)
  add_library(${target} STATIC ${ARGN})
  target_include_directories(${target} SYSTEM PUBLIC ${CMAKE_BINARY_DIR}/proto)
  target_link_libraries(${target} PRIVATE nv_hardening)
  protobuf_generate(TARGET ${target} LANGUAGE cpp IMPORT_DIRS ${CMAKE_SOURCE_DIR}/proto
    PROTOC_OUT_DIR ${CMAKE_BINARY_DIR}/proto)
  protobuf_generate(TARGET ${target} LANGUAGE grpc IMPORT_DIRS ${CMAKE_SOURCE_DIR}/proto
    PROTOC_OUT_DIR ${CMAKE_BINARY_DIR}/proto GENERATE_EXTENSIONS .grpc.pb.h .grpc.pb.cc
    PLUGIN "protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>")
  set_property(TARGET ${target} PROPERTY NV_LAYER proto)
endfunction()
