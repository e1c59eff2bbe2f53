#!/usr/bin/env bash
# From a fresh clone to a Python program that runs in a microVM of its own. Running it again is quick and harmless.
set -euo pipefail
step_total=5
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
Usage: scripts/quickstart.sh [--no-packages]

Installs what is missing (apt, Debian 12), builds NeuroVisor, makes the guest image `mini` (Python and Bash) and runs
a small Python program in a microVM. A few minutes the first time, some seconds after that.

  --no-packages   install nothing: you have put there what docs/dependencies.md lists
  -h, --help      this text

Examples:
  scripts/quickstart.sh
  build/release/bin/neurovisor run -l python -c 'print("hello")'
TEXT
}

packages=yes
for argument in "$@"; do
  case $argument in
    --no-packages) packages=no ;;
    -h | --help) usage; exit 0 ;;
    *) printf "quickstart.sh: unknown argument '%s'; accepted: --no-packages, --help\n" "$argument" >&2; exit 2 ;;
  esac
done

cd "$repo"
neurovisor=build/release/bin/neurovisor

if [[ $packages == yes ]]; then
  require_debian_12
  ensure_packages build run image
else
  step_total=4
fi
step configure "Configuring the build" \
  "a package is missing or too old: compare docs/dependencies.md; then try 'rm -rf build/release' and run this again" \
  cmake --preset release
step build "Building (some minutes the first time)" \
  "when the compiler was killed, memory ran out: 'cmake --build --preset release -j1', then run this again" \
  cmake --build --preset release --target neurovisor neurovisor-engine neurovisor-jail guest_agent guest_preinit
step image "Making the guest image: Debian 13 with Python and Bash" \
  "'$neurovisor image build mini' shows more; 'rm -rf build/logs' is always safe" \
  "$neurovisor" image build mini

run_program() {
  "$neurovisor" run --language python --timings - <<'PYTHON'
import os, platform, sys
primes = [n for n in range(2, 60) if all(n % d for d in range(2, n))]
print("Hello from a microVM of its own.")
print(f"  kernel   {platform.release()}, up {open('/proc/uptime').read().split()[0]} s")
print(f"  machine  {os.cpu_count()} CPU(s), {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') >> 20} MiB")
print(f"  python   {sys.version.split()[0]} as uid {os.getuid()}")
print(f"  primes   {primes}")
PYTHON
}

step_number=$((step_number + 1))
printf '[%d/%d] Running a Python program in a microVM\n\n' "$step_number" "$step_total"
status=0
run_program || status=$?
echo
if ((status != 0)); then
  fail "'$neurovisor run' ended with status $status" "'$neurovisor doctor' says what this machine lacks"
fi
cat <<TEXT
Everything works ($(elapsed "$started_at")). What to try next:
  $neurovisor run -l bash -c 'uname -a; id; ls /'
  echo 'print(sum(range(10)))' | $neurovisor run -l python -
  $neurovisor run --help
  $neurovisor doctor
  scripts/test.sh
TEXT
