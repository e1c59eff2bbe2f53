# shellcheck shell=bash
# What `test.sh --long` adds. Sourced by test.sh, whose functions it uses.

# sanitized PRESET: host programs and unit tests under a sanitizer.
sanitized() {
  cmake --preset "$1" >/dev/null && cmake --build --preset "$1" && run_ctest "$1"
}
suite unit-asan sanitized asan
suite unit-tsan sanitized tsan

# The tuned kernel: build the image beside `mini`, then the ordinary tests of programs on it.
tuned() {
  "$NV_BIN/neurovisor" image build mini --name tuned --kernel tuned &&
    NEUROVISOR_IMAGE=tuned run_pytest tuned 2 tests/vm/test_programs.py tests/vm/test_streams.py
}
suite tuned tuned

# A Debian host under QEMU: KVM and vhost-vsock, for real.
lab() {
  export NV_LAB_DIR=${NV_LAB_DIR:-$repo/build/lab}
  tests/lab/lab.py build --directory "$NV_LAB_DIR" && run_pytest lab 0 tests/lab
}
suite lab lab

# quickstart.sh from nothing, in a Debian tree that has only the base system.
minimal_tree() {
  tests/lab/minimal_tree.sh
}
if ((EUID == 0)); then
  suite minimal-tree minimal_tree
else
  echo "skipped: minimal-tree: needs root (chroot)"
fi
