"""Small images for tests, as OCI layouts and docker archives, honest and hostile ones."""

import gzip
import hashlib
import io
import json
import platform
import shutil
import tarfile
from pathlib import Path

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def layer_tar(*entries):
    """Return a layer. An entry is (path, bytes), or a tarfile.TarInfo as it is to be written."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
                continue
            path, content = entry
            member = tarfile.TarInfo(path)
            member.size = len(content)
            member.mode = 0o755
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def special(path, kind, *, link="", mode=0o777, device=(1, 3)):
    """Return a tar entry that is no plain file; kind as tarfile's constants."""
    member = tarfile.TarInfo(path)
    member.type, member.linkname, member.mode = kind, link, mode
    member.devmajor, member.devminor = device
    return member


def busybox_layer(*more):
    """Return a layer with a shell."""
    program = Path(shutil.which("busybox")).read_bytes()
    applets = ("sh", "cat", "echo", "id", "sleep", "ls", "env", "pwd", "stat")
    links = [special(f"bin/{name}", tarfile.SYMTYPE, link="busybox") for name in applets]
    passwd = b"root:x:0:0::/:/bin/sh\nana:x:1234:1234::/:/bin/sh\n"
    return layer_tar(
        ("bin/busybox", program),
        *links,
        ("etc/passwd", passwd),
        ("etc/group", b"root:x:0:\nana:x:1234:\n"),
        *more,
    )


def write_layout(
    folder, *layers, name="img:1", architecture=ARCHITECTURE, diff_ids=None, **process
):
    """Write an OCI layout with one image; return its folder. process: Cmd=…, Env=… and so on."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def blob(data):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    found = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": process,
        "rootfs": {"type": "layers", "diff_ids": diff_ids or found},
    }
    kind = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": {"mediaType": f"{kind}.config.v1+json", **blob(json.dumps(config).encode())},
        "layers": [
            {"mediaType": f"{kind}.layer.v1.tar+gzip", **blob(gzip.compress(layer, 1, mtime=0))}
            for layer in layers
        ],
    }
    entry = {
        "mediaType": f"{kind}.manifest.v1+json",
        **blob(json.dumps(manifest).encode()),
        "annotations": {"org.opencontainers.image.ref.name": name} if name else {},
    }
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return folder


def write_archive(layout, path):
    """Pack a layout as an OCI archive; return its path."""
    with tarfile.open(path, "w") as archive:
        for member in sorted(layout.rglob("*")):
            archive.add(member, member.relative_to(layout), recursive=False)
    return path


def layer_blob(layout, at=0):
    """Return the file of a layout's layer."""
    blobs = layout / "blobs"
    entry = json.loads((layout / "index.json").read_text())["manifests"][0]
    manifest = json.loads((blobs / entry["digest"].replace(":", "/")).read_text())
    return blobs / manifest["layers"][at]["digest"].replace(":", "/")


def manifest_blob(layout):
    """Return the file of a layout's manifest."""
    entry = json.loads((layout / "index.json").read_text())["manifests"][0]
    return layout / "blobs" / entry["digest"].replace(":", "/")
