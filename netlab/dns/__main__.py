"""The program in the DNS pod: ``python -m netlab.dns``.

Answers from the first moment (SERVFAIL for the cluster's names until they are known), prints
``ready`` when it knows them, and ends on SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from netlab.client.informers import SharedInformers
from netlab.clock import SystemClock
from netlab.dns.api_reader import ACCOUNT_DIR, ApiAddress, ApiReader
from netlab.dns.feed import ZoneFeed
from netlab.dns.forward import Forwarder, read_resolvers
from netlab.dns.server import DnsServer
from netlab.dns.status_pages import StatusPages
from netlab.dns.table import AnswerTable
from netlab.dns.zone import Zone
from netlab.errors import NetlabError


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="netlab-dns", description="The cluster's DNS server.")
    parser.add_argument("--zone", default="cluster.local", help="the cluster's domain")
    parser.add_argument("--address", default="0.0.0.0", help="address to listen on")
    parser.add_argument("--port", type=int, default=53, help="port to listen on")
    parser.add_argument("--resolv-conf", type=Path, default=Path("/etc/resolv.conf"))
    parser.add_argument(
        "--account-dir", type=Path, default=ACCOUNT_DIR, help="folder of ca.crt and token"
    )
    return parser.parse_args(argv)


def _say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


async def serve(options: argparse.Namespace, api: ApiAddress) -> None:
    """Answer until SIGTERM or SIGINT."""
    table = AnswerTable(Zone(options.zone))
    server = DnsServer(table, Forwarder(read_resolvers(options.resolv_conf)))
    feed = ZoneFeed(SharedInformers(ApiReader(api), SystemClock()), table)
    pages = StatusPages(server)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start(options.address, options.port)
    try:
        await pages.start(options.address)
        following = asyncio.create_task(feed.run(_say_ready))
        ending = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait((following, ending), return_when=asyncio.FIRST_COMPLETED)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        for task in done:
            task.result()
    finally:
        await pages.close()
        await server.close()


def run_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop where it loads; it answers four times as many questions."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)


def main() -> int:
    """Run the server; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    options = arguments(sys.argv[1:])
    try:
        run_loop(serve(options, ApiAddress.of_pod(account_dir=options.account_dir)))
    except (NetlabError, OSError) as error:
        sys.stderr.write(f"netlab-dns: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
