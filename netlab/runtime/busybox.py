"""busybox as its own images have it: built in full, once for the machine, from Debian's source.

Debian builds its busybox without much of what lessons use: wget's timeout (asking for it ends in a
segmentation fault), ``nc -z``, ``-v`` and ``-k``, ``adduser``. The registries' images ``busybox``
and ``alpine`` are built with nearly all there is. So ``netlab image pull busybox`` (``./lab
install`` does it too) has apt fetch the source, checked by the archive's signatures, and compiles
it with busybox's own ``defconfig``; a compiler that the machine lacks is unpacked beside it and
not installed. It takes a minute of processor time and leaves one static program. Until then
Debian's stands in. (Scripts in front of it would not help: its shell prefers its own applets.)

Blocking, for a thread. The compiler runs without network, in its own mount namespace.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from netlab.errors import ImageError
from netlab.runtime.apt import AptError, own_lists, run_apt
from netlab.runtime.dpkg import source_entries
from netlab.runtime.locking import locked
from netlab.runtime.packages import DebianPackages, Progress, Wanted

DEFAULT_FOLDER: Final = Path("/var/lib/netlab/images/busybox")
_COMPILER: Final = ("gcc", "make", "libc6-dev", "bzip2")
_APT_FOLDER: Final = Path("/etc/apt")
_BUILD_TIMEOUT_S = 1800.0
_UPDATE_TIMEOUT_S = 180.0
_DOWNLOAD_TIMEOUT_S = 300.0
_APPLETS_TIMEOUT_S = 10.0
_ERROR_LINES = 3

# What differs from defconfig: linked statically, as the images are; tc needs kernel headers that
# newer kernels no longer have, and no image has it.
_SCRIPT: Final = r"""
set -eu
tar xjf "$1"
cd busybox-*/
make defconfig
sed -i -e 's/.*CONFIG_STATIC[ =].*/CONFIG_STATIC=y/' -e '/^CONFIG_TC=y/d' .config
yes '' | make oldconfig
make -j"$2" busybox
./busybox true
cp busybox ../busybox
"""


class FullBusybox:
    """The busybox that was built on this machine, below a folder that labs share."""

    def __init__(self, folder: Path = DEFAULT_FOLDER) -> None:
        self._folder = folder

    def find(self) -> Path | None:
        """Return the program, the newest that was built; None before that."""
        found = sorted(self._folder.glob("*/busybox"), key=lambda path: path.stat().st_mtime_ns)
        return found[-1] if found else None

    def build(self, progress: Progress) -> Path:
        """Return the program, fetching and compiling it unless it is there.

        Raises: ImageError in one line, e.g. without apt, network or a compiler.
        """
        if found := self.find():
            return found
        self._folder.mkdir(parents=True, exist_ok=True)
        with locked(self._folder / ".lock"):
            if found := self.find():
                return found
            work = Path(tempfile.mkdtemp(prefix=".build-", dir=self._folder))
            try:
                return self._build_in(work, progress)
            except OSError as error:
                raise ImageError(f"busybox: {error}") from error
            finally:
                shutil.rmtree(work, ignore_errors=True)

    def _build_in(self, work: Path, progress: Progress) -> Path:
        tools = None
        if not _has_compiler():
            tools = DebianPackages().fetch(Wanted(_COMPILER), progress).usr
        progress("downloading the source of busybox from Debian")
        archive = _fetch_source(work)
        progress(f"compiling {archive.name}: a minute or two")
        _compile(work, archive, tools)
        version = archive.name.removeprefix("busybox_").partition(".orig")[0]
        place = self._folder / version
        made = work / "made"
        made.mkdir()
        (work / "busybox").rename(made / "busybox")
        made.rename(place)
        return place / "busybox"


def list_applets(program: Path) -> list[str]:
    """Return the paths of a busybox's programs, without the leading slash.

    Raises: ImageError.
    """
    try:
        done = subprocess.run(
            [str(program), "--list-full"],
            capture_output=True,
            check=True,
            text=True,
            timeout=_APPLETS_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ImageError(f"{program} --list-full: {error}") from error
    return done.stdout.split()


def program_digest(program: Path) -> str:
    """Return a short name of a program's version on this machine."""
    facts = program.stat()
    return hashlib.sha256(f"{facts.st_size} {facts.st_mtime_ns}".encode()).hexdigest()[:8]


def _has_compiler() -> bool:
    static = any(Path("/usr/lib").glob("*/libc.a"))
    return static and all(map(shutil.which, ("gcc", "make", "bzip2")))


def _fetch_source(work: Path) -> Path:
    """Return the archive of the source, fetched with the machine's own sources of packages."""
    lists, sources = work / "lists", work / "sources"
    (lists / "partial").mkdir(parents=True)
    sources.mkdir()
    for path in [_APT_FOLDER / "sources.list", *sorted(_APT_FOLDER.glob("sources.list.d/*"))]:
        if path.is_file() and (text := source_entries(path.name, path.read_text(errors="replace"))):
            (sources / path.name).write_text(text)
    options = [*own_lists(lists), "-oDir::Etc::sourcelist=/dev/null"]
    options.append(f"-oDir::Etc::sourceparts={sources}")
    try:
        run_apt(["apt-get", *options, "update"], _UPDATE_TIMEOUT_S)
        source = ["apt-get", *options, "source", "--download-only", "busybox"]
        run_apt(source, _DOWNLOAD_TIMEOUT_S, folder=work)
    except AptError as error:
        raise ImageError(f"source of busybox: {error.cause}") from error
    except FileNotFoundError as error:
        raise ImageError("source of busybox: this machine has no apt") from error
    archives = list(work.glob("busybox_*.orig.tar.bz2"))
    if not archives:
        raise ImageError("source of busybox: Debian has none in the form that is known here")
    return archives[0]


def _compile(work: Path, archive: Path, tools: Path | None) -> None:
    """Compile in work; tools: a /usr to show above the machine's own, None for the machine's."""
    script = work / "build.sh"
    script.write_text(_SCRIPT)
    jobs = str(max(1, len(os.sched_getaffinity(0))))
    argv = ["nice", "sh", str(script), str(archive), jobs]
    if tools is not None:
        # the compiler's folders over /usr, in a mount namespace that ends with it
        show = f'mount -t overlay overlay -o "lowerdir={tools}:/usr" /usr; exec "$@"'
        argv = ["sh", "-euc", show, "sh", *argv]
    _run(["unshare", "--mount", "--net", "--", *argv], work)


def _run(argv: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": str(folder)},
            cwd=folder,
            timeout=_BUILD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ImageError(f"busybox: no end of compiling after {error.timeout:.0f} s") from error
    if done.returncode:
        raise ImageError(f"busybox: cannot be compiled: {_error_of(done.stdout)}")


def _error_of(output: bytes) -> str:
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"error|not found|cannot", line, re.IGNORECASE)]
    return "; ".join((errors or lines)[:_ERROR_LINES]) or "no reason given"
