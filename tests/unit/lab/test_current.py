"""Which lab is meant when none is named."""

import pytest

from netlab.lab.current import choose_lab, lab_of_context


@pytest.mark.parametrize(
    ("contexts", "labs", "lab"),
    [
        (["netlab-b"], ["a", "b", "netlab"], "b"),
        (["netlab"], ["a", "netlab"], "netlab"),
        (["", "netlab-a"], ["a", "netlab"], "a"),
        (["work", "netlab-a"], ["a", "b"], "a"),
        (["netlab-gone"], ["a", "netlab"], "netlab"),
        (["netlab-gone"], ["a"], "a"),
        (["work"], ["a", "b"], "netlab"),
        ([], [], "netlab"),
    ],
)
def test_the_current_contexts_lab_or_the_only_one(contexts, labs, lab):
    assert choose_lab(contexts, labs) == lab


@pytest.mark.parametrize(
    ("context", "lab"),
    [("netlab", "netlab"), ("netlab-a-b", "a-b"), ("minikube", ""), ("netlabs", ""), ("", "")],
)
def test_the_lab_of_a_context(context, lab):
    assert lab_of_context(context) == lab
