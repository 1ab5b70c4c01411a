"""Pages of figures in Prometheus' text format, and the pages of others that are kept as names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

FOLDER = Path(__file__).parent
_BY_TARGET = frozenset({"instance", "job"})
"""What Prometheus adds to whatever it reads."""


@dataclass(frozen=True)
class Figures:
    """Series by their names: what each is labelled with, and the values that were seen."""

    series: Mapping[str, list[Mapping[str, str]]]

    def __or__(self, other: "Figures") -> "Figures":
        names = {*self.series, *other.series}
        return Figures({name: [*self.series.get(name, []), *other.series.get(name, [])] for name in names})

    def labels(self, name: str) -> set[str]:
        """The labels that a name is seen with, and those that every series has."""
        return {label for labels in self.series[name] for label in labels} | _BY_TARGET


def figures(page: str) -> Figures:
    """What is on a page. A family without samples counts by its name."""
    found: dict[str, list[Mapping[str, str]]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                found.setdefault(sample.name, []).append(sample.labels)
        if not family.samples:
            found[f"{family.name}_total" if family.type == "counter" else family.name] = []
    return Figures(found)


def names(found: Figures) -> Iterator[str]:
    """Lines to be kept of a page that cannot be asked for in every run: a name and its labels."""
    for name in sorted(found.series):
        yield f"{name} {','.join(sorted(found.labels(name) - _BY_TARGET))}".strip()


def kept(file: str) -> Figures:
    """What such a file holds."""
    series: dict[str, list[Mapping[str, str]]] = {}
    for line in (FOLDER / file).read_text().splitlines():
        if not line.startswith("#"):
            name, _, labels = line.partition(" ")
            series[name] = [dict.fromkeys(filter(None, labels.split(",")), "")]
    return Figures(series)
