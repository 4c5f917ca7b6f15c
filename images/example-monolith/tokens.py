"""JSON web tokens signed with HMAC-SHA256, and the user and password of basic authentication.

Source: RFC 7515 (JWS), RFC 7519 (JWT), RFC 7617 (basic authentication)
"""

import binascii
import json
import sys

# OpenSSL's library would be more than half of what this program needs in memory; hashlib has its
# own SHA-256.
sys.modules.setdefault("_hashlib", None)

import hmac  # noqa: E402 after the line above

_HEADER = {"alg": "HS256", "typ": "JWT"}


def sign(claims, secret):
    """Return a token that says claims, signed with secret (bytes)."""
    parts = (
        _encode(json.dumps(part, separators=(",", ":")).encode()) for part in (_HEADER, claims)
    )
    text = ".".join(parts)
    return f"{text}.{_encode(_mac(text, secret))}"


def verify(token, secret, now):
    """Return a token's claims; None when it is none of ours or has expired."""
    text, _, signature = token.strip().rpartition(".")
    try:
        if not same(_decode(signature), _mac(text, secret)):
            return None
        header, claims = (json.loads(_decode(part)) for part in text.split("."))
        valid = header["alg"] == "HS256" and now < claims.get("exp", now + 1)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return claims if valid else None


def basic_auth(header):
    """Return (user, password) of an Authorization header; two empty texts when there is none."""
    scheme, _, text = header.partition(" ")
    try:
        if scheme.lower() == "basic":
            name, _, password = binascii.a2b_base64(text.encode()).decode().partition(":")
            return name, password
    except ValueError:
        pass
    return "", ""


def same(one, other):
    """Compare two secrets (text or bytes) in a time that does not tell where they differ."""
    encode = (value.encode() if isinstance(value, str) else value for value in (one, other))
    return hmac.compare_digest(*encode)


def _mac(text, secret):
    return hmac.new(secret, text.encode(), "sha256").digest()


def _encode(data):
    code = binascii.b2a_base64(data, newline=False).decode()
    return code.rstrip("=").translate({ord("+"): "-", ord("/"): "_"})


def _decode(text):
    code = text.translate({ord("-"): "+", ord("_"): "/"})
    return binascii.a2b_base64(code + "=" * (-len(code) % 4))
