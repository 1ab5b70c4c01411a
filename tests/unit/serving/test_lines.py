"""What the parts print, as JSON lines."""

import json

import pytest

from serving.process.lines import described, written

ID = "0" * 31 + "7"


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (
            "(APIServer pid=7) WARNING 11-29 16:44:31 [model.py:12] It is so.",
            {
                "process": "APIServer",
                "pid": "7",
                "level": "warning",
                "source": "model.py:12",
                "event": "It is so.",
            },
        ),
        (
            "2026-11-29 16:44:31.123 UTC [42] FATAL:  the database is starting",
            {"pid": "42", "level": "critical", "event": "the database is starting"},
        ),
        ("2026-11-29 16:44:31.123 UTC [42] LOG:  ready", {"level": "info", "event": "ready"}),
        ("INFO:     Started server process [9]", {"level": "info", "event": "Started server process [9]"}),
        ("(EngineCore pid=8) Loading: 10%", {"process": "EngineCore", "event": "Loading: 10%"}),
        ("\x1b[32mplain\x1b[0m", {"event": "plain", "level": "info", "service": "engine"}),
        (f"Request chatcmpl-{ID} failed", {"request_id": ID}),
        (f"Request cmpl-{ID}-0-ab12 failed", {"request_id": ID}),
        (
            '{"event": "own", "level": "error", "request_id": "x"}',
            {"event": "own", "level": "error", "request_id": "x"},
        ),
        ('(APIServer pid=7) {"event": "own", "service": "engine"}', {"event": "own", "service": "engine"}),
        ('{"no": "event"}', {"event": '{"no": "event"}'}),
        ("{torn", {"event": "{torn"}),
    ],
)
def test_what_can_be_told_of_a_line_is_told(line: str, fields: dict[str, str]) -> None:
    """Level, process and request as fields, and the rest as the event."""
    record = described("engine", line)
    assert record | fields == record
    assert {"timestamp", "level", "service", "event"} <= record.keys()


def test_a_line_is_one_line_of_ascii() -> None:
    """Whatever a part prints, it turns no terminal's text around and forges no line."""
    line = written(described("engine", 'text\u202e \x7f \x9b "level": "error"\u2028'))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["level"] == "info"
