import pytest

from netlab.apiserver.http.query import (
    DEFAULT_WATCH_TIMEOUT_S,
    delete_options,
    is_watch,
    list_options,
    watch_options,
    write_options,
)
from netlab.apiserver.requests import DeleteOptions, UserInfo, WriteOptions
from netlab.errors import ApiError

ME = UserInfo("me")


def test_write_options():
    query = {"fieldManager": "kubectl", "fieldValidation": "Strict", "dryRun": "All"}
    assert write_options(query, ME, "CreateOptions", duplicates=("a",)) == WriteOptions(
        dry_run=True,
        field_validation="Strict",
        field_manager="kubectl",
        user=ME,
        duplicate_fields=("a",),
    )
    assert write_options({}, ME, "CreateOptions") == WriteOptions(user=ME)


def test_what_a_bad_field_manager_is_told():
    with pytest.raises(ApiError) as caught:
        write_options({"fieldManager": "ab\a"}, ME, "PatchOptions")
    assert caught.value.message == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: '
        'Invalid value: "ab\\u0007": invalid character U+0007 (at position 2)'
    )
    with pytest.raises(ApiError, match="Too long: may not be more than 128 bytes"):
        write_options({"fieldManager": "é" * 65}, ME, "PatchOptions")


def test_list_and_watch_options():
    query = {"limit": "500", "continue": "t", "labelSelector": "a=b", "resourceVersion": "7"}
    options = list_options(query)
    assert (options.limit, options.continue_token, options.label_selector) == (500, "t", "a=b")
    watch = watch_options({"sendInitialEvents": "true", "allowWatchBookmarks": "true"})
    assert watch.send_initial_events is True
    assert watch.allow_bookmarks
    assert watch.timeout_s == DEFAULT_WATCH_TIMEOUT_S
    assert watch_options({"timeoutSeconds": "3"}).send_initial_events is None


WATCHES = {"true": True, "1": True, "": True, "false": False, "0": False}


@pytest.mark.parametrize(("text", "expected"), WATCHES.items())
def test_watch_is_asked_for(text, expected):
    assert is_watch({"watch": text}) is expected
    assert not is_watch({})


DELETES = {
    "nothing": ({}, None, DeleteOptions(user=ME)),
    "kubectl": (
        {},
        {"propagationPolicy": "Background", "gracePeriodSeconds": 0},
        DeleteOptions(grace_period_s=0, propagation="Background", user=ME),
    ),
    "dry run": ({}, {"dryRun": ["All"]}, DeleteOptions(dry_run=True, user=ME)),
    "query": (
        {"gracePeriodSeconds": "5", "propagationPolicy": "Orphan"},
        None,
        DeleteOptions(grace_period_s=5, propagation="Orphan", user=ME),
    ),
    "a body hides the query": ({"gracePeriodSeconds": "5"}, {}, DeleteOptions(user=ME)),
    "preconditions": (
        {},
        {"preconditions": {"uid": "u", "resourceVersion": "3"}},
        DeleteOptions(uid="u", resource_version="3", user=ME),
    ),
    "negative": ({}, {"gracePeriodSeconds": -1}, DeleteOptions(grace_period_s=1, user=ME)),
}


@pytest.mark.parametrize(("query", "body", "expected"), DELETES.values(), ids=DELETES)
def test_delete_options(query, body, expected):
    assert delete_options(query, body, ME) == expected


REFUSED = {
    "dry run": (lambda: write_options({"dryRun": "Some"}, ME, "CreateOptions"), 422, '"All"'),
    "validation": (
        lambda: write_options({"fieldValidation": "Maybe"}, ME, "CreateOptions"),
        422,
        'Unsupported value: "Maybe"',
    ),
    "propagation": (
        lambda: delete_options({}, {"propagationPolicy": "Never"}, ME),
        422,
        'Unsupported value: "Never"',
    ),
    "limit": (lambda: list_options({"limit": "many"}), 400, 'parsing "many": invalid syntax'),
    "grace": (lambda: delete_options({}, {"gracePeriodSeconds": "x"}, ME), 400, "whole number"),
}


@pytest.mark.parametrize(("call", "code", "text"), REFUSED.values(), ids=REFUSED)
def test_bad_parameters(call, code, text):
    with pytest.raises(ApiError) as raised:
        call()
    assert raised.value.code == code
    assert text in raised.value.message
