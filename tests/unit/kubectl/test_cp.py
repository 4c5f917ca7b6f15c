"""Archives of a container are not trusted, and words are read as kubectl reads them."""

import io
import tarfile
from pathlib import Path

import pytest

from netlab.errors import UsageError
from netlab.kubectl.cp import _Place, _unpack


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("web:/etc/hosts", ("", "web", "/etc/hosts"), id="pod"),
        pytest.param("shop/web:/x", ("shop", "web", "/x"), id="namespace and pod"),
        pytest.param("./a:b", ("", "", "./a:b"), id="a local path with a colon"),
        pytest.param("/tmp/a:b", ("", "", "/tmp/a:b"), id="an absolute path with a colon"),
        pytest.param("file", ("", "", "file"), id="local"),
        pytest.param("web:", ("", "web", ""), id="pod without a path"),
    ],
)
def test_places(text: str, expected: tuple[str, str, str]) -> None:
    place = _Place(text)
    assert (place.namespace, place.pod, place.path) == expected


def test_a_place_without_a_pod_is_refused() -> None:
    with pytest.raises(UsageError):
        _Place(":/x")


class Warnings:
    """Stands for the session."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def complain(self, text: str) -> None:
        self.texts.append(text)


def archive(*members: tuple[str, str, bytes]) -> io.BytesIO:
    """A tar of (name, kind, data); kind: file, dir, link (data: the target), fifo."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, data in members:
            info = tarfile.TarInfo(name)
            if kind == "file":
                info.size = len(data)
                info.mode = 0o4755
                tar.addfile(info, io.BytesIO(data))
                continue
            info.type = {
                "dir": tarfile.DIRTYPE,
                "link": tarfile.SYMTYPE,
                "hard": tarfile.LNKTYPE,
                "fifo": tarfile.FIFOTYPE,
            }[kind]
            info.linkname = data.decode()
            tar.addfile(info)
    buffer.seek(0)
    return buffer


def unpack(members: io.BytesIO, base: str, target: Path) -> list[str]:
    warnings = Warnings()
    _unpack(warnings, members, base, target)  # type: ignore[arg-type]
    return warnings.texts


def test_a_folder_becomes_the_target(tmp_path: Path) -> None:
    sent = archive(("site", "dir", b""), ("site/a", "file", b"1"), ("site/b/c", "file", b"2"))
    assert unpack(sent, "site", tmp_path / "copy") == []
    assert (tmp_path / "copy" / "a").read_bytes() == b"1"
    assert (tmp_path / "copy" / "b" / "c").read_bytes() == b"2"


def test_into_a_folder_that_exists_the_name_is_kept(tmp_path: Path) -> None:
    assert unpack(archive(("etc/hosts", "file", b"x")), "etc/hosts", tmp_path) == []
    assert (tmp_path / "hosts").read_bytes() == b"x"


def test_set_user_id_bits_are_not_taken_over(tmp_path: Path) -> None:
    unpack(archive(("f", "file", b"x")), "f", tmp_path / "f")
    assert (tmp_path / "f").stat().st_mode & 0o7000 == 0


@pytest.mark.parametrize(
    "members",
    [
        pytest.param([("../owned", "file", b"x")], id="dot dot"),
        pytest.param([("site/../../owned", "file", b"x")], id="dot dot inside"),
        pytest.param([("/owned", "file", b"x")], id="another absolute path"),
        pytest.param([("site/door", "link", b"/"), ("site/door/owned", "file", b"x")], id="link"),
        pytest.param([("site/hard", "hard", b"../../owned")], id="hard link"),
        pytest.param([("site/pipe", "fifo", b"")], id="a device"),
    ],
)
def test_nothing_is_written_outside_the_target(
    tmp_path: Path, members: list[tuple[str, str, bytes]]
) -> None:
    target = tmp_path / "deep" / "target"
    target.parent.mkdir()
    unpack(archive(*members), "site", target)
    inside = {path for path in tmp_path.rglob("*") if target in path.parents or path == target}
    assert set(tmp_path.rglob("*")) - inside == {target.parent}
    assert not any(path.is_symlink() for path in inside)


def test_a_link_that_was_there_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    target = tmp_path / "target"
    target.mkdir()
    (target / "site").mkdir()
    (target / "site" / "door").symlink_to(outside)
    texts = unpack(archive(("site/door/owned", "file", b"x")), "site", target)
    assert list(outside.iterdir()) == []
    assert texts == [f"warning: {target}/site/door/owned lies behind a symbolic link, skipping"]
