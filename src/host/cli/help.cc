#include "host/cli/help.h"

namespace nv::host::cli {

const std::string_view kMainHelp =
    R"(NeuroVisor runs code that nobody has read in a fresh microVM on this machine.

Usage: neurovisor COMMAND [OPTIONS]
       neurovisor COMMAND --help

Commands:
  run       run code in a fresh microVM and pass its output and exit status on
  image     build, list, inspect and remove what microVMs boot
  doctor    what this machine can do, what it lacks, and how to get it
  bench     measure boots on this machine
  version   print the version

Options:
  -h, --help     this text
  --version      same as the command

Environment: every flag --some-flag also has a variable NEUROVISOR_SOME_FLAG (flags that describe
one program, such as --code, have none); a flag wins.
  NEUROVISOR_DATA_DIR     where images are kept (/var/lib/neurovisor, ~/.local/share/neurovisor)
  NEUROVISOR_LIBEXEC_DIR  where neurovisor-engine and its helpers are

Exit status: 0 done, 1 the work failed, 2 wrong usage. `run` passes the program's own status on;
see neurovisor run --help.

Examples:
  neurovisor image build mini
  neurovisor run -c 'print("hello from a microVM")'
)";

const std::string_view kRunHelp =
    R"(Usage: neurovisor run [OPTIONS] [FILE | -] [-- ARG...]

Runs FILE, -c CODE, or standard input (-, or no FILE in a pipe) in a fresh microVM. The program gets
our standard input (none when that gave the code) and ARGs; its output comes as it is written.

  -l, --language NAME   python, bash, javascript, go, rust; else by FILE's suffix or its #! line;
                        code without a file is Python when neither tells
  -c, --code TEXT       the code itself
  -t, --timeout SECS    1 to 86400 (30)
  -e, --env NAME=VALUE  a variable for the program; repeat for more
  --stdin FILE          the program's standard input; - is ours
  --size NAME           small: 1 CPU, 256 MiB; medium: 2, 512 MiB; large: 4, 1 GiB (medium)
  --image NAME          what to boot (base when built, else mini)
  --max-output BYTES    a stream; more is discarded and counted; 0 is no limit; K, M, G (10M)
  --json                one JSON object on standard output, instead of the program's output
  --timings             a line about where the time went, on standard error
  --cold                boot, even where a template could be used
  --socket PATH         the daemon's socket (NEUROVISOR_SOCKET, else the usual places)
  --standalone          use no daemon, even where one answers
  --accel auto|kvm|tcg, --backend auto|qemu, --data-dir DIR    for the engine of --standalone

Exit status: the program's own; 124 timeout; 128+N killed by signal N (137: out of memory);
125 NeuroVisor itself failed, bad usage too; 130 Ctrl-C; 141 standard output was closed.

Examples:
  neurovisor run -t 5 --size small -c 'import sys; print(sum(map(int, sys.stdin)))' < numbers.txt
  neurovisor run -e WHO=you hello.sh -- first second
)";

const std::string_view kVersionHelp =
    R"(Usage: neurovisor version [--json]

Prints the version of NeuroVisor, and of the protocol that it speaks with its guests.

  --json       {"version": "...", "guest_protocol": N}
  -h, --help   this text

Examples:
  neurovisor version
  neurovisor version --json
)";

}  // namespace nv::host::cli
