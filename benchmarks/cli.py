"""How long ``netlab get pods`` takes, beside ``kubectl get pods`` on the same server.

Starts an API server on loopback (real store, TLS, client certificates) with 20 pods, runs both
commands in turn, and prints the medians; ``--save`` writes them to ``benchmarks/results/cli.md``.
Floors beside them: starting the interpreter, and ``kubectl version --client``.

Usage: python benchmarks/cli.py [--rounds N] [--save]
"""

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.api import api_lab  # noqa: E402

GOAL = 1.2
SCRIPT = """#!{python}
import sys
from netlab.__main__ import main
sys.exit(main())
"""


def find_kubectl():
    for folder in ("/usr/lib/google-cloud-sdk/bin",):
        found = Path(folder) / "kubectl.1.33"
        if found.exists():
            return str(found)
    return shutil.which("kubectl")


def milliseconds(argv, environment):
    start = time.perf_counter()
    done = subprocess.run(argv, env=environment, capture_output=True)
    elapsed = (time.perf_counter() - start) * 1000
    if done.returncode:
        raise SystemExit(f"{argv}: {done.stderr.decode()}")
    return elapsed


def measure(folder, rounds):
    kubectl = find_kubectl()
    if kubectl is None:
        raise SystemExit("there is no kubectl on this machine to compare with")
    netlab = folder / "netlab"
    netlab.write_text(SCRIPT.format(python=sys.executable))
    netlab.chmod(0o755)
    environment = {
        "HOME": str(folder),
        "KUBECONFIG": str(folder / "config"),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
    }
    rows = {
        "netlab get pods": [str(netlab), "get", "pods"],
        "kubectl get pods": [kubectl, "get", "pods"],
        "netlab get pods -o yaml": [str(netlab), "get", "pods", "-o", "yaml"],
        "kubectl get pods -o yaml": [kubectl, "get", "pods", "-o", "yaml"],
        "netlab describe pod pod-3": [str(netlab), "describe", "pod", "pod-3"],
        "kubectl describe pod pod-3": [kubectl, "describe", "pod", "pod-3"],
        "netlab --help": [str(netlab), "--help"],
        "floor: python -c pass": [sys.executable, "-c", "pass"],
        "floor: kubectl version --client": [kubectl, "version", "--client"],
    }
    for argv in rows.values():
        milliseconds(argv, environment)  # bytecode and kubectl's discovery cache
    samples = {name: [] for name in rows}
    for _ in range(rounds):
        for name, argv in rows.items():
            samples[name].append(milliseconds(argv, environment))
    return {name: statistics.median(values) for name, values in samples.items()}


async def run(rounds):
    with tempfile.TemporaryDirectory(prefix="netlab-cli-") as name:
        folder = Path(name)
        async with api_lab(folder) as lab:
            for number in range(20):
                await lab.make_pod(f"pod-{number}")
            config = folder / "config"
            config.write_text(to_block_yaml(lab.kubeconfig()))
            return await asyncio.to_thread(measure, folder, rounds)


def to_block_yaml(text):
    """The kubeconfig as ``netlab up`` writes it: YAML, not JSON."""
    import json

    import yaml

    return yaml.safe_dump(json.loads(text))


def report(medians):
    ratio = medians["netlab get pods"] / medians["kubectl get pods"]
    lines = ["| command | median, ms |", "|---|---|"]
    lines += [f"| `{name}` | {value:.1f} |" for name, value in medians.items()]
    verdict = "met" if ratio <= GOAL else "missed"
    lines += [
        "",
        f"`netlab get pods` takes {ratio:.2f} × `kubectl get pods` (goal ≤ {GOAL}: {verdict}).",
    ]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    text = report(asyncio.run(run(options.rounds)))
    print(text)
    if options.save:
        results = ROOT / "benchmarks" / "results" / "cli.md"
        results.parent.mkdir(exist_ok=True)
        header = f"# Command line\n\n`python benchmarks/cli.py --rounds {options.rounds} --save`, "
        header += f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs. All commands in turn, "
        header += "TLS with client certificates, 20 pods.\n\n"
        results.write_text(header + text + "\n")


if __name__ == "__main__":
    main()
