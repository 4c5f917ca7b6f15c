"""The verbs of the API on all kinds, without a transport."""

from netlab.apiserver.registry.registry import Registry, SubresourceCreator, Watch

__all__ = ["Registry", "SubresourceCreator", "Watch"]
