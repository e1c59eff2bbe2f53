"""The #include lines obey the layer table that CMake enforces on targets: a header is a dependency too."""

import re
import sys
import pathlib

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from layer_table import MAY_USE, PROTOS, SOURCE, includes, layer_of, sources  # noqa: E402

# Headers that cost seconds per file to compile stay in the folder of their adapter.
HEAVY = re.compile(r"^(grpc|grpcpp|google/protobuf|nlohmann|CLI|spdlog|opentelemetry|bpf|prometheus)/|\.pb\.h$")


def rights_of(relative):
    """(layers, proto libraries) that a file may include from."""
    layer = layer_of(relative)
    layers = {layer, *MAY_USE[layer]}
    protos = set(PROTOS.get(layer, []))
    if is_test(relative):
        layers |= set(MAY_USE["tests"])
        protos |= set(PROTOS["tests"])
    return layers, protos


def is_test(relative):
    name = relative.rsplit("/", 1)[-1]
    return name.endswith("_test.cc") or name.startswith(("fake_", "test_"))


def complaints(relative):
    layers, protos = rights_of(relative)
    for number, form, path in includes(relative):
        where = f"src/{relative}:{number}"
        generated = re.match(r"neurovisor/(\w+?)(\.grpc)?\.pb\.h$", path)
        if generated:
            if f"nv_proto_{generated.group(1)}" not in protos:
                yield f"{where}: layer '{layer_of(relative)}' may not see {path}"
        elif form == '"':
            target = layer_of(path)
            if path == "base/version.h":
                target = "base"
            elif not (SOURCE / path).is_file():
                yield f"{where}: no src/{path}: write includes from src/"
                continue
            if target not in layers:
                yield f"{where}: layer '{layer_of(relative)}' may not use '{target}' ({path})"


def test_every_source_belongs_to_a_layer():
    assert [s for s in sources() if layer_of(s) is None] == []


def test_every_row_names_known_layers():
    known = set(MAY_USE)
    assert {layer: set(row) - known for layer, row in MAY_USE.items() if set(row) - known} == {}


def test_includes_obey_the_table():
    found = [line for source in sources() for line in complaints(source)]
    assert found == []


def heavy_headers():
    """Headers of ours that drag a heavy one in, directly or through another of ours."""
    reads = {s: [path for _, _, path in includes(s)] for s in sources() if s.endswith(".h")}
    heavy = {s for s, paths in reads.items() if any(HEAVY.search(p) for p in paths)}
    while more := {s for s, paths in reads.items() if s not in heavy and heavy.intersection(paths)}:
        heavy |= more
    return heavy


def test_heavy_headers_stay_in_the_folder_of_their_adapter():
    heavy = heavy_headers()
    found = [f"src/{source}:{number}: {path} is heavy to compile"
             for source in sources() for number, _, path in includes(source)
             if path in heavy and path.rsplit("/", 1)[0] != source.rsplit("/", 1)[0]]
    assert found == []


def test_the_check_bites():
    """The check itself: a guest header asked for by a host layer is refused."""
    layers, protos = rights_of("host/storage/manifest.cc")
    assert "guest" not in layers and "backend" not in layers and not protos
    assert rights_of("guest/boot/main.cc")[0] == {"guest", "base", "wire"}
