// pidfd_open, pidfd_send_signal, pidfd_getfd. Include this instead of <sys/pidfd.h>: glibc 2.36
// declares them without C linkage, and a C++ program does not link.

#pragma once

extern "C" {
#include <sys/pidfd.h>
}
