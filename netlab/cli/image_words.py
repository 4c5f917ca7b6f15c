"""What the verbs of ``netlab image`` share: sizes in words, and netlab's own images."""

from __future__ import annotations

from netlab.runtime.builtin import BuiltInImages, default_images_dir
from netlab.runtime.image_store.store import ImageStore

_STEP = 1000.0


def human_size(size_bytes: int) -> str:
    """Return a size in three digits: ``4.2MB``, in units of a thousand as docker shows them."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        # 999.5 would be written as 1000
        if size < _STEP - 0.5:
            return f"{size:.3g}{unit}"
        size /= _STEP
    return f"{size:.3g}TB"


def own_images(store: ImageStore) -> BuiltInImages:
    """Return the images that come with netlab. Nothing is unpacked: layers are a lab's."""
    return BuiltInImages(images_dir=default_images_dir(), layers_dir=store.root / "layers")
