"""The layer table of cmake/Layers.cmake, read from that file, and which layer a source file belongs to."""

import pathlib
import re

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src"

# Folders whose layer is not the folder's name under src/ or src/host/.
SPECIAL = {"host/jail/protocol": "jail_protocol", "host/jail/program": "jail_program"}


def _rows(prefix):
    text = (REPOSITORY / "cmake/Layers.cmake").read_text()
    rows = re.findall(rf"^set\(NV_{prefix}_(\w+) (.*)\)$", text, re.MULTILINE)
    return {layer: words.replace('"', "").split() for layer, words in rows}


MAY_USE = _rows("MAY_USE")
PROTOS = _rows("PROTOS")


def layer_of(relative):
    """Layer of a path relative to src/, or None when no row of the table owns it."""
    parts = relative.split("/")
    for folder, layer in SPECIAL.items():
        if relative.startswith(folder + "/"):
            return layer
    name = parts[1] if parts[0] == "host" and len(parts) > 2 else parts[0]
    return name if name in MAY_USE else None


def sources():
    """Every C++ file of ours, as a path relative to src/."""
    found = [p for p in SOURCE.rglob("*") if p.suffix in (".h", ".cc") or p.name.endswith(".h.in")]
    return sorted(p.relative_to(SOURCE).as_posix() for p in found)


def includes(relative):
    """(line number, form, path) of each #include, form being '<' or '"'. A sub-command that main.cc names but that is
    not there yet (#ifdef NV_HAS_...) is left out."""
    before = ""
    for number, line in enumerate((SOURCE / relative).read_text().splitlines(), 1):
        found = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
        if found and not (before.startswith("#ifdef NV_HAS_") and not (SOURCE / found.group(2)).is_file()):
            yield number, found.group(1), found.group(2)
        before = line
