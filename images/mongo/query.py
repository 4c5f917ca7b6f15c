"""Which documents a filter finds, how an update changes one, how results are ordered.

Pure. The operators a lesson meets; any other is refused by name instead of being ignored.

Source: https://www.mongodb.com/docs/manual/reference/operator/query/
"""

import bson_codec as bson

MISSING = object()


class QueryError(ValueError):
    """A filter or update that is malformed or asks for what is left out. code: MongoDB's."""

    def __init__(self, message, code=2):
        super().__init__(message)
        self.code = code


def matches(document, condition):
    """True when a document fulfils a filter."""
    for name, wanted in condition.items():
        if name == "$and":
            found = all(matches(document, part) for part in wanted)
        elif name == "$or":
            found = any(matches(document, part) for part in wanted)
        elif name == "$nor":
            found = not any(matches(document, part) for part in wanted)
        elif name.startswith("$"):
            raise QueryError(f"unknown top level operator: {name}")
        else:
            found = _field_matches(values_at(document, name.split(".")), wanted)
        if not found:
            return False
    return True


def values_at(document, path):
    """Return what a dotted path leads to; several values where it goes through arrays."""
    if not path:
        return [document]
    head, rest = path[0], path[1:]
    if isinstance(document, dict):
        return values_at(document[head], rest) if head in document else []
    if isinstance(document, list):
        found = [value for part in document for value in values_at(part, path) if part is not None]
        if head.isdigit() and int(head) < len(document):
            found += values_at(document[int(head)], rest)
        return found
    return []


def apply_update(document, update, *, inserting=False):
    """Return the document after an update: a replacement, or $-operators.

    inserting: the document is new, so $setOnInsert has effect.
    """
    if isinstance(update, list):
        raise QueryError("updates with a pipeline are left out here", 9)
    if not any(name.startswith("$") for name in update):
        identity = {"_id": document["_id"]} if "_id" in document else {}
        return {**identity, **update}
    changed = _copy(document)
    for name, fields in update.items():
        operator = _UPDATES.get(name)
        if operator is None:
            raise QueryError(f"Unknown modifier: {name}", 9)
        if name == "$setOnInsert" and not inserting:
            continue
        for path, value in fields.items():
            operator(changed, path, value)
    if "_id" in document and changed.get("_id") != document["_id"]:
        raise QueryError("the (immutable) field '_id' was found to have been altered", 66)
    return changed


def upserted(condition, update):
    """Return the document that an upsert inserts when nothing was found."""
    start = {
        name: wanted
        for name, wanted in condition.items()
        if not name.startswith("$") and "." not in name and not _is_operators(wanted)
    }
    document = apply_update(start, update, inserting=True)
    if "_id" not in document:
        document = {"_id": bson.ObjectId(), **document}
    return document


def sort_documents(documents, order):
    """Return documents in the order that a sort specification asks for."""
    for name, direction in reversed(order.items()):
        if direction not in (1, -1):
            raise QueryError(f"$sort: the direction of {name} must be 1 or -1")
        path = name.split(".")
        documents = sorted(
            documents, key=lambda found: sort_key(_first(found, path)), reverse=direction == -1
        )
    return documents


def project(document, fields):
    """Return the parts of a document that a projection keeps."""
    wanted = {name: keep for name, keep in fields.items() if name != "_id"}
    with_id = bool(fields.get("_id", True))
    if any(not isinstance(keep, bool | int | float) for keep in fields.values()):
        raise QueryError("projections with expressions are left out here")
    if any(wanted.values()):
        names = [*(["_id"] if with_id else []), *(name for name, keep in wanted.items() if keep)]
        return {name: document[name] for name in document if name in names}
    dropped = {*wanted, *(() if with_id else ("_id",))}
    return {name: value for name, value in document.items() if name not in dropped}


def sort_key(value):
    """Return a key by which values of all types can be ordered, as MongoDB orders types."""
    if value is MISSING or value is None:
        return (1, 0)
    if isinstance(value, bool):
        return (8, value)
    if isinstance(value, bson.DateTime):
        return (9, int(value))
    if isinstance(value, int | float):
        return (2, value)
    if isinstance(value, str):
        return (3, value)
    if isinstance(value, dict):
        return (4, bson.encode(value))
    if isinstance(value, list):
        return min((sort_key(part) for part in value), default=(0, 0))
    if isinstance(value, bytes):
        return (6, value)
    if isinstance(value, bson.ObjectId):
        return (7, value.data)
    return (10, value.kind, value.data)


def _field_matches(found, wanted):
    if _is_operators(wanted):
        return all(_operator_matches(found, name, value) for name, value in wanted.items())
    return _equals(found, wanted)


def _is_operators(wanted):
    return isinstance(wanted, dict) and any(name.startswith("$") for name in wanted)


def _operator_matches(found, name, value):
    if name == "$eq":
        return _equals(found, value)
    if name == "$ne":
        return not _equals(found, value)
    if name == "$in":
        return any(_equals(found, option) for option in value)
    if name == "$nin":
        return not any(_equals(found, option) for option in value)
    if name == "$exists":
        return bool(found) == bool(value)
    if name == "$not":
        return not _field_matches(found, value)
    compare = _COMPARISONS.get(name)
    if compare is None:
        raise QueryError(f"unknown operator: {name}")
    limit = sort_key(value)
    keys = (sort_key(one) for one in _spread(found))
    return any(key[0] == limit[0] and compare(key, limit) for key in keys)


_COMPARISONS = {
    "$gt": lambda key, limit: key > limit,
    "$gte": lambda key, limit: key >= limit,
    "$lt": lambda key, limit: key < limit,
    "$lte": lambda key, limit: key <= limit,
}


def _equals(found, wanted):
    if wanted is None:
        return not found or any(value is None for value in _spread(found))
    return any(_same(value, wanted) for value in _spread(found))


def _spread(found):
    """Return values and the elements of those that are arrays: a filter finds either."""
    return [*found, *(part for value in found if isinstance(value, list) for part in value)]


def _same(left, right):
    # In Python True == 1; in BSON it is not.
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    return bool(left == right)


def _first(document, path):
    found = values_at(document, path)
    return found[0] if found else MISSING


def _copy(value):
    if isinstance(value, dict):
        return {name: _copy(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_copy(part) for part in value]
    return value


def _holder(document, path):
    """Return the innermost document of a dotted path, made where missing, and the last name."""
    *parents, last = path.split(".")
    for name in parents:
        document = document.setdefault(name, {})
        if not isinstance(document, dict):
            raise QueryError(f"Cannot create field in element {{{name}: …}}", 28)
    return document, last


def _set(document, path, value):
    holder, name = _holder(document, path)
    holder[name] = value


def _unset(document, path, _value):
    holder, name = _holder(document, path)
    holder.pop(name, None)


def _inc(document, path, value):
    holder, name = _holder(document, path)
    old = holder.get(name, 0)
    if isinstance(old, bool) or not isinstance(old, int | float):
        raise QueryError(f"Cannot apply $inc to a value of non-numeric type: {path}", 14)
    total = old + value
    holder[name] = bson.Int64(total) if isinstance(old, bson.Int64) else total


def _push(document, path, value):
    holder, name = _holder(document, path)
    values = holder.setdefault(name, [])
    if not isinstance(values, list):
        raise QueryError(f"The field '{path}' must be an array", 2)
    added = value["$each"] if isinstance(value, dict) and "$each" in value else [value]
    values.extend(added)


_UPDATES = {"$set": _set, "$unset": _unset, "$inc": _inc, "$push": _push, "$setOnInsert": _set}
