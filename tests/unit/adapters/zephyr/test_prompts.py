"""Templates put texts in their places and interpret none of them."""

from hypothesis import given
from hypothesis import strategies as st

from adapters.zephyr.prompts import fill, placeholders


@given(st.text(), st.text())
def test_values_stand_in_their_places_word_for_word(first: str, second: str) -> None:
    filled = fill("<{a}|{b}|{a}>", {"a": first, "b": second})
    assert filled == f"<{first}|{second}|{first}>"


def test_a_value_that_looks_like_a_placeholder_stays_what_it_is() -> None:
    assert fill("{a}{b}", {"a": "{b}", "b": "{a}"}) == "{b}{a}"


def test_other_braces_in_a_template_stay_what_they_are() -> None:
    template = "{} {A} {a.b} {a!r} {{a}} {"
    assert fill(template, {"a": "1"}) == "{} {A} {a.b} {a!r} {1} {"


def test_only_names_in_braces_are_placeholders() -> None:
    assert placeholders("{a} {} {{b}} {C} { d } {0} ${e} {f_1} {g.h} {i!r}") == {"a", "b", "e", "f_1"}
