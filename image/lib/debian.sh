# shellcheck shell=bash
# Where Debian packages come from: this machine's own apt configuration, Debian entries alone.
#
# Sourced by rootfs.sh and kernel/*.sh. NEUROVISOR_DEBIAN_MIRROR=URI replaces the search.
# NEUROVISOR_APT_ETC=DIR (tests) is read instead of /etc/apt.
#
# TRUST: packages are believed because apt checks their signatures against the Debian archive keyring, never because
# of where they came from. Entries of other vendors in the machine's sources are not used.

SUITE=trixie
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf '%s\n' "$*"; }
# die MESSAGE [REMEDY]: the builder shows both.
die() {
  printf 'error: %s\n' "$1" >&2
  [ $# -lt 2 ] || printf 'remedy: %s\n' "$2" >&2
  exit 1
}
# need PACKAGE PROGRAM...: the programs must be there; says which package brings them.
need() {
  local package=$1 program
  shift
  for program in "$@"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" > /dev/null ||
      die "$program is missing" "apt-get install $package"
  done
}

# Prints "URI SUITE COMPONENTS... |SIGNED-BY" for each enabled `deb` entry of the machine, both formats of sources.list(5).
apt_entries() {
  local etc=${NEUROVISOR_APT_ETC:-/etc/apt} file
  for file in "$etc"/sources.list "$etc"/sources.list.d/*.list; do
    [ -r "$file" ] || continue
    awk '
      { sub(/#.*/, "") }
      $1 != "deb" { next }
      {
        signed = ""; i = 2
        if ($2 ~ /^\[/) {
          for (;; i++) {
            option = $i; gsub(/[][]/, "", option)
            if (option ~ /^signed-by=/) signed = substr(option, 11)
            if ($i ~ /\]$/ || i >= NF) break
          }
          i++
        }
        line = $i
        for (j = i + 1; j <= NF; j++) line = line " " $j
        print line " |" signed
      }' "$file"
  done
  for file in "$etc"/sources.list.d/*.sources; do
    [ -r "$file" ] || continue
    awk '
      function flush(   a, b, i, j, n, m) {
        if (types ~ /(^| )deb( |$)/ && tolower(enabled) != "no" && enabled != "false") {
          n = split(uris, a, " "); m = split(suites, b, " ")
          for (i = 1; i <= n; i++) for (j = 1; j <= m; j++) print a[i], b[j], components " |" signed
        }
        types = uris = suites = components = signed = enabled = field = ""
      }
      /^#/ { next }
      /^[ \t]*$/ { flush(); next }
      /^[^ \t]/ { field = tolower($1); sub(/:.*/, "", field); sub(/^[^:]*:[ \t]*/, "") }
      { sub(/^[ \t]+/, ""); sub(/[ \t]+$/, "") }
      field == "types" { types = types " " $0 }
      field == "uris" { uris = uris " " $0 }
      field == "suites" { suites = suites " " $0 }
      field == "components" { components = components " " $0 }
      field == "signed-by" { signed = signed " " $0 }
      field == "enabled" { enabled = $0 }
      END { flush() }' "$file"
  done | sed 's/^ *//; s/  */ /g'
}

# Prints URIs that may be a Debian archive, the likeliest first; with `security`, those of the security archive.
debian_uris() {
  local kind=${1:-main}
  apt_entries | awk -v kind="$kind" '
    {
      signed = $0; sub(/.*\|/, "", signed); sub(/ *\|.*/, "")
      if (!match($0, / main( |$)/)) next
      security = $2 ~ /-security$|\/updates$/
      if ((kind == "security") != security) next
      if ($2 !~ /^(bullseye|bookworm|trixie|forky|sid|stable|testing|unstable|oldstable|oldoldstable)(-updates|-security|\/updates)?$/) next
      rank = 2
      if ($1 ~ /\/debian(-security)?\/?$/) rank--
      if (signed ~ /debian-archive/) rank--
      print rank, NR, $1
    }' | sort -k1,1n -k2,2n | awk '!seen[$3]++ { print $3 }'
}

# write_apt_config DIR: an apt configuration of its own in DIR (DIR/apt.conf, for APT_CONFIG), which takes from the
# machine's configuration how to reach the network (proxies, time checks) and nothing else: no hooks, no other sources.
write_apt_config() {
  local dir=$1
  mkdir -p "$dir"/{lists/partial,archives/partial,etc/parts,etc/prefs}
  [ ! -d /etc/apt/auth.conf.d ] || ln -sfn /etc/apt/auth.conf.d "$dir/etc/auth.conf.d"
  {
    apt-config dump | grep -E '^Acquire::(https?::|Check-Valid-Until|Check-Date|Retries|ForceIPv)' || :
    printf '%s "%s";\n' \
      Dir::Etc::main /dev/null Dir::Etc::parts "$dir/etc/parts" Dir::Etc::sourcelist "$dir/sources.list" \
      Dir::Etc::sourceparts "$dir/etc/parts" Dir::Etc::preferencesparts "$dir/etc/prefs" Dir::Etc::preferences /dev/null \
      Dir::Etc::netrc /etc/apt/auth.conf Dir::Etc::netrcparts "$dir/etc/auth.conf.d" \
      Dir::Etc::trusted "$KEYRING" Dir::Etc::trustedparts "$dir/etc/parts" \
      Dir::State "$dir" Dir::State::lists "$dir/lists" Dir::State::status "$dir/status" \
      Dir::Cache "$dir" Dir::Cache::archives "$dir/archives" Dir::Cache::pkgcache "" Dir::Cache::srcpkgcache "" \
      Acquire::Languages none APT::Architecture amd64 APT::Sandbox::User "$(id -un)"
    say 'APT::Architectures { "amd64"; };'
  } > "$dir/apt.conf"
  : > "$dir/status"
}

# find_debian DIR: chooses the mirror, writes DIR/sources.list and leaves DIR/apt.conf with fresh, verified lists.
find_debian() {
  local dir=$1 uri security candidates
  need apt apt-get apt-config
  need gpgv gpgv
  [ -r "$KEYRING" ] || die "$KEYRING is missing" "apt-get install debian-archive-keyring"
  write_apt_config "$dir"
  candidates=${NEUROVISOR_DEBIAN_MIRROR:-$(debian_uris)}
  [ -n "$candidates" ] || die "this machine's apt sources name no Debian archive" \
    "set NEUROVISOR_DEBIAN_MIRROR, for example to http://MIRROR/debian"
  for uri in $candidates; do
    say "Debian archive: $uri"
    {
      say "deb [signed-by=$KEYRING] $uri $SUITE main"
      say "deb [signed-by=$KEYRING] $uri $SUITE-updates main"
    } > "$dir/sources.list"
    if APT_CONFIG=$dir/apt.conf apt-get -q update -o APT::Update::Error-Mode=any; then
      # Security fixes, when the machine has that archive configured and it answers.
      for security in $(debian_uris security); do
        cp "$dir/sources.list" "$dir/sources.main"
        say "deb [signed-by=$KEYRING] $security $SUITE-security main" >> "$dir/sources.list"
        if APT_CONFIG=$dir/apt.conf apt-get -q update -o APT::Update::Error-Mode=any; then return 0; fi
        say "warning: no $SUITE-security at $security"
        mv "$dir/sources.main" "$dir/sources.list"
        APT_CONFIG=$dir/apt.conf apt-get -q update
      done
      return 0
    fi
  done
  die "no Debian archive answered for $SUITE (tried: ${candidates//$'\n'/ })" \
    "check the network and proxy, or set NEUROVISOR_DEBIAN_MIRROR"
}

# candidate DIR PACKAGE: prints the version that the archive offers.
candidate() {
  local version
  version=$(APT_CONFIG=$1/apt.conf apt-cache policy "$2" | awk '$1 == "Candidate:" { print $2 }')
  case $version in '' | '(none)') die "the Debian archive has no package $2" ;; esac
  say "$version"
}

# fetch_deb DIR PACKAGE: downloads one package (verified by apt) into DIR/archives; prints "FILE VERSION".
fetch_deb() {
  local dir=$1 package=$2 version
  version=$(candidate "$dir" "$package")
  (cd "$dir/archives" && rm -f "${package}_"*.deb && APT_CONFIG=$dir/apt.conf apt-get -q download "$package=$version" >&2)
  printf '%s %s\n' "$(echo "$dir/archives/${package}_"*.deb)" "$version"
}
