# Warnings and hardening for our own code (generated code gets the hardening alone).
#
# Every object is compiled once as position-independent-executable code; the static programs (client, jail, guest) link
# the same objects with -static. Sanitizers cannot be linked statically, so a sanitized build links nothing statically.

find_program(NV_CCACHE ccache)
if(NV_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${NV_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${NV_CCACHE})
endif()

set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported()

add_library(nv_hardening INTERFACE)
target_compile_options(nv_hardening INTERFACE
  -fstack-protector-strong -fstack-clash-protection -fcf-protection -ftrivial-auto-var-init=zero
  -ffunction-sections -fdata-sections)
target_compile_definitions(nv_hardening INTERFACE _GLIBCXX_ASSERTIONS)
target_link_options(nv_hardening INTERFACE -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--gc-sections)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_definitions(nv_hardening INTERFACE _FORTIFY_SOURCE=3)
  add_link_options(-s)
endif()

# g++ 12 sees an overlapping copy in `"text" + std::string` at -O2 where there is none (GCC bug 105651): -Wno-restrict.
add_library(nv_warnings INTERFACE)
target_compile_options(nv_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  $<$<BOOL:${NV_WERROR}>:-Werror>)

if(NV_SANITIZER STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  # The instrumentation makes g++ 12 see uninitialized temporaries in fmt; the release build watches for real ones.
  target_compile_options(nv_warnings INTERFACE -Wno-uninitialized -Wno-maybe-uninitialized)
  add_link_options(-fsanitize=address,undefined)
elseif(NV_SANITIZER STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
elseif(NOT NV_SANITIZER STREQUAL "")
  message(FATAL_ERROR "NV_SANITIZER is '${NV_SANITIZER}'; accepted: address, thread, or empty")
endif()

find_program(NV_MOLD mold)
if(NV_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
