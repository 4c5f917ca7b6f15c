"""The mongo image's BSON against pymongo's, in both directions."""

from datetime import UTC, datetime

import bson as reference
import pytest
from bson import Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import Binary
from bson.code import Code

DOCUMENTS = {
    "empty": {},
    "scalars": {"a": 1, "b": -(1 << 40), "c": 1.5, "d": True, "e": None, "f": "ñandú 😀"},
    "long that is small": {"n": Int64(3)},
    "nested": {"a": {"b": [1, {"c": []}, "x"]}},
    "identity": {"_id": ObjectId("0123456789abcdef01234567")},
    "date": {"at": datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)},
    "bytes": {"b": b"\x00\xff"},
    "binary subtype": {"b": Binary(b"x" * 16, 4)},
    "regular expression": {"r": Regex("^a.*", "im"), "after": 1},
    "timestamp": {"t": Timestamp(5, 6), "after": 1},
    "decimal": {"d": Decimal128("1.10"), "after": 1},
    "code": {"c": Code("f()"), "after": 1},
    "code with scope": {"c": Code("f()", {"x": 1}), "after": 1},
    "extremes": {"a": MinKey(), "b": MaxKey(), "after": 1},
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_a_document_comes_out_as_it_went_in(mongo, document):
    data = reference.encode(document)
    assert mongo.bson_codec.encode(mongo.bson_codec.decode(data)) == data


def test_values_are_python_values(mongo):
    decoded = mongo.bson_codec.decode(reference.encode(DOCUMENTS["scalars"]))
    assert decoded == DOCUMENTS["scalars"]


def test_own_object_ids_are_unique_and_valid(mongo):
    made = [mongo.bson_codec.ObjectId() for _ in range(100)]
    assert len(set(made)) == 100
    encoded = mongo.bson_codec.encode({"_id": made[0]})
    assert reference.decode(encoded)["_id"].binary == made[0].data


BROKEN = {
    "too short": b"\x04\x00",
    "length beyond the end": b"\xff\x00\x00\x00\x00",
    "no end mark": b"\x05\x00\x00\x00\x01",
    "unknown type": b"\x08\x00\x00\x00\x44a\x00\x00",
    "text longer than document": b"\x0e\x00\x00\x00\x02a\x00\xff\x00\x00\x00x\x00\x00",
    "name without end": b"\x07\x00\x00\x00\x10a\x00",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_broken_bytes_are_refused(mongo, data):
    with pytest.raises(mongo.bson_codec.BsonError):
        mongo.bson_codec.decode(data)


@pytest.mark.parametrize("value", [1 << 64, object(), {"a\0b": 1}], ids=["large", "odd", "zero"])
def test_values_bson_cannot_hold_are_refused(mongo, value):
    with pytest.raises(mongo.bson_codec.BsonError):
        mongo.bson_codec.encode({"v": value})
