"""Trimming while the text is coming is trimming at the end."""

from hypothesis import given
from hypothesis import strategies as st

from adapters.zephyr.trimming import Trimming


@given(st.lists(st.text(alphabet=" \n\t\u3000ab", max_size=4)))
def test_the_pieces_shown_sum_up_to_the_stripped_text(pieces: list[str]) -> None:
    trimming = Trimming()
    shown = "".join(trimming.feed(piece) for piece in pieces)
    assert shown == "".join(pieces).strip()


def test_text_is_shown_as_soon_as_it_is_known_not_to_be_the_end() -> None:
    trimming = Trimming()
    assert [trimming.feed(piece) for piece in (" ", "a ", "b", " ")] == ["", "a", " b", ""]
