"""``netlab doctor``: look at the machine and say how to mend what is missing."""

from __future__ import annotations

import contextlib
import os
import sys

import click

from netlab.config import DEFAULT_NAME, LabConfig
from netlab.errors import NetlabError
from netlab.lab.facts import all_facts
from netlab.lab.health import look_at
from netlab.lab.labs import all_labs, known_labs, load_config
from netlab.lab.preflight import Finding, check_host
from netlab.lab.process import running_daemon
from netlab.lab.start import name_flag

_MARKS = {"ok": ("\u2713", "green"), "warning": ("!", "yellow"), "failure": ("\u2717", "red")}


@click.command("doctor", short_help="Check the machine and say how to mend it.")
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Name of the lab.")
@click.option("--sandbox", is_flag=True, help="Judge addresses for a sandboxed lab.")
def doctor(name: str, sandbox: bool) -> None:
    """Check root, tools, kernel features, addresses and labs; exit 1 when something is wrong."""
    config = LabConfig(name=name, sandbox=sandbox)
    if name in known_labs():
        with contextlib.suppress(NetlabError):
            config = load_config(name)
    findings = [
        finding
        for finding in check_host(config, all_facts())
        if not (finding.subject == "addresses" and running_daemon(config))
    ]
    labs = [_lab_finding(each) for each in all_labs()]
    width = max(len(finding.subject) for finding in (*findings, *labs))
    for finding in (*findings, *labs):
        mark, color = _MARKS[finding.level]
        click.echo(f" {click.style(mark, fg=color)} {finding.subject:<{width}}  {finding.text}")
        if finding.mend:
            click.echo(f"   {'':<{width}}  \u2192 {finding.mend}")
    failures = sum(finding.level == "failure" for finding in findings)
    if failures:
        click.echo(f"{failures} thing{'s' * (failures > 1)} to mend before 'netlab up' can work.")
        sys.exit(1)
    if any(lab.level == "failure" for lab in labs):
        click.echo("This machine can run netlab, but not all is well with the labs on it.")
        sys.exit(1)
    click.echo("This machine can run netlab.")


def _lab_finding(name: str) -> Finding:
    if os.geteuid() != 0:
        return Finding("ok", f"lab {name}", "there is one; only root can look into it")
    try:
        config = load_config(name)
    except NetlabError as error:
        return Finding("warning", f"lab {name}", str(error), f"run: netlab down --name {name}")
    health = look_at(config)
    subject, flag = f"lab {name}", name_flag(config)
    if health.well:
        return Finding("ok", subject, f"running, API on 127.0.0.1:{config.api_port}")
    if health.running:
        text = "; ".join(health.problems)
        return Finding("failure", subject, text, f"see: netlab status{flag}")
    return Finding(
        "warning",
        subject,
        "its daemon does not run",
        f"run 'netlab up{flag}' to bring it back or 'netlab down{flag}'",
    )
