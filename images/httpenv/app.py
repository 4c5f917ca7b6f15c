"""httpenv: answers every request on port 8888 with its environment, as a JSON object."""

import json
from pathlib import Path

from web import Answer, serve


def environment(block):
    """Return the variables of an environment as the kernel keeps it."""
    pairs = (entry.decode(errors="replace").partition("=") for entry in block.split(b"\0") if entry)
    return {name: value for name, _, value in pairs}


def main(_words, _environ, port=8888):
    """Serve until a signal."""
    # Not os.environ: Python adds a variable of its own to it.
    variables = environment(Path("/proc/self/environ").read_bytes())
    text = json.dumps(variables, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    print(f"Starting httpenv listening on port {port}.", flush=True)
    serve({("0.0.0.0", port): lambda _request: Answer(text)})
