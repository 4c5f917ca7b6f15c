"""Filters, updates and order of the mongo image."""

import pytest

ANA = {"_id": 1, "name": "Ana", "age": 30, "tags": ["a", "b"], "home": {"city": "Bilbo"}}

FILTERS = {
    "empty": ({}, True),
    "equal": ({"name": "Ana"}, True),
    "not equal": ({"name": "Jon"}, False),
    "dotted": ({"home.city": "Bilbo"}, True),
    "element of an array": ({"tags": "b"}, True),
    "position in an array": ({"tags.0": "a"}, True),
    "whole array": ({"tags": ["a", "b"]}, True),
    "null finds missing": ({"gone": None}, True),
    "number is not bool": ({"_id": True}, False),
    "int equals float": ({"age": 30.0}, True),
    "$gt": ({"age": {"$gt": 29}}, True),
    "$lt of another type": ({"age": {"$lt": "x"}}, False),
    "$gte and $lt": ({"age": {"$gte": 30, "$lt": 31}}, True),
    "$in": ({"name": {"$in": ["Jon", "Ana"]}}, True),
    "$nin": ({"name": {"$nin": ["Ana"]}}, False),
    "$ne": ({"name": {"$ne": "Ana"}}, False),
    "$exists": ({"gone": {"$exists": False}}, True),
    "$not": ({"age": {"$not": {"$gt": 40}}}, True),
    "$or": ({"$or": [{"name": "Jon"}, {"age": 30}]}, True),
    "$and": ({"$and": [{"name": "Ana"}, {"age": 31}]}, False),
    "$nor": ({"$nor": [{"name": "Jon"}]}, True),
}


@pytest.mark.parametrize(("condition", "found"), FILTERS.values(), ids=FILTERS.keys())
def test_filters(mongo, condition, found):
    assert mongo.query.matches(ANA, condition) is found


@pytest.mark.parametrize("condition", [{"$where": "1"}, {"a": {"$regex": "x"}}])
def test_unknown_operators_are_refused_by_name(mongo, condition):
    with pytest.raises(mongo.query.QueryError, match=r"\$where|\$regex"):
        mongo.query.matches({"a": 1}, condition)


UPDATES = {
    "replacement keeps _id": ({"name": "X"}, {"_id": 1, "name": "X"}),
    "$set": ({"$set": {"home.city": "Donostia"}}, {**ANA, "home": {"city": "Donostia"}}),
    "$set makes parents": ({"$set": {"a.b": 1}}, {**ANA, "a": {"b": 1}}),
    "$unset": ({"$unset": {"tags": ""}}, {k: v for k, v in ANA.items() if k != "tags"}),
    "$inc": ({"$inc": {"age": 2}}, {**ANA, "age": 32}),
    "$push": ({"$push": {"tags": "c"}}, {**ANA, "tags": ["a", "b", "c"]}),
    "$push $each": ({"$push": {"tags": {"$each": ["c", "d"]}}}, {**ANA, "tags": list("abcd")}),
    "$setOnInsert on an old one": ({"$setOnInsert": {"x": 1}}, ANA),
}


@pytest.mark.parametrize(("update", "result"), UPDATES.values(), ids=UPDATES.keys())
def test_updates(mongo, update, result):
    assert mongo.query.apply_update(ANA, update) == result
    assert ANA["tags"] == ["a", "b"]


@pytest.mark.parametrize(
    ("update", "code"),
    [({"$set": {"_id": 2}}, 66), ({"$rename": {"a": "b"}}, 9), ({"$inc": {"name": 1}}, 14)],
    ids=["_id is fixed", "unknown", "not a number"],
)
def test_refused_updates(mongo, update, code):
    with pytest.raises(mongo.query.QueryError) as refused:
        mongo.query.apply_update(ANA, update)
    assert refused.value.code == code


def test_an_upsert_starts_from_the_filters_equalities(mongo):
    new = mongo.query.upserted(
        {"name": "Ana", "age": {"$gt": 1}}, {"$set": {"x": 1}, "$setOnInsert": {"y": 2}}
    )
    assert {k: v for k, v in new.items() if k != "_id"} == {"name": "Ana", "x": 1, "y": 2}


def test_order_of_mixed_types(mongo):
    values = [True, "b", None, 2, 1.5, "a"]
    documents = [{"v": value} for value in values]
    ordered = mongo.query.sort_documents(documents, {"v": 1})
    assert [entry["v"] for entry in ordered] == [None, 1.5, 2, "a", "b", True]


PROJECTIONS = {
    "keep": ({"name": 1}, {"_id": 1, "name": "Ana"}),
    "keep without _id": ({"name": 1, "_id": 0}, {"name": "Ana"}),
    "drop": ({"tags": 0, "home": 0, "age": 0}, {"_id": 1, "name": "Ana"}),
}


@pytest.mark.parametrize(("fields", "result"), PROJECTIONS.values(), ids=PROJECTIONS.keys())
def test_projections(mongo, fields, result):
    assert mongo.query.project(ANA, fields) == result
