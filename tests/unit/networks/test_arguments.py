from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oakpoint.errors import UsageError
from oakpoint.networks.arguments import arguments_text, bound, parse_arguments


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("dim=128", 128),
        ("dim=-1", -1),
        ("rate=1e-3", 1e-3),
        ("norm=true", True),
        ("norm=False", False),
        ("head=none", None),
        ("layers=[1,2]", [1, 2]),
        ("layers=1,2", (1, 2)),
        ("layers=[1, (2, 3)]", [1, (2, 3)]),
        ("options={'a': 1}", {"a": 1}),
        ("act=relu", "relu"),
        ("act='relu'", "relu"),
        ("act = relu ", "relu"),
        ("act=''", ""),
        ("path=weights/a-b.pth", "weights/a-b.pth"),
        ("size=320x200", "320x200"),
        ("formula=a=b", "a=b"),
        ("number='128'", "128"),
        ("version=1.2.3", "1.2.3"),
    ],
)
def test_values(text: str, value: object) -> None:
    found = parse_arguments([text])
    assert list(found.values()) == [value]
    assert type(next(iter(found.values()))) is type(value)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["dim"], "--arg dim: expected name=value, such as dim=128"),
        (["=3"], "--arg =3: expected name=value"),
        (["a-b=3"], "--arg a-b=3: expected name=value"),
        (["dim="], "--arg dim=: expected a value; an empty text is dim=''"),
        (["dim=1", "dim=2"], "--arg dim=2: dim is given twice"),
        (["layers=[1,2"], "--arg layers=[1,2: not a Python literal"),
        (["layers=[relu,gelu]"], "--arg layers=[relu,gelu]: not a Python literal; texts within one need quotes"),
        (["x=__import__('os').getpid()"], "not a Python literal"),
        (["x=" + "[" * 5000], "not a Python literal"),
    ],
)
def test_mistakes(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_arguments(texts)
    assert message in str(caught.value)


literals = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(literals)
def test_what_python_writes_is_read_as_it_was(value: object) -> None:
    assert parse_arguments([f"x={value!r}"]) == {"x": value}


def test_text_of_arguments() -> None:
    assert arguments_text({"dim": 128, "act": "relu"}) == "dim=128 act='relu'"
    assert arguments_text({}) == ""


def takes(first: int, /, config: object, dim: int = 3, *, norm: bool = False) -> None: ...


def takes_any(**options: object) -> None: ...


def takes_none() -> None: ...


@pytest.mark.parametrize(
    ("kind", "arguments", "expected"),
    [
        (takes, {"first": 1, "config": 2}, ([1], {"config": 2})),
        (takes, {"norm": True, "config": 2, "first": 1}, ([1], {"norm": True, "config": 2})),
        (takes_any, {"what": 1}, ([], {"what": 1})),
        (takes_none, {}, ([], {})),
        (dict, {"a": 1}, ([], {"a": 1})),
    ],
)
def test_arguments_as_a_function_takes_them(kind, arguments, expected) -> None:
    assert bound("n", kind, arguments) == expected


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (takes, {}, "n: needs the arguments first, config; give --arg first=… --arg config=…"),
        (takes, {"first": 1}, "n: needs the argument config; give --arg config=…"),
        (takes, {"first": 1, "confg": 2}, "n: takes no argument 'confg'; did you mean 'config'?"),
        (takes, {"first": 1, "zzz": 2}, "n: takes no argument 'zzz'; it takes first, config, dim, norm"),
        (takes_none, {"a": 1}, "n: takes no argument 'a'; it takes none"),
    ],
)
def test_arguments_that_a_function_does_not_take(kind, arguments, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        bound("n", kind, arguments)
    assert str(caught.value) == message
