// BringUp: PID 1's work before the first RPC: a writable root over the shared read-only disk, the
// kernel's file systems, loopback, names, limits. And its end: power.
//
// Called by guest_agent's main, before any thread and any child. No program is started: each exec
// costs tens of milliseconds under emulation.

#pragma once

#include "base/result.h"

namespace nv::guest::boot {

// Everything below, in order. Only what a program could not run without is an error; the rest is
// told on the console by a line.
[[nodiscard]] base::Status BringUp();

// Overlay of a tmpfs (at most half of the memory) over the present root, entered by pivot_root(2).
[[nodiscard]] base::Status EnterWritableRoot();
// /proc /sys /dev /dev/pts /dev/shm /run /tmp and cgroup v2.
[[nodiscard]] base::Status MountKernelFileSystems();
// lo: 127.0.0.1 and ::1 answer.
[[nodiscard]] base::Status RaiseLoopback();

// Ends the machine at once; nothing is synced, all storage is throwaway. A reset, because that is
// what makes every VMM of ours exit (-no-reboot), with ACPI or without. Does not return.
[[noreturn]] void ResetMachine();

// A thread that reaps every child of this process for ever: PID 1 inherits orphans. When `vital`
// ends, `on_vital_end` is called on it.
void ReapChildrenForEver(int vital_pid, void (*on_vital_end)());

}  // namespace nv::guest::boot
