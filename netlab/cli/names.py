"""The option that names a lab, for verbs that take the current context's lab without it."""

from __future__ import annotations

import click

current_name_option = click.option(
    "--name", help="Name of the lab.  [default: that of the current context]"
)
