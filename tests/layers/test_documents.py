"""What the documents say stays true: the package list, and every path that they name."""

import pathlib
import re

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/dependencies.md"]
USES = {"build", "run", "image", "test", "long"}
# Roots of paths that documents name as `like/this`.
ROOTS = ("src/", "tests/", "scripts/", "docs/", "image/", "cmake/", "proto/", ".ci/")


def listed():
    """[(package, use, reason)] of scripts/packages.txt."""
    lines = (REPOSITORY / "scripts/packages.txt").read_text().splitlines()
    return [tuple(line.split(None, 2)) for line in lines if line and not line.startswith("#")]


def documented():
    """The same from the table of docs/dependencies.md."""
    text = (REPOSITORY / "docs/dependencies.md").read_text()
    rows = re.findall(r"^\| `([a-z0-9+.-]+)` \| (\w+) \| (.+?) \|$", text, re.MULTILINE)
    return [tuple(row) for row in rows]


def test_packages_are_documented_with_the_same_reasons():
    assert documented() == listed()


def test_package_list_is_well_formed():
    names = [name for name, _, _ in listed()]
    assert len(names) == len(set(names))
    assert {use for _, use, _ in listed()} <= USES


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_in_documents_exist(document):
    text = (REPOSITORY / document).read_text()
    paths = {p.rstrip("/.,") for p in re.findall(r"`([\w./*{},-]+)`", text) if p.startswith(ROOTS)}
    missing = [p for p in sorted(paths) if not any(True for _ in expand(p))]
    assert missing == []


def expand(path):
    """Files that a path of a document means: a.{h,cc} and * are understood."""
    choice = re.search(r"\{([^}]+)\}", path)
    if choice:
        for word in choice.group(1).split(","):
            yield from expand(path[: choice.start()] + word + path[choice.end() :])
        return
    yield from REPOSITORY.glob(path)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_in_documents_lead_somewhere(document):
    folder = (REPOSITORY / document).parent
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (REPOSITORY / document).read_text())
    assert [link for link in links if not (folder / link).exists()] == []
