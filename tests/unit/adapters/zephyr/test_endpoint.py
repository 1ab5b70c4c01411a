"""Endpoint files: what they say, and how a bad one is refused."""

import re
from pathlib import Path

import pytest

from adapters.settings import BadSettings, ZephyrSettings
from adapters.zephyr.endpoint import Endpoint, load, read
from adapters.zephyr.requests import request_model, validate

GOOD = """
path = "/zephyr/translate"
summary = "Translate"
description = "Translates a text."
system = "Translate into {language}."
user = "{text}{formal}"

[fields.text]
description = "The text."

[fields.language]
description = "Into which language."
default = "French"

[fields.formal]
type = "boolean"
description = "Whether to be formal."
default = false
says = { true = " Be formal.", false = "" }

[fields.lines]
type = "integer"
description = "How many lines."
default = 2
minimum = 1
maximum = 9

[example]
text = "Good morning."
"""


def written(folder: Path, text: str, name: str = "translate.toml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def shipped() -> tuple[Endpoint, ...]:
    return load(ZephyrSettings(endpoints_dir=None))


def test_the_documented_endpoints_are_shipped() -> None:
    names = {"raw", "python", "system-message", "code-doc", "structured-code-doc"}
    assert {endpoint.path for endpoint in shipped()} == {f"/zephyr/{name}" for name in names}


@pytest.mark.parametrize("endpoint", shipped(), ids=lambda endpoint: endpoint.path)
def test_the_example_of_an_endpoint_is_a_valid_request(endpoint: Endpoint) -> None:
    validate(request_model(endpoint), endpoint.example)


def test_a_file_in_the_users_folder_adds_an_endpoint(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    written(tmp_path, "not an endpoint", "notes.txt")
    endpoints = load(ZephyrSettings(endpoints_dir=tmp_path))
    assert endpoints[-1].path == "/zephyr/translate"
    assert len(endpoints) == 6


BAD = [
    ("path =", "paht =", "paht"),
    ('"/zephyr/translate"', '"/v1/models"', "$.path"),
    ('summary = "Translate"', "", "summary"),
    ('summary = "Translate"', "summary = 1", "$.summary"),
    ("{language}", "{langauge}", "system: there is no field {langauge}"),
    ("[fields.lines]", "[fields.stream]", "fields.stream: this name is taken"),
    ("[fields.lines]", "[fields.model_dump]", "fields.model_dump: this name is taken"),
    ('default = "French"', "default = 3", "fields.language: default"),
    ("default = 2", "default = true", "fields.lines: default"),
    ('default = "French"', "maximum = 3", "fields.language: minimum and maximum"),
    ("says =", "# says =", "fields.formal: says"),
    ('type = "integer"', 'type = "int"', "type"),
    ("[example]", '[[sections]]\nheading = "A"\nquestion = "B"\n[example]', "sections:"),
    ("[example]", "[exampel]", "exampel"),
    ("[example]", "[example", "line"),
    ("{text}{formal}", "{text", None),
    ('summary = "Translate"', 'summary = "Translate"\nanswer = "sections"', "sections:"),
    ('summary = "Translate"', 'summary = "Translate"\nformat_with_black = "lines"', "format_with_black"),
]


@pytest.mark.parametrize(("old", "new", "named"), BAD)
def test_a_bad_file_is_refused_by_its_name_and_key(
    tmp_path: Path, old: str, new: str, named: str | None
) -> None:
    assert old in GOOD
    file = written(tmp_path, GOOD.replace(old, new, 1))
    if named is None:
        read(file)  # an unclosed brace is plain text
        return
    with pytest.raises(BadSettings, match=re.escape(named)) as refused:
        load(ZephyrSettings(endpoints_dir=tmp_path))
    assert str(file) in str(refused.value)


def test_an_example_that_is_no_request_is_refused(tmp_path: Path) -> None:
    endpoint = read(written(tmp_path, GOOD.replace('text = "Good', 'lines = 12\ntext = "Good')))
    with pytest.raises(BadSettings, match="/zephyr/translate: example: lines"):
        request_model(endpoint)


def test_two_files_with_one_path_are_refused(tmp_path: Path) -> None:
    written(tmp_path, GOOD.replace("/zephyr/translate", "/zephyr/raw"))
    with pytest.raises(BadSettings, match=r"translate\.toml: path: /zephyr/raw is already described by"):
        load(ZephyrSettings(endpoints_dir=tmp_path))


def test_a_folder_that_is_not_there_is_refused_by_its_variable(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="ZEPHYR_ENDPOINTS_DIR"):
        load(ZephyrSettings(endpoints_dir=tmp_path / "absent"))
