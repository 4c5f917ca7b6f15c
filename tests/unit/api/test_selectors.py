"""Selectors select what Kubernetes selects, and refuse what it refuses, in its words."""

import pytest

from netlab.api.kinds import DEPLOYMENT, EVENT, NODE, POD
from netlab.api.meta import LabelSelector
from netlab.api.selectors import label_matcher, parse_field_selector, parse_label_selector
from netlab.errors import ApiError

LABELS = {"app": "web", "tier": "front", "weight": "5"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", True, id="empty matches all"),
        pytest.param("app=web", True, id="equals"),
        pytest.param("app==web", True, id="double equals"),
        pytest.param("app=db", False, id="other value"),
        pytest.param("app!=db", True, id="not equals"),
        pytest.param("missing!=x", True, id="absent label is unequal"),
        pytest.param("app in (web,db)", True, id="in"),
        pytest.param("app notin (web)", False, id="notin"),
        pytest.param("missing notin (x)", True, id="absent label is notin"),
        pytest.param("app", True, id="exists"),
        pytest.param("!app", False, id="does not exist"),
        pytest.param("weight>4,weight<6", True, id="numbers"),
        pytest.param("app>4", False, id="text is no number"),
        pytest.param(" app = web , tier in ( front , back ) ", True, id="white space"),
        pytest.param("in=x", False, id="keyword as key"),
        pytest.param("missing=", False, id="empty value is not absent"),
    ],
)
def test_label_selector(text, expected):
    assert parse_label_selector(text).matches(LABELS) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in x", "unable to parse requirement: found 'x' expected: '('"),
        ("a=b,", "found '', expected: identifier after ','"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        (
            "a in ()",
            "unable to parse requirement: values: Invalid value: []: "
            "for 'in', 'notin' operators, values set can't be empty",
        ),
    ],
)
def test_label_selector_refusals(text, message):
    with pytest.raises(ApiError) as caught:
        parse_label_selector(text)
    assert (caught.value.code, caught.value.message) == (400, message)


def test_label_selector_text_is_canonical_and_reads_back():
    text = "a=b,c!=d,e in (x,y),!f,g"
    assert str(parse_label_selector(text)) == text
    assert parse_label_selector(str(parse_label_selector(text))) == parse_label_selector(text)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param({}, True, id="empty selects all"),
        pytest.param({"matchLabels": {"app": "web"}}, True, id="labels"),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]},
            False,
            id="expression",
        ),
        pytest.param(
            {
                "matchLabels": {"app": "web"},
                "matchExpressions": [{"key": "zone", "operator": "Exists"}],
            },
            False,
            id="both must hold",
        ),
    ],
)
def test_label_selector_objects(selector, expected):
    assert label_matcher(LabelSelector.parse(selector)).matches(LABELS) is expected


POD_OBJECT = {
    "metadata": {"name": "a", "namespace": "default"},
    "spec": {"nodeName": "node0", "restartPolicy": "Always"},
    "status": {"phase": "Running", "podIP": "10.244.0.2"},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metadata.name=a", True),
        ("metadata.name!=a", False),
        ("spec.nodeName=node0,status.phase!=Succeeded", True),
        ("spec.nodeName=", False),
        ("spec.hostNetwork=false", True),
        ("status.podIP==10.244.0.2", True),
        ("", True),
    ],
)
def test_field_selector(text, expected):
    assert parse_field_selector(text).matches(POD, POD_OBJECT) is expected


def test_field_selector_of_events():
    event = {"involvedObject": {"name": "a", "kind": "Pod"}, "source": {"component": "kubelet"}}
    text = "involvedObject.name=a,involvedObject.kind=Pod,source=kubelet,involvedObject.uid="
    assert parse_field_selector(text).matches(EVENT, event)


def test_node_name_is_found_without_reading_all():
    matcher = parse_field_selector("metadata.name=a,status.phase!=x")
    assert matcher.required_value("metadata.name") == "a"
    assert matcher.required_value("status.phase") is None


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (POD, "spec.foo=1", "field label not supported: spec.foo"),
        (NODE, "status.phase=1", "field label not supported: status.phase"),
        (
            DEPLOYMENT,
            "spec.replicas=1",
            '"spec.replicas" is not a known field selector: '
            'only "metadata.name", "metadata.namespace"',
        ),
    ],
)
def test_field_selector_refusals(kind, text, message):
    with pytest.raises(ApiError) as caught:
        parse_field_selector(text).check(kind)
    assert (caught.value.code, caught.value.message) == (400, message)


def test_field_selector_escapes():
    matcher = parse_field_selector(r"metadata.name=a\,b\=c")
    assert matcher.required_value("metadata.name") == "a,b=c"
    assert str(matcher) == r"metadata.name=a\,b\=c"
    with pytest.raises(ApiError, match=r"can't understand 'metadata\.name'"):
        parse_field_selector("metadata.name")
