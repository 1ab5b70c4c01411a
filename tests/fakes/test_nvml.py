"""The scripted NVML has what the real binding has, under the same names."""

import inspect

import pynvml

from tests.fakes.nvml import FakeNvml


def test_every_function_of_the_fake_is_one_of_the_binding_and_takes_the_same() -> None:
    names = [name for name in vars(FakeNvml) if name.lower().startswith("nvml")]
    assert len(names) > 8
    for name in names:
        real, fake = getattr(pynvml, name), getattr(FakeNvml, name)
        if callable(real) and not inspect.isclass(real):
            taken = len(inspect.signature(fake).parameters) - 1  # without self
            assert taken == len(inspect.signature(real).parameters), name
