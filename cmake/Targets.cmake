# How targets are made: nv_library, nv_program, nv_test. DEPS are ours and checked against the layer table; LIBS are
# third-party. Includes are written from src/: #include "base/result.h".

function(_nv_common target)
  cmake_parse_arguments(A "" "LAYER" "SOURCES;DEPS;LIBS" ${ARGN})
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_BINARY_DIR}/generated)
  target_link_libraries(${target} PRIVATE nv_warnings nv_hardening)
  target_compile_definitions(${target} PRIVATE FMT_HEADER_ONLY)
  nv_set_layer(${target} ${A_LAYER} ${A_DEPS})
endfunction()

# nv_library(nv_base LAYER base SOURCES a.cc DEPS nv_other LIBS fmt::fmt-header-only)
function(nv_library target)
  cmake_parse_arguments(A "" "LAYER" "SOURCES;DEPS;LIBS" ${ARGN})
  add_library(${target} STATIC ${A_SOURCES})
  target_link_libraries(${target} PUBLIC ${A_DEPS} PRIVATE ${A_LIBS})
  _nv_common(${target} ${ARGN})
endfunction()

# Who only builds the programs needs no GTest; test.sh installs it, and the next configure finds it.
find_package(GTest QUIET)
if(NV_TESTS AND NOT GTest_FOUND)
  message(STATUS "GTest is not installed: unit tests are left out")
  set(NV_TESTS OFF)
endif()

# nv_program(neurovisor [STATIC] LAYER cli SOURCES main.cc DEPS ... LIBS ...)
function(nv_program target)
  cmake_parse_arguments(A "STATIC" "LAYER" "SOURCES;DEPS;LIBS" ${ARGN})
  add_executable(${target} ${A_SOURCES})
  target_link_libraries(${target} PRIVATE ${A_DEPS} ${A_LIBS})
  if(A_STATIC AND NOT NV_SANITIZER)
    target_link_options(${target} PRIVATE -static -no-pie)
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  endif()
  _nv_common(${target} ${ARGN})
endfunction()

# nv_test(base_test LAYER base SOURCES a_test.cc DEPS nv_base): unit tests, no root, no KVM, no sleep. The target is
# checked with the rights of the layer under test plus what `tests` may use.
function(nv_test target)
  if(NOT NV_TESTS)
    return()
  endif()
  cmake_parse_arguments(A "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  include(GoogleTest)
  add_executable(${target} ${A_SOURCES})
  target_link_libraries(${target} PRIVATE ${A_DEPS} ${A_LIBS} GTest::gmock GTest::gtest_main fmt::fmt-header-only)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  _nv_common(${target} LAYER tests ${ARGN})
  gtest_discover_tests(${target} DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 120 LABELS unit)
endfunction()
