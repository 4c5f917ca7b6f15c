"""``netlab up``: start a lab in the background and wait until it works.

Checks the machine, starts the daemon (``netlab.daemon``) detached from this terminal, shows its
steps with their times, and merges a context into the kubeconfig. On a lab that runs already it
only checks and merges again; on one whose daemon was killed it starts a new daemon, which adopts
the pods that still run.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Literal

import click
import msgspec

from netlab.cli.teardown import remove_lab
from netlab.config import DEFAULT_NAME, LabConfig
from netlab.errors import HostError, NetlabError, UsageError
from netlab.nodes.facts import quick_facts
from netlab.nodes.kubeconfig import kubeconfig_paths, merge_context
from netlab.nodes.labs import (
    config_path,
    known_labs,
    kubeconfig_ledger,
    load_config,
    one_at_a_time,
    ports_taken,
    save_config,
)
from netlab.nodes.preflight import Finding, check_host, check_root
from netlab.nodes.process import is_locked, running_daemon, runs_elsewhere
from netlab.nodes.progress import Report, read_reports

NAME_PATTERN = re.compile(r"[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?")
"""A lab's name becomes part of namespace, cgroup and file names, so it is short and plain."""

FIRST_API_PORT = 6443


@click.command("up", short_help="Start a lab.")
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Name of the lab.")
@click.option(
    "--sandbox",
    is_flag=True,
    help="Play the VM in a network namespace of its own; the host's network stays untouched.",
)
@click.option("--node-name", default="", help="Name of the node.  [default: node0]")
@click.option(
    "--node-ip", default="", help="The node's address, may have /PREFIX.  [default: 10.100.199.200]"
)
@click.option("--pod-cidr", default="", help="Range of the pods.  [default: 10.244.0.0/16]")
@click.option("--service-cidr", default="", help="Range of the Services.  [default: 10.96.0.0/12]")
@click.option(
    "--api-port", type=click.IntRange(1, 65535), help="Port of the API server.  [default: 6443]"
)
@click.option(
    "--registries",
    type=click.Choice(["any", "loopback"]),
    help="Where images may be pulled from.  [default: any; with --sandbox: loopback]",
)
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
def up(
    name: str,
    sandbox: bool,
    node_name: str,
    node_ip: str,
    pod_cidr: str,
    service_cidr: str,
    api_port: int | None,
    registries: Literal["any", "loopback"] | None,
    quiet: bool,
) -> None:
    """Start a lab in the background and wait until it works."""
    start = time.monotonic()
    say = _silent if quiet else _echo
    wanted = msgspec.structs.replace(
        _wanted_config(name, sandbox, node_name, node_ip, pod_cidr, service_cidr, api_port),
        registries=registries or ("loopback" if sandbox else "any"),
    )
    facts = quick_facts()
    _stop_at_failure([check_root(facts)])
    with one_at_a_time():
        known = _existing_config(wanted, explicit_port=api_port is not None)
        config = known or _with_port(wanted, api_port)
        findings = check_host(config, facts)
        # the routes of a lab that is up are the lab's own
        _stop_at_failure(f for f in findings if not (known and f.subject == "addresses"))
        if known is None:
            save_config(config)
    if is_locked(config.name):
        say(f'Lab "{config.name}" is running already.')
        _wait_until_served(config)
    else:
        say(f'Creating lab "{config.name}" ...')
        try:
            start_daemon(config, say)
        except HostError as error:
            if known is None:
                raise HostError(f"{error}; its log: {_give_up(config)}") from error
            raise HostError(f"{error}; its log: {_log_path(config)}") from error
        except KeyboardInterrupt:
            flag = "" if config.name == DEFAULT_NAME else f" --name {config.name}"
            goes_on = f"The lab goes on starting; 'netlab down{flag}' removes it."
            click.echo(f"\n{goes_on}", err=True)
            raise
    for path in _merge(config):
        say(f"Set kubectl context to {config.context!r} in {path}")
    say(f"Ready after {time.monotonic() - start:.2f} s.")
    if config.sandbox:
        flag = "" if config.name == DEFAULT_NAME else f" --name {config.name}"
        say(f"A shell on the node: netlab shell{flag}")


def _echo(line: str) -> None:
    click.echo(line)


def _silent(_line: str) -> None:
    pass


def _wanted_config(
    name: str,
    sandbox: bool,
    node_name: str,
    node_ip: str,
    pod_cidr: str,
    service_cidr: str,
    api_port: int | None,
) -> LabConfig:
    """Return the config that the flags ask for."""
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"--name {name!r}: use 1 to 20 lower-case letters, digits and '-', "
            "beginning and ending with a letter or digit"
        )
    defaults = LabConfig()
    node_name = node_name or defaults.node_name
    if len(node_name) > 63 or not re.fullmatch(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?", node_name):
        raise UsageError(
            f"--node-name {node_name!r}: use lower-case letters, digits, '-' and '.', "
            "beginning and ending with a letter or digit"
        )
    return LabConfig(
        name=name,
        sandbox=sandbox,
        node_name=node_name,
        node_address=_interface(node_ip) if node_ip else defaults.node_address,
        pod_cidr=_network("--pod-cidr", pod_cidr) if pod_cidr else defaults.pod_cidr,
        service_cidr=_network("--service-cidr", service_cidr)
        if service_cidr
        else defaults.service_cidr,
        api_port=api_port if api_port is not None else FIRST_API_PORT,
    )


def _interface(text: str) -> IPv4Interface:
    try:
        if "/" in text:
            return IPv4Interface(text)
        return IPv4Interface(f"{IPv4Address(text)}/24")
    except ValueError as error:
        raise UsageError(f"--node-ip {text!r}: {error}; example: 10.100.199.200/24") from error


def _network(flag: str, text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise UsageError(f"{flag} {text!r}: {error}; example: 10.244.0.0/16") from error


def _with_port(config: LabConfig, explicit: int | None) -> LabConfig:
    """Return the config with a port that no lab and no other server uses.

    Raises: UsageError when the port asked for is in use.
    """
    if explicit is not None:
        if explicit in ports_taken() or not _is_free(explicit):
            raise UsageError(f"--api-port {explicit}: in use on 127.0.0.1; choose another port")
        return config
    return msgspec.structs.replace(config, api_port=_free_port(FIRST_API_PORT, ports_taken()))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port(first: int, taken: set[int]) -> int:
    """Return the first port from ``first`` on that nobody listens on, on the host's loopback."""
    for port in range(first, first + 100):
        if port in taken:
            continue
        if _is_free(port):
            return port
    raise HostError(f"ports {first} to {first + 99} are all in use; give one with --api-port")


def _existing_config(wanted: LabConfig, *, explicit_port: bool) -> LabConfig | None:
    """Return the config of a lab of that name that exists, if it agrees with the flags."""
    if not config_path(wanted.name).exists():
        _refuse_second_on_host(wanted)
        return None
    known = load_config(wanted.name)
    differences = [
        f"--{field.replace('_', '-').replace('node-address', 'node-ip')} is {getattr(known, field)}"
        for field in LabConfig.__struct_fields__
        if getattr(known, field) != getattr(wanted, field)
        and (field != "api_port" or explicit_port)
    ]
    if differences:
        raise UsageError(
            f"lab {wanted.name!r} exists with other settings ({', '.join(differences)}); "
            f"run 'netlab down --name {wanted.name}' first, or choose another --name"
        )
    return known


def _refuse_second_on_host(wanted: LabConfig) -> None:
    if wanted.sandbox:
        return
    for name in known_labs():
        try:
            other = load_config(name)
        except UsageError:
            continue
        if not other.sandbox and other.name != wanted.name and not runs_elsewhere(other):
            raise UsageError(
                f"lab {other.name!r} already uses this machine's own network; run "
                f"'netlab down --name {other.name}' first, or add --sandbox"
            )


def _stop_at_failure(findings: Iterable[Finding]) -> None:
    """Raise HostError with the first finding that is a failure."""
    for finding in findings:
        if finding.level == "failure":
            raise HostError(finding.line())


def start_daemon(config: LabConfig, say: Callable[[str], None]) -> None:
    """Start the daemon and pass its steps to ``say`` until it is ready.

    When somebody else's daemon of that name was faster, that one is waited for.
    Raises: HostError when the daemon could not start the lab.
    """
    reader, writer = os.pipe()
    arguments = [str(config_path(config.name)), str(writer)]
    with _log_path(config).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "netlab.daemon", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(writer,),
            cwd="/",
        )
    os.close(writer)
    last = Report()
    for report in read_reports(reader):
        last = report
        if report.step:
            say(f" \u2713 {report.step:<52} {report.seconds:5.2f} s")
    other = running_daemon(config)
    if not last.ready and other is not None and other.pid != process.pid:
        say(f'Another "netlab up" starts lab "{config.name}"; waiting for it.')
        _wait_until_served(config)
    elif not last.ready:
        reason = last.error or f"the daemon ended while starting: {_last_line(_log_path(config))}"
        raise HostError(f"lab {config.name}: {reason}")


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "no message"


def _give_up(config: LabConfig) -> Path:
    """Remove what a failed start left; return where its log was put."""
    kept = Path(tempfile.gettempdir()) / f"netlab-{config.name}.log"
    shutil.copy(_log_path(config), kept)
    remove_lab(config)
    return kept


def _log_path(config: LabConfig) -> Path:
    return config.run_dir / "daemon.log"


def _wait_until_served(config: LabConfig) -> None:
    """Wait until the running daemon's API port accepts connections."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", config.api_port)) == 0:
                return
        if running_daemon(config) is None:
            raise HostError(f"lab {config.name}: the daemon ended; run 'netlab up' again")
        time.sleep(0.05)
    raise HostError(f"lab {config.name}: the daemon runs but does not answer; run 'netlab down'")


def _merge(config: LabConfig) -> list[Path]:
    """Merge the lab's context into the kubeconfigs; return the files written."""
    pki = config.state_dir / "pki"
    ledger = kubeconfig_ledger(config)
    written = []
    for path in kubeconfig_paths():
        ledger.record("kubeconfig", str(path))
        try:
            merge_context(
                path,
                config.context,
                server=f"https://127.0.0.1:{config.api_port}",
                ca_pem=(pki / "ca.crt").read_bytes(),
                cert_pem=(pki / "admin.crt").read_bytes(),
                key_pem=(pki / "admin.key").read_bytes(),
            )
        except NetlabError as error:
            raise UsageError(f"the lab runs, but {error}") from error
        written.append(path)
    return written
