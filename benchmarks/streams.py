"""How fast bytes go into and out of pods: exec, cp and port-forward of the real kubectl.

Beside each, in turns with it, the least this machine needs for the same by hand: ``nsenter`` and
``cat`` through pipes, ``socat`` into the pod's namespace. Makes a sandboxed lab of its own and
removes it. Run as root:

    python -m benchmarks.streams [--mib 256] [--rounds 3] [--write benchmarks/results/streams.md]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.client_tools import kubectls

LAB = "bench-streams"
FORWARDED, BY_HAND, SERVER = 28601, 28602, 9000
STEP_LIMIT_S = 120
CALLS = 20
POD = """
apiVersion: v1
kind: Pod
metadata: {name: bench}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: busybox, command: [sleep, infinity]}]
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where it is measured. blob: a file of the size that is sent; netns: the pod's."""

    folder: Path
    blob: Path
    netns: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """For kubectl and netlab."""
        return {**os.environ, "KUBECONFIG": str(self.folder / "kubeconfig")}


def call(place: Place, words: Sequence[str], **options: object) -> None:
    """Run a program; its failure ends the measurement."""
    subprocess.run(words, env=place.environment, check=True, timeout=STEP_LIMIT_S, **options)  # type: ignore[call-overload]


def timed(action: Callable[[], None]) -> float:
    """Return how many seconds an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


@contextlib.contextmanager
def lab(mib: int) -> Iterator[Place]:
    """Yield a lab with a pod, in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="netlab-bench-"))
    place = Place(folder, folder / "blob")
    block = os.urandom(1 << 20)
    with place.blob.open("wb") as file:
        for _ in range(mib):
            file.write(block)
    netlab = [sys.executable, "-m", "netlab"]
    try:
        call(place, [*netlab, "up", "--sandbox", "--name", LAB, "-q"])
        kubectl = str(kubectls()["1.33"])
        call(place, [kubectl, "apply", "-f", "-"], input=POD.encode(), stdout=subprocess.DEVNULL)
        call(
            place,
            [kubectl, "wait", "--for=condition=Ready", "pod/bench"],
            stdout=subprocess.DEVNULL,
        )
        (netns,) = Path("/run/netns").glob(f"netlab-{LAB}_default_bench_*")
        yield Place(folder, place.blob, str(netns))
    finally:
        subprocess.run([*netlab, "down", "--name", LAB], env=place.environment, check=False)
        shutil.rmtree(folder)


@contextlib.contextmanager
def background(place: Place, *words: str) -> Iterator[None]:
    """Keep a program running."""
    process = subprocess.Popen(
        words, env=place.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(1.5)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def output(place: Place, *words: str) -> Callable[[], None]:
    """Return an action: run a program, drop what it prints (through a pipe)."""

    def act() -> None:
        with subprocess.Popen(words, env=place.environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            size = 0
            while data := process.stdout.read1(1 << 20):
                size += len(data)
        if size < place.blob.stat().st_size:
            raise RuntimeError(f"{words[0]}: only {size} bytes came")

    return act


def fed(place: Place, *words: str) -> Callable[[], None]:
    """Return an action: run a program with the blob as its input, through a pipe."""

    def act() -> None:
        with subprocess.Popen(["cat", str(place.blob)], stdout=subprocess.PIPE) as source:
            call(place, words, stdin=source.stdout)

    return act


def pairs(place: Place, kubectl: str) -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
    """Return name -> (through netlab, by hand)."""
    inside = ["nsenter", f"--net={place.netns}"]
    exec_words = [kubectl, "exec", "-i", "bench", "--"]
    blob = str(place.blob)
    download = ["socat", "-u", "-b262144"]
    return {
        "exec, out": (
            output(place, kubectl, "exec", "bench", "--", "cat", "/tmp/blob"),
            output(place, *inside, "cat", blob),
        ),
        "exec, in": (
            fed(place, *exec_words, "sh", "-c", "cat > /dev/null"),
            fed(place, *inside, "sh", "-c", "cat > /dev/null"),
        ),
        "port-forward, out": (
            output(place, *download, f"TCP:127.0.0.1:{FORWARDED}", "-"),
            output(place, *download, f"TCP:127.0.0.1:{BY_HAND}", "-"),
        ),
    }


def measure(place: Place, kubectl: str, mib: int, rounds: int) -> list[str]:
    """Return the rows of one kubectl."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    by_hand = f"nsenter --net={place.netns} socat -b262144 STDIO TCP\\:127.0.0.1\\:{SERVER}"
    inside = ["nsenter", f"--net={place.netns}"]
    serve = f"TCP-LISTEN:{SERVER},reuseaddr,fork"
    with (
        background(place, *inside, "socat", "-U", "-b262144", serve, f"OPEN:{place.blob}"),
        background(place, kubectl, "port-forward", "pod/bench", f"{FORWARDED}:{SERVER}"),
        background(
            place,
            "socat",
            "-b262144",
            f"TCP-LISTEN:{BY_HAND},bind=127.0.0.1,reuseaddr,fork",
            f'EXEC:"{by_hand}"',
        ),
    ):
        for _ in range(rounds):
            for name, (through, hand) in pairs(place, kubectl).items():
                times = found.setdefault(name, ([], []))
                times[0].append(timed(through))
                times[1].append(timed(hand))
    rows = []
    version = kubectl.rpartition("kubectl.")[2]
    for name, (through_s, hand_s) in found.items():
        speed, floor = mib / statistics.median(through_s), mib / statistics.median(hand_s)
        rows.append(f"| {name} | {version} | {speed:.0f} | {floor:.0f} | {speed / floor:.2f} |")
        print(rows[-1], file=sys.stderr)
    return rows


def start_times(place: Place, kubectl: str) -> str:
    """Return the row of a command that does nothing."""
    words = [kubectl, "exec", "bench", "--", "true"]
    through = statistics.median(timed(lambda: call(place, words)) for _ in range(CALLS))
    floor_words = [kubectl, "version", "--client"]
    floor = statistics.median(
        timed(lambda: call(place, floor_words, stdout=subprocess.DEVNULL)) for _ in range(CALLS)
    )
    return (
        f"`kubectl exec … true`: {through * 1000:.0f} ms; `kubectl version --client`, which asks "
        f"nobody: {floor * 1000:.0f} ms."
    )


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    known = kubectls()
    with lab(options.mib) as place:
        upload = ["cp", str(place.blob), "bench:/tmp/blob"]
        call(place, [str(known["1.33"]), *upload])
        rows = []
        for version in ("1.27", "1.33"):
            rows += measure(place, str(known[version]), options.mib, options.rounds)
        starting = start_times(place, str(known["1.33"]))
    lines = [
        "# Streams",
        "",
        f"`python -m benchmarks.streams --mib {options.mib} --rounds {options.rounds}`, Python "
        f"{platform.python_version()}, {os.cpu_count()} CPUs. Medians; kubectl 1.27 speaks SPDY, "
        "1.33 WebSocket.",
        "By hand: `nsenter` + `cat` through a pipe, `socat` into the pod's namespace; neither of "
        "them encrypts, which kubectl and the server both do.",
        "",
        "| what | kubectl | MiB/s | by hand, MiB/s | ratio |",
        "|---|---|---|---|---|",
        *rows,
        "",
        starting,
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        options.write.write_text(text)


if __name__ == "__main__":
    main()
