"""``netlab annotate``: set and remove annotations."""

from __future__ import annotations

from netlab.kubectl.metadata_edit import metadata_command

COMMAND = metadata_command("annotate", "annotations")
