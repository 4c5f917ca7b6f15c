"""Resource amounts: reading, adding and printing quantities for ``describe node``."""

from __future__ import annotations

from fractions import Fraction

_SUFFIXES = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}
_BINARY = ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki")
_DECIMAL = ("E", "P", "T", "G", "M", "k")


def amount(text: object) -> Fraction:
    """Return the value of a quantity such as ``250m`` or ``64Mi``; 0 for nonsense."""
    word = str(text)
    number = word.rstrip("numkKMGTPEi")
    try:
        return Fraction(number) * _SUFFIXES.get(word[len(number) :], Fraction(0))
    except ValueError:
        return Fraction(0)


def format_cpu(value: Fraction) -> str:
    """Return whole CPUs as ``2``, parts of one as ``250m``."""
    return str(int(value)) if value.denominator == 1 else f"{-(-value * 1000 // 1)}m"


def format_memory(value: Fraction, *, binary: bool) -> str:
    """Return bytes in the largest unit that divides them."""
    for suffix in _BINARY if binary else _DECIMAL:
        if value and (value / _SUFFIXES[suffix]).denominator == 1:
            return f"{value / _SUFFIXES[suffix]}{suffix}"
    return str(-(-value // 1))


def canonical(text: object) -> str:
    """Return a quantity as the API machinery writes it: ``4096Mi`` is ``4Gi``."""
    value = amount(text)
    if is_binary(text):
        return format_memory(value, binary=True)
    if value.denominator != 1:
        return f"{-(-value * 1000 // 1)}m"
    return format_memory(value, binary=False)


def is_binary(text: object) -> bool:
    """True for quantities with a power-of-two suffix."""
    return str(text).endswith("i")
