"""Brings programs of Debian packages into images, and leaves the machine as it is.

Where a real server exists as a Debian package, netlab's image runs the real one: this module has
apt download the packages (with the machine's own sources, so apt checks the signatures), unpacks
them with ``dpkg-deb -x`` into a folder that images put above the host's /usr, and installs
nothing: no maintainer script runs, no service starts, apt's and dpkg's own state is not written.
It plays what building an image FROM debian with ``apt-get install`` plays elsewhere.

Only what the machine lacks is fetched: dependencies that are installed are lent by the host's
/usr. The packages that a recipe names are always fetched, because the image needs their /etc too.
A set that relies on a package which was removed since counts as not there and is fetched again.

Rules: everything here blocks (callers use a thread). ``folder`` may be shared by several netlabs: a
set is written beside its place and renamed under a lock. Sets in use by containers are never
changed; a newer one lies beside the older until ``forget``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from netlab.errors import ImageError
from netlab.runtime.apt import AptError, run_apt
from netlab.runtime.dpkg import (
    closure,
    lists_are_old,
    parse_packages,
    split_paragraphs,
    without_packages,
)
from netlab.runtime.locking import locked

Progress = Callable[[str], None]

DEFAULT_FOLDER = Path("/var/lib/netlab/images/packages")

_STATUS = Path("/var/lib/dpkg/status")
_LISTS_TIMEOUT_S = 180.0
_DOWNLOAD_TIMEOUT_S = 600.0
_UNPACK_TIMEOUT_S = 120.0
# Since Debian 12 these are links into /usr; packages may still carry files by the old names.
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a set holds. wanted: as in the recipe; lent: packages of the host it relies on."""

    wanted: list[str]
    versions: dict[str, str]
    lent: list[str]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PackageSet:
    """Unpacked packages. root: what they put below /; versions: by package name."""

    root: Path
    versions: Mapping[str, str]
    size_bytes: int

    @property
    def usr(self) -> Path:
        """The folder to show above the host's /usr."""
        return self.root / "usr"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a recipe asks for: packages with their dependencies, and alone without them."""

    packages: Sequence[str]
    alone: Sequence[str] = ()

    @property
    def names(self) -> list[str]:
        """All names; a set is found by them."""
        return [*self.packages, *(f"{name} alone" for name in self.alone)]


class DebianPackages:
    """The sets of unpacked packages below a folder. status: dpkg's list of what is installed."""

    def __init__(self, folder: Path = DEFAULT_FOLDER, *, status: Path = _STATUS) -> None:
        self._folder = folder
        self._status = status
        self._installed: tuple[int, frozenset[str]] = (-1, frozenset())

    def find(self, wanted: Wanted) -> PackageSet | None:
        """Return the newest set of these packages that works on this machine, or None."""
        installed = self._installed_names()
        for manifest_path in self._manifests(wanted):
            manifest = _read_manifest(manifest_path)
            if manifest and manifest.wanted == wanted.names and installed.issuperset(manifest.lent):
                root = manifest_path.parent / "root"
                return PackageSet(root, manifest.versions, manifest.size_bytes)
        return None

    def fetch(self, wanted: Wanted, progress: Progress | None = None) -> PackageSet:
        """Return the set of these packages, downloading it if it is not there.

        progress: told what is being done, one line each.

        Raises: ImageError in one line, e.g. without apt or network.
        """
        if found := self.find(wanted):
            return found
        if shutil.which("apt-get") is None or not self._status.is_file():
            raise ImageError(
                f"Debian packages {_listed(wanted)}: this machine has no apt; the image can "
                f"only be fetched on Debian and systems made from it"
            )
        tell = progress or (lambda _line: None)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with locked(self._folder / ".lock"):
                if found := self.find(wanted):
                    return found
                self._sweep()
                partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=self._folder))
                try:
                    self._make(wanted, partial, tell)
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
        except OSError as error:
            raise ImageError(f"Debian packages {_listed(wanted)}: {error}") from error
        found = self.find(wanted)
        if found is None:
            raise ImageError(f"Debian packages {_listed(wanted)}: changed while being unpacked")
        return found

    def forget(self, wanted: Wanted) -> None:
        """Remove every set of these packages; no container may use one."""
        for manifest_path in self._manifests(wanted):
            # Without its manifest a set is not found; a half-removed one is swept later.
            manifest_path.unlink(missing_ok=True)
            shutil.rmtree(manifest_path.parent, ignore_errors=True)

    def _make(self, wanted: Wanted, partial: Path, tell: Progress) -> None:
        status = parse_packages(self._status.read_text(errors="replace"))
        kept = without_packages(status, wanted.packages)
        reduced = partial / "status"
        reduced.write_text("".join(f"{package.text}\n\n" for package in kept.values()))
        archives = partial / "archives"
        (archives / "partial").mkdir(parents=True)
        tell(f"downloading {_listed(wanted)} from Debian")
        self._download(wanted, reduced, archives, tell)
        debs = sorted(archives.glob("*.deb"))
        unpacked = partial / "set" / "root"
        unpacked.mkdir(parents=True)
        fetched = parse_packages("\n\n".join(_control(deb) for deb in debs))
        for deb in debs:
            tell(f"unpacking {deb.name.partition('_')[0]}")
            _run(["dpkg-deb", "-x", str(deb), str(unpacked)], _UNPACK_TIMEOUT_S, what=deb.name)
        _merge_usr(unpacked)
        unpacked.chmod(0o755)
        relied = [name for name in fetched if name not in wanted.alone]
        manifest = _Manifest(
            wanted=wanted.names,
            versions={name: package.version for name, package in fetched.items()},
            lent=sorted(closure(relied, fetched, kept) - set(fetched)),
            size_bytes=_size_bytes(unpacked),
        )
        content = msgspec.json.encode(manifest)
        (partial / "set" / "manifest.json").write_bytes(content)
        place = self._folder / f"{_slug(wanted)}-{hashlib.sha256(content).hexdigest()[:12]}"
        if place.exists():
            # Forgotten half-way; nothing finds it.
            place.rename(partial / "replaced")
        (partial / "set").rename(place)

    def _download(self, wanted: Wanted, status: Path, archives: Path, tell: Progress) -> None:
        """Have apt fetch the archives; where the machine's own package lists are missing or too
        old, with fresh lists that are kept apart from the machine's.
        """
        try:
            self._apt(wanted, status, archives, [])
        except AptError as error:
            if not lists_are_old(error.output):
                raise ImageError(f"Debian packages {_listed(wanted)}: {error.cause}") from error
        else:
            return
        lists = self._folder / ".lists"
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        own = [f"-oDir::State::lists={lists}", f"-oDir::State::status={status}"]
        tell("the machine's package lists are missing or old: fetching new ones")
        try:
            run_apt(["apt-get", *own, "update"], _LISTS_TIMEOUT_S)
            self._apt(wanted, status, archives, own)
        except AptError as error:
            raise ImageError(f"Debian packages {_listed(wanted)}: {error.cause}") from error

    def _apt(self, wanted: Wanted, status: Path, archives: Path, options: Sequence[str]) -> None:
        common = [f"-oDir::State::status={status}", *options]
        places = [f"-oDir::Cache::archives={archives}"]
        install = ["install", "--download-only", "--yes", "--no-install-recommends"]
        run_apt(
            ["apt-get", *common, *places, *install, "--", *wanted.packages], _DOWNLOAD_TIMEOUT_S
        )
        if wanted.alone:
            download = ["apt-get", *common, "download", "--", *wanted.alone]
            run_apt(download, _DOWNLOAD_TIMEOUT_S, folder=archives)

    def _manifests(self, wanted: Wanted) -> list[Path]:
        """Return the manifests of the sets that may be these packages', the newest first."""
        found = self._folder.glob(f"{_slug(wanted)}-*/manifest.json")
        return sorted(found, key=_modified_ns, reverse=True)

    def _installed_names(self) -> frozenset[str]:
        try:
            stamp = self._status.stat().st_mtime_ns
            if stamp != self._installed[0]:
                names = frozenset(parse_packages(self._status.read_text(errors="replace")))
                self._installed = (stamp, names)
        except OSError:
            return frozenset()
        return self._installed[1]

    def _sweep(self) -> None:
        """Remove what a killed netlab left; called under the lock."""
        unfinished = self._folder.glob(".partial-*")
        forgotten = (
            path
            for path in self._folder.glob("[!.]*")
            if path.is_dir() and not (path / "manifest.json").exists()
        )
        for left in [*unfinished, *forgotten]:
            shutil.rmtree(left, ignore_errors=True)


def _run(argv: Sequence[str], timeout_s: float, *, what: str) -> bytes:
    try:
        done = subprocess.run(
            list(argv), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=True
        )
    except subprocess.CalledProcessError as error:
        cause = error.stderr.decode(errors="replace").strip() or f"exit code {error.returncode}"
        raise ImageError(f"package {what}: {cause.splitlines()[-1]}") from error
    except subprocess.TimeoutExpired as error:
        raise ImageError(f"package {what}: no end after {timeout_s:.0f} s") from error
    return done.stdout


def _control(deb: Path) -> str:
    output = _run(["dpkg-deb", "-f", str(deb)], _UNPACK_TIMEOUT_S, what=deb.name)
    # dpkg's list says which packages are installed; these count as installed together with it.
    paragraph = next(split_paragraphs(output.decode(errors="replace")), "")
    return f"{paragraph}\nStatus: install ok installed"


def _merge_usr(root: Path) -> None:
    for name in _MERGED:
        if (root / name).is_dir() and not (root / name).is_symlink():
            (root / "usr" / name).mkdir(parents=True, exist_ok=True)
            _merge(root / name, root / "usr" / name)
    (root / "usr").mkdir(exist_ok=True)


def _merge(source: Path, target: Path) -> None:
    for entry in list(source.iterdir()):
        place = target / entry.name
        if entry.is_dir() and not entry.is_symlink() and place.is_dir():
            _merge(entry, place)
        else:
            entry.rename(place)
    source.rmdir()


def _size_bytes(root: Path) -> int:
    files = (Path(folder, name) for folder, _, names in os.walk(root) for name in names)
    return sum(path.lstat().st_size for path in files)


def _read_manifest(path: Path) -> _Manifest | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Manifest)
    except (OSError, msgspec.DecodeError):
        return None


def _modified_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _slug(wanted: Wanted) -> str:
    digest = hashlib.sha256("\n".join(wanted.names).encode()).hexdigest()[:8]
    return f"{wanted.packages[0]}-{digest}"


def _listed(wanted: Wanted) -> str:
    return ", ".join([*wanted.packages, *wanted.alone])
