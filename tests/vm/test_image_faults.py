"""An image that is damaged, or made for another agent, is refused before it boots, with the remedy."""

import json
import subprocess

import pytest

import nv


def refused(done, *words):
    text = done.stderr.decode()
    assert done.returncode == 125, text
    for word in words:
        assert word in text, f"{word!r} is not in: {text}"
    assert "image build" in text


@pytest.mark.parametrize("file", ["vmlinux", "initrd.cpio", "rootfs.erofs", "manifest.json"])
def test_one_flipped_bit_in_any_file_is_found_and_named(store, file):
    store.flip(file)
    refused(nv.python("print('ran')", env=store.env()), file)


def test_missing_and_cut_files_are_found(store):
    kernel = (store.object / "vmlinux").read_bytes()
    store.replace("vmlinux", kernel[:-1])
    refused(nv.python("print('ran')", env=store.env()), "vmlinux")
    (store.object / "vmlinux").unlink()
    refused(nv.python("print('ran')", env=store.env()), "vmlinux")


def test_damage_after_the_first_verification_is_found_too(store):
    first = nv.python("print('ran')", env=store.env())
    assert (first.stdout, first.stderr, first.returncode) == (b"ran\n", b"", 0)
    store.flip("vmlinux")
    refused(nv.python("print('ran')", env=store.env()), "vmlinux")


@pytest.mark.parametrize("field,value", [("version", "0.0.1-other"), ("protocol", 999)])
def test_image_for_another_agent_is_refused(store, field, value):
    store.edit_manifest(lambda manifest: manifest["agent"].update({field: value}))
    refused(nv.python("print('ran')", env=store.env()), str(value))


def test_doctor_tells_a_right_image_from_a_damaged_one(store):
    def doctor():
        done = subprocess.run([nv.NEUROVISOR, "doctor", "--json"], env=store.env(), capture_output=True, timeout=30,
                              check=False)
        report = json.loads(done.stdout)
        return done.returncode, report["ok"], {row["name"]: row for row in report["rows"]}

    status, ok, rows = doctor()
    assert (status, ok, rows["image"]["state"], rows["qemu"]["state"]) == (0, True, "ok", "ok")
    store.flip("rootfs.erofs")
    status, ok, rows = doctor()
    assert (status, ok, rows["image"]["state"]) == (1, False, "missing")
    assert "image build" in rows["image"]["remedy"]
