"""``netlab label``: set and remove labels."""

from __future__ import annotations

from netlab.kubectl.metadata_edit import metadata_command

COMMAND = metadata_command("label", "labels")
