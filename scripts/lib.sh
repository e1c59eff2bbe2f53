# shellcheck shell=bash
# Shared by the scripts beside it: steps with elapsed time, what to print when one fails, and packages from the one list.
#
# A step writes its command's output to a log file, so that a person sees one line per step, and on failure the command,
# the last 20 lines of its output and what to do.

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
logs=$repo/build/logs
# shellcheck disable=SC2034  # read by the scripts
started_at=$EPOCHREALTIME
step_number=0
step_total=${step_total:-0}
ticker=

# Tenths of a second since the given $EPOCHREALTIME, as "12.3 s" or "4 min 05 s".
elapsed() {
  local tenths=$(((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}) / 100000))
  if ((tenths < 1000)); then
    printf '%d.%d s' $((tenths / 10)) $((tenths % 10))
  else
    printf '%d min %02d s' $((tenths / 600)) $((tenths / 10 % 60))
  fi
}

# fail MESSAGE [REMEDY]: the last words of a script.
fail() {
  printf '\nerror: %s\n' "$1" >&2
  [[ -z ${2:-} ]] || printf 'remedy: %s\n' "$2" >&2
  exit 1
}

stop_ticker() {
  [[ -n $ticker ]] || return 0
  kill "$ticker" 2>/dev/null
  wait "$ticker" 2>/dev/null
  ticker=
}

# While a step runs: the last line of its log on a terminal, a sign of life every 30 s elsewhere.
tick() {
  local log=$1 begin=$2 line count=0
  trap 'exit 0' TERM
  while :; do
    sleep 1 &
    wait $!
    count=$((count + 1))
    if [[ -t 1 ]]; then
      line=$(tail -n 1 "$log" 2>/dev/null | tr -cd '[:print:]')
      printf '\r\033[K      %s  %s' "$(elapsed "$begin")" "${line:0:60}"
    elif ((count % 30 == 0)); then
      line=$(tail -n 1 "$log" 2>/dev/null | tr -cd '[:print:]')
      printf '      ... %s  %s\n' "$(elapsed "$begin")" "${line:0:90}"
    fi
  done
}

# step NAME TEXT REMEDY COMMAND...: runs the command; on failure explains and exits (or returns its status when
# keep_going is set). Its output is in build/logs/NAME.log.
step() {
  local name=$1 text=$2 remedy=$3
  shift 3
  local log=$logs/$name.log begin=$EPOCHREALTIME status=0
  mkdir -p "$logs"
  step_number=$((step_number + 1))
  printf '[%d/%d] %s\n' "$step_number" "$step_total" "$text"
  : >"$log"
  tick "$log" "$begin" &
  ticker=$!
  "$@" >"$log" 2>&1 </dev/null || status=$?
  stop_ticker
  [[ ! -t 1 ]] || printf '\r\033[K'
  if ((status == 0)); then
    printf '      done in %s\n' "$(elapsed "$begin")"
    return 0
  fi
  {
    printf '\nerror: "%s" failed after %s with status %d\n' "$text" "$(elapsed "$begin")" "$status"
    printf 'command:%s\n' "$(printf ' %q' "$@")"
    printf 'last lines of %s:\n' "${log#"$repo"/}"
    tail -n 20 "$log" | sed 's/^/    /'
    [[ -z $remedy ]] || printf 'remedy: %s\n' "$remedy"
  } >&2
  [[ -n ${keep_going:-} ]] || exit 1
  return "$status"
}

# Packages of packages.txt for the given uses, one per line.
packages_for() {
  local use
  for use in "$@"; do
    awk -v use="$use" '!/^#/ && $2 == use { print $1 }' "$repo/scripts/packages.txt"
  done
}

# Those of the given packages that are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || printf '%s\n' "$package"
  done
}

# Sets as_root to what makes a command run as root: nothing, or sudo. Fails when there is no way.
find_root() {
  as_root=()
  ((EUID != 0)) || return 0
  if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [[ -t 0 ]] && sudo -v; }; }; then
    as_root=(sudo)
    return 0
  fi
  return 1
}

apt_get() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -q --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "$@"
}

# One apt-get install. The package lists are fetched only when they do not have what is asked for: absent, or so old
# that the archive has newer files.
install_packages() {
  if apt_get install "$@"; then return 0; fi
  echo "Fetching the package lists, then trying once more."
  apt_get update || echo "Some package lists could not be fetched; going on with the others."
  apt_get install "$@"
}

# ensure_packages USE...: the step that installs what is missing.
ensure_packages() {
  local wanted missing
  mapfile -t wanted < <(packages_for "$@")
  mapfile -t missing < <(missing_packages "${wanted[@]}")
  if ((${#missing[@]} == 0)); then
    step_number=$((step_number + 1))
    printf '[%d/%d] Packages: all %d are installed\n' "$step_number" "$step_total" "${#wanted[@]}"
    return 0
  fi
  find_root || fail "${#missing[@]} packages are missing and this user may not install them" \
    "run as root: apt-get install --no-install-recommends ${missing[*]}"
  step packages "Installing ${#missing[@]} of ${#wanted[@]} packages: ${missing[*]}" \
    "look at the lines above; often the network or /etc/apt/sources.list* is at fault: try 'apt-get update'" \
    install_packages "${missing[@]}"
}

# The scripts know Debian 12's package names only.
require_debian_12() {
  local os version
  os=$(. /etc/os-release 2>/dev/null && printf '%s' "${ID:-}") || os=
  version=$(. /etc/os-release 2>/dev/null && printf '%s' "${VERSION_ID:-}") || version=
  [[ $(uname -m) == x86_64 ]] || fail "this is $(uname -m); NeuroVisor runs on x86_64 only"
  [[ $os == debian && $version == 12 ]] && return 0
  fail "this is ${os:-an unknown system} ${version}; the script knows Debian 12's packages only" \
    "install what docs/dependencies.md lists by your system's names (g++ 12 or newer, gRPC 1.51 with static archives), then run: $0 --no-packages"
}

trap stop_ticker EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
