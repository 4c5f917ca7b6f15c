"""Start a lab in the background and wait until it works: what ``netlab up`` does.

Checks the machine, starts the daemon (``netlab.daemon``) detached from this terminal, passes its
steps on, and merges a context into the kubeconfig. On a lab that runs already it only checks and
merges again; for one whose daemon was killed it starts a new daemon, which adopts the pods that
still run.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from netlab.client.kubeconfig_file import kubeconfig_paths, merge_context
from netlab.config import DEFAULT_NAME, STATE_ROOT, LabConfig, encode_config
from netlab.errors import HostError, NetlabError, UsageError
from netlab.lab.facts import quick_facts
from netlab.lab.forwarding import note_host
from netlab.lab.health import LabHealth, look_at
from netlab.lab.labs import (
    PRIVATE,
    config_path,
    ensure_folder,
    host_ledger,
    known_labs,
    kubeconfig_ledger,
    load_config,
    make_folders,
    one_at_a_time,
    ports_taken,
    save_config,
    settings_or_guess,
)
from netlab.lab.netns_mount import note_netns_folder
from netlab.lab.preflight import Finding, HostFacts, check_host, check_root
from netlab.lab.process import running_daemon, runs_elsewhere
from netlab.lab.progress import Report, read_reports
from netlab.lab.settings import with_port
from netlab.lab.teardown import remove_lab
from netlab.lab.turns import turn
from netlab.lab.units import own_scope

WELL_LIMIT_S = 10.0
WELL_POLL_S = 0.2

FAILED = STATE_ROOT / "failed"
"""Where the logs of labs that could not be started are kept; the lab itself is removed."""


@dataclass(frozen=True, slots=True)
class StartEvent:
    """Something that happened on the way.

    text, seconds: of a finished step; text of a warning. pid: of the command that is waited for.
    """

    what: Literal["creating", "running", "waiting", "step", "warning"]
    config: LabConfig
    text: str = ""
    seconds: float = 0.0
    pid: int = 0


Tell: TypeAlias = Callable[[StartEvent], None]


def _silent(_event: StartEvent) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Started:
    """A lab that works. kubeconfigs: the files that now hold its context."""

    config: LabConfig
    kubeconfigs: tuple[Path, ...]
    seconds: float


def start_lab(wanted: LabConfig, *, port_chosen: bool = False, tell: Tell = _silent) -> Started:
    """Start the lab, or bring it back, and return when it works.

    port_chosen: the API port was asked for; otherwise a free one is taken.
    Raises: UsageError when a lab of that name has other settings, or a setting cannot be;
    HostError when the machine lacks something or the daemon could not start the lab: one that
    was new is then removed again.
    """
    start = time.monotonic()
    facts = quick_facts()
    _stop_at_failure([check_root(facts)])
    with turn(wanted.name, waiting=lambda pid: tell(StartEvent("waiting", wanted, pid=pid))):
        config = _start(wanted, facts, port_chosen=port_chosen, tell=tell)
        kubeconfigs = tuple(_merge(config, tell))
    return Started(config, kubeconfigs, time.monotonic() - start)


def _start(wanted: LabConfig, facts: HostFacts, *, port_chosen: bool, tell: Tell) -> LabConfig:
    """Return the settings of the lab when it works."""
    with one_at_a_time():
        known = _existing_config(wanted, port_chosen=port_chosen)
        config = known or with_port(wanted, taken=ports_taken(), chosen=port_chosen)
        findings = check_host(config, facts)
        # the routes of a lab that is up are the lab's own
        _stop_at_failure(f for f in findings if not (known and f.subject == "addresses"))
        make_folders(config)
        note_netns_folder(config.name)
        if config.internet:
            asyncio.run(note_host())
        if known is None:
            save_config(config)
        host_ledger(config).record("settings", config.name, encode_config(config).decode())
    if running_daemon(config) is not None:
        tell(StartEvent("running", config))
        _wait_until_well(config)
    else:
        tell(StartEvent("creating", config))
        try:
            _start_daemon(config, tell)
        except HostError as error:
            if known is None:
                raise HostError(f"{error}; its log: {_give_up(config)}") from error
            flag = name_flag(config)
            raise HostError(
                f"{error}; its log: {_log_path(config)}; 'netlab down{flag}' removes the lab"
            ) from error
    return config


def name_flag(config: LabConfig) -> str:
    """Return `` --name NAME``, or nothing for the lab that needs no name."""
    return "" if config.name == DEFAULT_NAME else f" --name {config.name}"


def agent_command(config: LabConfig) -> str:
    """Return the command that runs the node of a lab whose daemon does not."""
    folder = config.state_dir / "pki" / "nodes" / config.node_name
    return f"netlab agent{name_flag(config)} --kubeconfig {folder}/kubeconfig"


def _existing_config(wanted: LabConfig, *, port_chosen: bool) -> LabConfig | None:
    """Return the config of a lab of that name that exists, if it agrees with what is wanted."""
    if config_path(wanted.name).exists():
        known = load_config(wanted.name)
    elif running_daemon(wanted) is not None:
        known = settings_or_guess(wanted.name)
        make_folders(known)
        save_config(known)
    else:
        _refuse_second_on_host(wanted)
        return None
    differences = [
        f"--{field.replace('_', '-').replace('node-address', 'node-ip')} is {getattr(known, field)}"
        for field in LabConfig.__struct_fields__
        if getattr(known, field) != getattr(wanted, field) and (field != "api_port" or port_chosen)
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
        other = settings_or_guess(name)
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


def _start_daemon(config: LabConfig, tell: Tell) -> None:
    """Start the daemon and tell its steps until it is ready.

    Raises: HostError when the daemon could not start the lab.
    """
    reader, writer = os.pipe()
    arguments = [str(config_path(config.name)), str(writer)]
    with _log_path(config).open("ab") as log:
        subprocess.Popen(
            [*own_scope(config.name), sys.executable, "-P", "-m", "netlab.daemon", *arguments],
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
        if report.warning:
            tell(StartEvent("warning", config, report.warning))
        if report.step:
            tell(StartEvent("step", config, report.step, report.seconds))
    if not last.ready:
        reason = last.error or f"the daemon ended while starting: {_last_line(_log_path(config))}"
        raise HostError(f"lab {config.name}: {reason}")


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "no message"


def _give_up(config: LabConfig) -> Path:
    """Remove what a failed start left; return where its log was put."""
    ensure_folder(FAILED, PRIVATE)
    kept = FAILED / f"{config.name}.log"
    shutil.copyfile(_log_path(config), kept)
    remove_lab(config)
    return kept


def _log_path(config: LabConfig) -> Path:
    return config.run_dir / "daemon.log"


def _wait_until_well(config: LabConfig) -> None:
    """Wait until nothing is wrong with a lab that runs; a moment ago something may have been.

    Raises: HostError telling what still is.
    """
    deadline = time.monotonic() + WELL_LIMIT_S
    while not (health := look_at(config)).well:
        if not health.running:
            raise HostError(f"lab {config.name}: the daemon ended; run 'netlab up' again")
        if health.stopped or time.monotonic() > deadline:
            raise HostError(
                f"lab {config.name} runs, but {'; '.join(health.problems)}{_advice(health)}"
            )
        time.sleep(WELL_POLL_S)


def _advice(health: LabHealth) -> str:
    if health.stopped:
        return ""
    flag = name_flag(health.config)
    return f"; 'netlab down{flag}' and 'netlab up{flag}' make it anew"


def _merge(config: LabConfig, tell: Tell) -> list[Path]:
    """Merge the lab's context into the kubeconfigs; return the files written.

    Raises: UsageError when none could be; of two, the one that could not is warned of.
    """
    pki = config.state_dir / "pki"
    ledger = kubeconfig_ledger(config)
    written: list[Path] = []
    problems: list[NetlabError] = []
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
            problems.append(error)
        else:
            written.append(path)
    for problem in problems:
        if not written:
            raise UsageError(f"the lab runs, but {problem}") from problem
        tell(StartEvent("warning", config, str(problem)))
    return written
