"""An answer without white space at its ends, while it is still coming."""


class Trimming:
    """Gives back pieces whose sum is the stripped sum of the pieces it takes."""

    def __init__(self) -> None:
        self._begun = False
        self._held = ""

    def feed(self, piece: str) -> str:
        """What of the text so far can be shown now: white space waits until something follows it."""
        if not self._begun:
            piece = piece.lstrip()
            self._begun = bool(piece)
        shown = (self._held + piece).rstrip()
        if not shown:
            self._held += piece
            return ""
        self._held = (self._held + piece)[len(shown) :]
        return shown
