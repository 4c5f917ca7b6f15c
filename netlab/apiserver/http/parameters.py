"""Values of query parameters: booleans and whole numbers, as Go reads them.

Mirrors the conversions of ``k8s.io/apimachinery/pkg/conversion/queryparams`` and ``runtime``. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from netlab.api.field_errors import bad_request


def truth(text: str | None) -> bool:
    """Return what a boolean query parameter says; present but empty means true."""
    return text is not None and text.lower() not in ("false", "0")


def integer(query: Mapping[str, str], name: str) -> int | None:
    """Return a whole number; None when the parameter is missing or empty.

    Raises: ApiError BadRequest (400) for anything else.
    """
    text = query.get(name)
    if not text:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error
