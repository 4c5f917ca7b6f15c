"""The catalog: what is served, and who is told when that changes."""

from __future__ import annotations

import pytest

from netlab.api.catalog import Catalog
from netlab.api.kind import Kind
from netlab.api.kinds import DEPLOYMENT, EVENT, POD, builtin_catalog, builtin_kinds
from netlab.api.kinds.events_v1 import EVENT_V1
from netlab.api.meta import AnyObject

THING: Kind[AnyObject] = Kind("example.com", "v1", "Thing", "things", AnyObject)


def test_kinds_are_found_by_resource_and_by_name():
    catalog = Catalog([POD, DEPLOYMENT, EVENT, EVENT_V1])
    assert catalog.by_resource("", "v1", "pods") is POD
    assert catalog.by_kind("apps/v1", "Deployment") is DEPLOYMENT
    assert catalog.by_kind("apps/v1", "Pod") is None
    assert catalog.by_group_kind("apps", "Deployment") is DEPLOYMENT
    assert catalog.of_version("", "v1") == [POD, EVENT]
    assert catalog.stored() == [POD, DEPLOYMENT, EVENT]
    assert POD in catalog
    assert THING not in catalog


def test_a_kind_comes_and_goes():
    catalog, told = builtin_catalog(), []
    before = catalog.revision
    end = catalog.subscribe(lambda kind, served: told.append((kind, served)))
    catalog.register(THING)
    assert catalog.by_resource("example.com", "v1", "things") is THING
    catalog.unregister(THING)
    assert catalog.by_kind("example.com/v1", "Thing") is None
    assert told == [(THING, True), (THING, False)]
    assert catalog.revision == before + 2
    end()
    catalog.register(THING)
    assert len(told) == 2


def test_a_kind_is_served_once():
    catalog = Catalog([POD])
    with pytest.raises(ValueError, match="Pod of v1 is served already"):
        catalog.register(POD)
    same_name: Kind[AnyObject] = Kind("", "v1", "Pod", "podlets", AnyObject)
    with pytest.raises(ValueError, match="Pod of v1 is served already"):
        catalog.register(same_name)
    with pytest.raises(ValueError, match=r"Thing of example\.com/v1 is not served"):
        catalog.unregister(THING)
    assert catalog.revision == 1


def test_catalogs_are_independent():
    one, other = builtin_catalog(), builtin_catalog()
    one.unregister(POD)
    assert POD in other
    assert len(other) == len(builtin_kinds())
