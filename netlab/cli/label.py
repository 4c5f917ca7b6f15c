"""``netlab label``: set and remove labels."""

from __future__ import annotations

from netlab.cli.metadata_edit import metadata_command

COMMAND = metadata_command("label", "labels")
