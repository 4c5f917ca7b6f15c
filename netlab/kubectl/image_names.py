"""Image names on the command line: refused before anything is made of them, as kubectl does.

A container that was added to a pod (``debug``) stays there, also when its image has no valid name.
"""

from __future__ import annotations

from netlab.errors import ImageError, UsageError
from netlab.runtime.reference import parse_reference


def check_image_name(text: str, lead: str) -> None:
    """Do nothing for a name that can be pulled. lead: how the verb begins its sentence.

    Raises: UsageError.
    """
    try:
        parse_reference(text)
    except ImageError as error:
        raise UsageError(f'{lead} image name "{text}": invalid reference format') from error
