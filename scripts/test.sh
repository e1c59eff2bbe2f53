#!/usr/bin/env bash
# Installs what tests need, builds everything, runs everything that this machine can run, and counts. Each skip says why.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
Usage: scripts/test.sh [--long] [--no-packages]

Builds everything and runs unit tests, layer checks and the tests of whole programs in real microVMs. The last line
counts: "N passed, N failed, N skipped". Exit status 1 when anything failed.

  --long          also: sanitizer builds, the tuned kernel, and a Debian host under QEMU for KVM and vhost-vsock
  --no-packages   install nothing
  -h, --help      this text

Environment: NEUROVISOR_DATA_DIR  where the test image lives (build/test-data)
Examples:
  scripts/test.sh
  /usr/bin/python3 -m pytest tests/vm -k timeout
TEXT
}

long=no packages=yes
for argument in "$@"; do
  case $argument in
    --long) long=yes ;;
    --no-packages) packages=no ;;
    -h | --help) usage; exit 0 ;;
    *) printf "test.sh: unknown argument '%s'; accepted: --long, --no-packages, --help\n" "$argument" >&2; exit 2 ;;
  esac
done

cd "$repo"
results=$repo/build/test-results
rm -rf "$results"
mkdir -p "$results"
export NEUROVISOR_DATA_DIR=${NEUROVISOR_DATA_DIR:-$repo/build/test-data}
export NV_BIN=$repo/build/release/bin
pytest=(/usr/bin/python3 -m pytest -c tests/pytest.ini)

# Whatever happens, the last line is the count; a step that could not be taken is a failed test.
broken=0
count() {
  local status=$?
  stop_ticker
  ((status == 0)) || broken=$((broken + 1))
  echo
  if [[ -x /usr/bin/python3 ]]; then
    /usr/bin/python3 scripts/count_results.py --broken "$broken" "$results" && exit 0
  else
    printf '0 passed, %d failed, 0 skipped\n' "$broken"
  fi
  exit 1
}
trap count EXIT

# suite NAME COMMAND...: runs one test program; its own report is what count reads. A program that ended badly without a
# failed test in its report counts as one failure.
suite() {
  local name=$1 begin=$EPOCHREALTIME status=0
  shift
  printf '\n== %s\n' "$name"
  "$@" </dev/null || status=$?
  printf '== %s: %s\n' "$name" "$(elapsed "$begin")"
  printf '%s\n' "$status" >"$results/$name.status"
}

run_ctest() { # preset
  ctest --preset "$1" -j 2 --output-junit "$results/unit-$1.xml" --progress --output-on-failure
}

run_pytest() { # name, workers, arguments of pytest
  local name=$1 workers=$2
  shift 2
  "${pytest[@]}" -n "$workers" --junitxml="$results/$name.xml" "$@"
}

step_total=4
if [[ $packages == yes ]]; then
  require_debian_12
  uses=(build run image test)
  [[ $long == no ]] || uses+=(long)
  ensure_packages "${uses[@]}"
else
  step_total=3
fi
step configure "Configuring the build" "docs/dependencies.md lists what must be there" cmake --preset release
step build "Building everything" "the lines above name the file; 'cmake --build --preset release' repeats it" \
  cmake --build --preset release

# Without an image there is nothing that boots: one failure, and the tests that need it skip themselves.
keep_going=yes step image "Making the guest image for tests" "'build/release/bin/neurovisor image build mini' shows more" \
  "$NV_BIN/neurovisor" image build mini || broken=$((broken + 1))
if [[ -f $NEUROVISOR_DATA_DIR/images/names/mini ]]; then
  NEUROVISOR_TEST_IMAGE=$NEUROVISOR_DATA_DIR/images/objects/$(<"$NEUROVISOR_DATA_DIR/images/names/mini")
  export NEUROVISOR_TEST_IMAGE
fi

suite unit run_ctest release
suite layers run_pytest layers 0 tests/layers
for folder in tests/image tests/cli tests/vm; do
  [[ -d $folder ]] || continue
  suite "${folder#tests/}" run_pytest "${folder#tests/}" 2 "$folder"
done

if [[ $long == yes ]]; then
  # shellcheck source=/dev/null
  source scripts/test_long.sh
fi
