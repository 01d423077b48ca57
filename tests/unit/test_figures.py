"""The retention matrix as a picture: it can be read in black and white."""

import itertools
from pathlib import Path

import pytest
from matplotlib import image

from agent.figures import MIDDLE_GREY, draw_retention, grey_of


def luminance(grey: float) -> float:
    """Relative luminance of an sRGB grey (WCAG 2)."""
    return grey / 12.92 if grey <= 0.04045 else ((grey + 0.055) / 1.055) ** 2.4


def contrast(one: float, other: float) -> float:
    light, dark = max(luminance(one), luminance(other)), min(luminance(one), luminance(other))
    return (light + 0.05) / (dark + 0.05)


def test_a_larger_share_is_darker_in_even_steps() -> None:
    greys = [grey_of(step / 10) for step in range(11)]
    steps = [before - after for before, after in itertools.pairwise(greys)]
    assert min(steps) > 0 and max(steps) == pytest.approx(min(steps))


@pytest.mark.parametrize("percent", range(0, 101, 5))
def test_every_number_stands_out_from_its_cell(percent: int) -> None:
    grey = grey_of(percent / 100)
    assert contrast(grey, 1.0 if grey < MIDDLE_GREY else 0.0) >= 4.5


def test_the_picture_has_no_colour_and_marks_what_was_not_asked(tmp_path: Path) -> None:
    draw_retention([[1.0, None], [0.5, 0.9]], tmp_path / "whole.png", title="whole")
    draw_retention([[None, None], [0.5, 0.9]], tmp_path / "hatched.png", title="whole")
    whole, hatched = (image.imread(tmp_path / f"{name}.png") for name in ("whole", "hatched"))
    assert whole.shape == hatched.shape and not (whole == hatched).all()
    for picture in (whole, hatched):
        assert (picture[..., 0] == picture[..., 1]).all() and (picture[..., 1] == picture[..., 2]).all()
