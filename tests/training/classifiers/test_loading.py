"""Which scans judge an epoch."""

from collections import Counter

import pytest

from app.detection.labels import Label
from tests.training.lab import a_scan, system_config
from training.classifiers import loading
from training.classifiers.loading import Hardware, validation_subset
from training.data.manifest import Scan
from training.recipe import Precision


def many_scans() -> list[Scan]:
    rows: list[Scan] = []
    for generator, count in (("", 60), ("rare", 4), ("usual", 40), ("frequent", 400)):
        label = Label.FAKE if generator else Label.REAL
        for side in ("train", "validation", "test"):
            rows += [
                a_scan(f"{generator}{side}{i}.png", label=label, generator=generator, side=side)
                for i in range(count)
            ]
    return rows


def test_each_generator_has_its_share_of_the_validation_scans_and_reals_have_two() -> None:
    """A generator with few fakes is left out, since its AUC would jump by chance."""
    chosen = validation_subset(many_scans(), system_config(validation_scans=100))

    assert {s.side for s in chosen} == {"validation"}
    assert Counter(s.generator for s in chosen) == {
        "": 50,
        "usual": 25,
        "frequent": 25,
    }
    assert len({s.path for s in chosen}) == len(chosen)


def test_the_validation_scans_are_the_same_every_time() -> None:
    config = system_config(validation_scans=100)

    assert validation_subset(many_scans(), config) == validation_subset(many_scans(), config)
    assert validation_subset(many_scans(), config) != validation_subset(
        many_scans(), system_config(validation_scans=100, seed=9)
    )


@pytest.mark.parametrize(
    ("has_bfloat16", "wanted", "used"),
    [
        (True, "bf16-mixed", "bf16-mixed"),
        (False, "bf16-mixed", "32-true"),
        (False, "16-mixed", "16-mixed"),
    ],
)
def test_a_cpu_without_bfloat16_trains_in_full_precision(
    monkeypatch: pytest.MonkeyPatch, *, has_bfloat16: bool, wanted: Precision, used: Precision
) -> None:
    monkeypatch.setattr(loading, "_has_bfloat16", lambda: has_bfloat16)

    assert Hardware(accelerator="cpu").precision(wanted) == used
    assert Hardware(accelerator="cuda").precision(wanted) == wanted


def test_whether_this_cpu_has_bfloat16_is_known() -> None:
    """The question is one of PyTorch's own, which another version may word differently."""
    assert Hardware(accelerator="cpu").precision("bf16-mixed") in {"bf16-mixed", "32-true"}
