// NV_CHECK: a bug of ours ends the process, in every build. Never fed with data from a client,
// model, guest or VMM.

#pragma once

#include <cstdio>
#include <cstdlib>

#define NV_CHECK(condition)                                                              \
  do {                                                                                   \
    if (!(condition)) [[unlikely]] {                                                     \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)
