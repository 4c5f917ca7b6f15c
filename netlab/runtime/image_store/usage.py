"""Which images containers use now, and what they take of the disk.

A container's root is an overlay over its image's folders, so the kernel's own list of mounts tells
which images are in use, of every lab, with no list kept beside it that a crash could falsify.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from netlab.runtime.image_store.records import StoredImage
from netlab.runtime.records import ContainerRecord, read_record
from netlab.runtime.reference import ImageReference, parse_reference

# the kernel writes a comma inside a path in octal
_LOWER = re.compile(r"(?:^|,)lowerdir=([^,]*)")
_OCTAL = re.compile(r"\\([0-7]{3})")


def lower_folders(mountinfo: str) -> Mapping[Path, list[Path]]:
    """Return the mount points of overlays by each folder below them, from a ``mountinfo`` text."""
    found: dict[Path, list[Path]] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        words = right.split(" ")
        if len(words) < 3 or words[0] != "overlay":
            continue
        target = Path(_unescaped(left.split(" ")[4]))
        options = _LOWER.search(words[2])
        for folder in re.split(r"(?<!\\):", _unescaped(options[1])) if options else ():
            found.setdefault(Path(re.sub(r"\\(.)", r"\1", folder)), []).append(target)
    return found


def _unescaped(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


@dataclass(frozen=True, slots=True)
class ImageUser:
    """A container that exists, in words, and the image its pod asked for ("" when unknown)."""

    words: str
    image: str


def users_of(image: StoredImage, rootfs: Path, mounted: Mapping[Path, list[Path]]) -> list[str]:
    """Return the containers that use an image, in words; rootfs is its unpacked folder.

    One of a recipe has layers elsewhere, so it is known by the name that the pod asked for.
    """
    users = [user_at(target) for target in mounted.get(rootfs, ())]
    if image.recipe:
        users += users_where(image.answers, mounted)
    return sorted({user.words for user in users})


def users_where(
    wanted: Callable[[ImageReference], bool], mounted: Mapping[Path, list[Path]]
) -> list[ImageUser]:
    """Return the containers whose image, as their pods name it, is wanted."""
    targets = {target for targets in mounted.values() for target in targets}
    users = (user_at(target) for target in sorted(targets))
    return [user for user in users if user.image and wanted(parse_reference(user.image))]


def user_at(root: Path) -> ImageUser:
    """Return who a container is whose root is mounted here.

    The place is RUN/LAB/runtime/containers/ID/rootfs.
    """
    record = read_record(root.parent / "record.json", ContainerRecord)
    if record is None:
        return ImageUser(f"a container at {root}", "")
    lab = root.parents[3].name
    words = f"container {record.name} of pod {record.namespace}/{record.pod_name} (lab {lab})"
    return ImageUser(words, record.image)


def mounted_layers() -> Mapping[Path, list[Path]]:
    """Return ``lower_folders`` of this machine now."""
    return lower_folders(Path("/proc/self/mountinfo").read_text())


def file_bytes(folder: Path) -> int:
    """Return the size of all files below a folder as programs see it, each file once."""
    return sum(found.st_size for found in _stats(folder) if stat.S_ISREG(found.st_mode))


def disk_bytes(folder: Path) -> int:
    """Return what a folder takes of the disk; 0 when there is none."""
    return sum(found.st_blocks * 512 for found in _stats(folder))


def _stats(folder: Path) -> Iterator[os.stat_result]:
    """Yield the stat of everything below a folder but folders; a file with two names once."""
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except (FileNotFoundError, NotADirectoryError):
            # Somebody removes things here while they are counted.
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            key = (found.st_dev, found.st_ino)
            if found.st_nlink == 1 or key not in seen:
                seen.add(key)
                yield found
