"""``netlab annotate``: set and remove annotations."""

from __future__ import annotations

from netlab.cli.metadata_edit import metadata_command

COMMAND = metadata_command("annotate", "annotations")
