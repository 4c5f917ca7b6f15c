"""What dpkg's list of installed packages and apt's messages say, as data.

Pure: texts are handed in. Understands as much of Debian's control files as ``packages`` needs:
names, versions, what a package depends on and what it provides; version bounds are apt's matter.

Source: https://www.debian.org/doc/debian-policy/ch-controlfields.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

_FIELD = re.compile(
    r"^(Package|Version|Status|Provides|Depends|Pre-Depends):[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE
)
_DEPENDENCY_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_OLD_LISTS = (
    "Unable to locate package",
    "has no installation candidate",
    "404  Not Found",
    "have been kept back",
    "have held broken packages",
    "is not going to be installed",
    "but it is not installable",
    "Can't find a source to download",
    "Hash Sum mismatch",
    "File has unexpected size",
)


@dataclass(frozen=True, slots=True)
class Package:
    """A package. needs: for each dependency, the names any of which fulfils it; text: the whole
    paragraph it was read from.
    """

    name: str
    version: str
    needs: tuple[tuple[str, ...], ...]
    provides: tuple[str, ...]
    text: str


def split_paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of a control file, without the blank lines between them."""
    for paragraph in re.split(r"\n[ \t]*\n", text.strip()):
        if paragraph.strip():
            yield paragraph.strip("\n")


def parse_packages(text: str) -> dict[str, Package]:
    """Return the installed packages that a status file lists, by name."""
    packages: dict[str, Package] = {}
    for paragraph in split_paragraphs(text):
        fields = {match[1]: match[2] for match in _FIELD.finditer(paragraph)}
        # "want error state": a removed package stays listed for its configuration files
        if "Package" not in fields or fields.get("Status", "").split()[2:] != ["installed"]:
            continue
        name = fields["Package"].strip()
        needs = f"{fields.get('Pre-Depends', '')},{fields.get('Depends', '')}"
        packages[name] = Package(
            name=name,
            version=fields.get("Version", "").strip(),
            needs=tuple(_alternatives(needs)),
            provides=tuple(
                name for names in _alternatives(fields.get("Provides", "")) for name in names
            ),
            text=paragraph,
        )
    return packages


def without_packages(installed: Mapping[str, Package], names: Iterable[str]) -> dict[str, Package]:
    """Return what is installed less some packages and all that need them: a list that apt finds
    consistent, and from which it concludes that these packages have to be fetched.
    """
    kept = dict(installed)
    before = _present(installed)
    gone = list(names)
    while gone:
        for name in gone:
            kept.pop(name, None)
        missing = before - _present(kept)
        # What was already unfulfilled is the machine's own affair.
        gone = [
            package.name
            for package in kept.values()
            if any(
                before.intersection(need) and missing.issuperset(before.intersection(need))
                for need in package.needs
            )
        ]
    return kept


def closure(
    names: Iterable[str], fetched: Mapping[str, Package], installed: Mapping[str, Package]
) -> set[str]:
    """Return the packages that some rely on, themselves included, directly or not."""
    packages = {**installed, **fetched}
    providers: dict[str, list[str]] = {}
    for package in packages.values():
        for provided in package.provides:
            providers.setdefault(provided, []).append(package.name)
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in found or name not in packages:
            continue
        found.add(name)
        for need in packages[name].needs:
            real = [choice for choice in need if choice in packages]
            virtual = [provider for choice in need for provider in providers.get(choice, [])]
            todo += real[:1] or virtual[:1]
    return found


def lists_are_old(output: str) -> bool:
    """Return whether fresh package lists may help against what apt complains of."""
    return any(text in output for text in _OLD_LISTS)


def source_entries(name: str, text: str) -> str:
    """Return a file of apt's sources with its binary archives as archives of source; name: the
    file's, which tells the form. Empty when nothing of it is known.
    """
    if name.endswith(".sources"):
        return re.sub(r"(?m)^Types:.*$", "Types: deb-src", text)
    if name.endswith(".list"):
        lines = [line.strip() for line in text.splitlines()]
        return "".join(f"deb-src{line[3:]}\n" for line in lines if line.startswith("deb "))
    return ""


def apt_cause(output: str) -> str:
    """Return the one line of apt's output that tells most."""
    errors = [line[2:].strip() for line in output.splitlines() if line.startswith("E:")]
    if not errors:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        return lines[-1] if lines else "apt-get failed and said nothing"
    # apt's last word is often only that something failed.
    return next((line for line in errors if "Unable to fetch some archives" not in line), errors[0])


def _alternatives(text: str) -> Iterator[tuple[str, ...]]:
    for part in text.split(","):
        names = (_DEPENDENCY_NAME.match(choice.strip()) for choice in part.split("|"))
        found = tuple(match[0] for match in names if match)
        if found:
            yield found


def _present(packages: Mapping[str, Package]) -> set[str]:
    return {name for package in packages.values() for name in (package.name, *package.provides)}
