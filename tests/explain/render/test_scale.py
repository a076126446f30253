"""How shares are shaded and numbers are written."""

import pytest

from whence.explain.render.scale import EDGES_PERCENT, legend, percent, quantity, step


@pytest.mark.parametrize(
    ("share", "written", "shade"),
    [
        (0.0, "0 %", 0),
        (0.0025, "0.3 %", 0),
        (0.125, "13 %", 3),
        (0.0004, "<0.1 %", 0),
        (0.0094, "0.9 %", 0),
        (0.00951, "1.0 %", 1),
        (0.0494, "4.9 %", 1),
        (0.05, "5.0 %", 2),
        (0.0994, "9.9 %", 2),
        (0.0996, "10 %", 3),
        (0.244, "24 %", 3),
        (0.246, "25 %", 4),
        (0.494, "49 %", 4),
        (0.5, "50 %", 5),
        (0.997, ">99 %", 5),
        (1.0, "100 %", 5),
    ],
)
def test_the_shade_follows_the_number_that_is_written(share: float, written: str, shade: int) -> None:
    assert percent(share).replace("\N{NO-BREAK SPACE}", " ") == written
    assert step(share) == shade


def test_a_negative_part_keeps_its_sign() -> None:
    assert percent(-0.034) == "−3.4\N{NO-BREAK SPACE}%"


def test_the_legend_names_every_step_once() -> None:
    numbers, labels = zip(*legend(), strict=True)
    assert numbers == (1, 2, 3, 4, 5)
    starts = [int(label.split()[0].split("\N{NO-BREAK SPACE}")[0]) for label in labels]
    assert tuple(starts) == EDGES_PERCENT


@pytest.mark.parametrize(
    ("value", "written"), [(-0.15, "−0.15"), (1234.5, "1.23e+03"), (0.0, "0"), (2.0, "2"), (2.125, "2.13")]
)
def test_scores_have_three_digits_and_a_real_minus(value: float, written: str) -> None:
    assert quantity(value) == written
