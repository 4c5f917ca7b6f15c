"""Makes the links of a proxied page lead back through the proxy.

Mirrors ``Transport`` of ``k8s.io/apimachinery/pkg/util/proxy``: ``Location`` headers and the
attributes of HTML that hold addresses, when they name the page's own host or none and begin with
``/``.
Scripts, styles and addresses relative to the page are left alone, as there. Pure.
"""

from __future__ import annotations

import gzip
import html
import posixpath
import re
import zlib
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import SplitResult, urlsplit, urlunsplit

_ADDRESSES: dict[str, tuple[str, ...]] = {
    "a": ("href",),
    "applet": ("codebase",),
    "area": ("href",),
    "audio": ("src",),
    "base": ("href",),
    "blockquote": ("cite",),
    "body": ("background",),
    "button": ("formaction",),
    "command": ("icon",),
    "del": ("cite",),
    "embed": ("src",),
    "form": ("action",),
    "frame": ("longdesc", "src"),
    "head": ("profile",),
    "html": ("manifest",),
    "iframe": ("longdesc", "src"),
    "img": ("longdesc", "src", "usemap"),
    "input": ("src", "usemap", "formaction"),
    "ins": ("cite",),
    "link": ("href",),
    "object": ("classid", "codebase", "data", "usemap"),
    "q": ("cite",),
    "script": ("src",),
    "source": ("src",),
    "video": ("poster", "src"),
}
"""Attributes that hold addresses, by tag: HTML 4.01 and 5, indexes of attributes."""

_ATTRIBUTE = re.compile(r"""(\s)([^\s"'>/=]+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s"'=<>`]+)""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rewriter:
    """prefix: the path of the proxy, without a slash at its end. backend, front: ``host:port`` of
    the server, and as the caller calls the proxy.
    """

    prefix: str
    backend: str
    front: str

    def url(self, target: str) -> str:
        """Return an address as it reads from outside; unchanged when it leads elsewhere."""
        try:
            parts = urlsplit(target)
        except ValueError:
            return target
        elsewhere = parts.netloc not in ("", self.backend, self.front)
        if elsewhere or not parts.path.startswith("/"):
            return target
        path = parts.path
        if not path.startswith(self.prefix):
            path = self.join(path)
        scheme, host = "", ""
        if parts.netloc and parts.netloc == self.front:
            scheme, host = parts.scheme, parts.netloc
        return urlunsplit(SplitResult(scheme, host, path, parts.query, parts.fragment))

    def join(self, path: str) -> str:
        """Return a path of the server as one of the proxy."""
        joined = posixpath.normpath(f"{self.prefix}/{path}")
        return f"{joined}/" if path.endswith("/") and joined != "/" else joined

    def page(self, text: str) -> str:
        """Return an HTML page with its addresses rewritten, and nothing else."""
        finder = _TagFinder(text)
        pieces, position = [], 0
        for start, tag, raw in finder.tags:
            pieces += [text[position:start], self._tag(tag, raw)]
            position = start + len(raw)
        return "".join([*pieces, text[position:]])

    def _tag(self, tag: str, raw: str) -> str:
        names = _ADDRESSES[tag]

        def replace(match: re.Match[str]) -> str:
            space, name, equals, quoted = match.groups()
            if name.lower() not in names:
                return match.group()
            quote = quoted[0] if quoted[0] in "\"'" else ""
            value = html.unescape(quoted[1:-1] if quote else quoted)
            changed = self.url(value)
            if changed == value:
                return match.group()
            return f'{space}{name}{equals}"{html.escape(changed)}"'

        return _ATTRIBUTE.sub(replace, raw)


class _TagFinder(HTMLParser):
    """Finds the start tags that may hold addresses: (offset, tag, its text), in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self.tags: list[tuple[int, str, str]] = []
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        raw = self.get_starttag_text()
        if tag in _ADDRESSES and attrs and raw:
            line, column = self.getpos()
            self.tags.append((self._lines[line - 1] + column, tag, raw))


def rewrite_html(body: bytes, encoding: str, rewriter: Rewriter) -> bytes:
    """Return a page with its addresses rewritten; as it is when its encoding is unknown.

    encoding: Content-Encoding, "" for none. The text's own encoding does not matter as long as it
    holds ASCII, because only ASCII is changed.
    """
    try:
        if encoding == "":
            return _rewrite_plain(body, rewriter)
        if encoding == "gzip":
            return gzip.compress(_rewrite_plain(gzip.decompress(body), rewriter))
        if encoding == "deflate":
            return zlib.compress(_rewrite_plain(zlib.decompress(body), rewriter))
    except (OSError, EOFError, zlib.error):
        pass
    return body


def _rewrite_plain(body: bytes, rewriter: Rewriter) -> bytes:
    return rewriter.page(body.decode("latin-1")).encode("latin-1", "xmlcharrefreplace")
