from pathlib import Path
from typing import Any

import pytest

from app.detection.architectures import architectures
from app.detection.card import ArchitectureSpec
from app.detection.spec import modalities
from tests.training.lab import a_phase, system_config
from training.classifiers.initialisation import INITIALISERS
from training.config import (
    CONFIGS_DIR,
    DATASETS_DIR,
    Budget,
    DiagnosisConfig,
    L2Config,
    SideShares,
    load_dataset_config,
    load_system_config,
)
from training.data.modalities import trainable_modality
from training.errors import ConfigError
from training.fakes.base import create
from training.minimums import demands

SYSTEMS = sorted(path.stem for path in CONFIGS_DIR.glob("*.toml"))
DATASETS = sorted(path.stem for path in DATASETS_DIR.glob("*.toml"))

DATASET = """
name = "drawn"
modality = "lung_ct"
seed = 1
[sides]
train = 0.6
validation = 0.2
test = 0.2
"""
SYSTEM = """
name = "lung_ct_tiny"
dataset = "drawn"
seed = 1
image_size = 64
intended_use = "For tests only."
precision = "32-true"
[architecture]
name = "plain_cnn"
arguments = { widths = [4] }
[augmentation]
zoom = 1.1
[[phases]]
epochs = 1
steps_per_epoch = 1
crop_size = 32
batch_size = 4
learning_rate = 1e-3
"""


def written(folder: Path, text: str) -> str:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_there_is_a_system_and_a_data_set_for_every_modality() -> None:
    assert {load_dataset_config(name).modality for name in DATASETS} >= set(modalities())
    assert {
        load_dataset_config(load_system_config(name).dataset).modality for name in SYSTEMS
    } >= set(modalities())


@pytest.mark.parametrize("name", DATASETS)
def test_a_shipped_data_set_loads_and_its_generators_accept_their_arguments(name: str) -> None:
    config = load_dataset_config(name)

    assert config.name == name
    assert trainable_modality(config.modality).key == config.modality
    for fakes in config.fakes:
        create(fakes.generator, fakes.arguments)


@pytest.mark.parametrize("name", DATASETS)
def test_a_shipped_data_set_names_each_generator_once(name: str) -> None:
    generators = [fakes.generator for fakes in load_dataset_config(name).fakes]

    # A generator's folder bears its name, so a second entry would write into the first one's.
    assert len(generators) == len(set(generators))


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_shipped_system_loads_and_what_it_names_exists(name: str) -> None:
    config = load_system_config(name)

    assert config.name == name
    assert load_dataset_config(config.dataset).name == config.dataset
    assert config.architecture.name in architectures()
    assert config.initialisation in INITIALISERS
    assert len(demands(config)) == len(config.minimums)
    assert config.intended_use


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_numbers_of_a_shipped_system_fit_each_other(name: str) -> None:
    config = load_system_config(name)

    assert config.architecture.arguments.get("image_size", config.image_size) == config.image_size
    assert 0 <= config.cell_loss <= 1
    assert 0 <= config.local_share <= 1
    assert 0 <= config.max_error_outside_band < 0.5
    for phase in config.phases:
        assert phase.batch_size % 2 == 0 or config.sampling == "epoch", "fakes have a partner"
        assert phase.crop_size % 32 == 0
        assert phase.crop_size <= config.image_size
        assert phase.epochs >= 1
        assert phase.steps_per_epoch is None or phase.steps_per_epoch >= 1


def test_a_config_is_found_by_its_path(tmp_path: Path) -> None:
    assert load_dataset_config(written(tmp_path, DATASET)).name == "drawn"
    assert load_system_config(written(tmp_path, SYSTEM)).augmentation.zoom == 1.1


def test_a_config_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(ConfigError, match=r"no_such_system: .*knee_xray_efficientnet_b4"):
        load_system_config("no_such_system")


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("image_size = 64", "image_sise = 64", "image_sise"),
        ("zoom = 1.1", "zom = 1.1", "zom"),
        ("epochs = 1", "epoch = 1", "epoch"),
        ('name = "plain_cnn"', 'named = "plain_cnn"', "named"),
    ],
)
def test_an_unknown_key_is_refused_by_its_name(
    tmp_path: Path, before: str, after: str, named: str
) -> None:
    with pytest.raises(ConfigError, match=f'"{named}"'):
        load_system_config(written(tmp_path, SYSTEM.replace(before, after)))


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("seed = 1", 'seed = "one"', "seed"),
        ("seed = 1", "seed = 1.5", "seed"),
        ("zoom = 1.1", 'zoom = "a lot"', "augmentation.zoom"),
        ("arguments = { widths = [4] }", "arguments = 4", "architecture.arguments"),
        ('precision = "32-true"', 'precision = "8-bit"', "precision"),
        ('name = "lung_ct_tiny"', "", "name"),
    ],
)
def test_a_wrong_type_or_a_missing_key_is_refused_by_its_name(
    tmp_path: Path, before: str, after: str, named: str
) -> None:
    with pytest.raises(ConfigError, match=f'config.toml: .*"{named}'):
        load_system_config(written(tmp_path, SYSTEM.replace(before, after)))


def test_a_table_in_place_of_a_list_is_refused_with_the_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.toml: "):
        load_system_config(written(tmp_path, SYSTEM.replace("[[phases]]", "[phases]")))


def test_what_is_not_toml_is_refused_with_the_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.toml: "):
        load_dataset_config(written(tmp_path, "name = lungs"))


def test_bytes_that_are_not_utf8_are_refused_with_the_path(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b'name = "\xff"')

    with pytest.raises(ConfigError, match=r"config\.toml: "):
        load_dataset_config(str(path))


@pytest.mark.parametrize("test", ["0.1", "0.3"])
def test_shares_that_do_not_add_up_are_refused(tmp_path: Path, test: str) -> None:
    with pytest.raises(ConfigError, match="add up to 1"):
        load_dataset_config(written(tmp_path, DATASET.replace("test = 0.2", f"test = {test}")))


def test_a_share_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        SideShares(train=1.2, validation=-0.2, test=0.0)


def test_the_shares_of_a_single_source_are_checked_as_well(tmp_path: Path) -> None:
    own = "[own_sides.elsewhere]\ntrain = 0.5\nvalidation = 0.5\ntest = 0.5\n"

    with pytest.raises(ConfigError, match="add up to 1"):
        load_dataset_config(written(tmp_path, DATASET + own))


@pytest.mark.parametrize("name", ["../elsewhere", "/tmp/elsewhere", "a/b", "..", ""])
def test_the_name_of_a_data_set_or_of_its_fakes_leads_nowhere_else(
    tmp_path: Path, name: str
) -> None:
    fakes = f'[[fakes]]\ngenerator = "dcgan"\nname = "{name or "/"}"\n'

    with pytest.raises(ConfigError, match="cannot name a folder"):
        load_dataset_config(written(tmp_path, DATASET.replace('"drawn"', f'"{name}"')))
    with pytest.raises(ConfigError, match="cannot name a folder"):
        load_dataset_config(written(tmp_path, DATASET + fakes))


# --- settings that do not fit each other ----------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("steps_per_epoch = 1\n", "", "steps_per_epoch"),
        ("seed = 1", 'seed = 1\nsampling = "epoch"', "set crop_size to image_size"),
        ("[augm", '[diagnosis]\ncolumn = "grade"\npositive = ["2"]\n[augm', "sampling"),
        ("[augm", '[diagnosis]\ncolumn = "sex"\npositive = ["2"]\n[augm', "diagnosis.column"),
        ("epochs = 1", 'epochs = 1\noptimiser = "sgd"', "optimiser"),
        ("epochs = 1", 'epochs = 1\nschedule = "steps"', "schedule"),
        ("epochs = 1", "epochs = 0", "epochs of a phase must be 1 or greater, got 0"),
        ("batch_size = 4", "batch_size = 0", "batch_size of a phase must be 1 or greater"),
        ("batch_size = 4", "batch_size = 3", "pairs need an even batch_size"),
        ("crop_size = 32", "crop_size = 40", "crop_size must be a multiple of 32, got 40"),
        ("learning_rate = 1e-3", "learning_rate = -1e-3", "learning_rate must be above 0"),
        ("seed = 1", "seed = -1", "a seed from 0 on"),
        ('"lung_ct_tiny"', '"../elsewhere"', "'../elsewhere' cannot name a folder"),
    ],
)
def test_settings_that_do_not_fit_each_other_are_refused(
    tmp_path: Path, before: str, after: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        load_system_config(written(tmp_path, SYSTEM.replace(before, after, 1)))


# --- what a run depends on ------------------------------------------------------------------


def test_a_run_depends_on_what_differs_from_the_defaults() -> None:
    """Then a setting that is added one day, at its default, leaves earlier runs valid."""
    settings = system_config().learned_from

    assert "normalisation" not in settings
    assert settings["seed"] == 3
    assert settings["phases"][0]["learning_rate"] == 1e-2
    assert system_config(normalisation="none").learned_from != settings
    assert system_config(l2=L2Config(strength=1e-3)).learned_from["l2"] == {"strength": 1e-3}


def test_a_run_does_not_depend_on_what_only_the_card_or_the_gate_needs() -> None:
    other = system_config(
        minimums={"auc": 0.9}, max_error_outside_band=0.2, intended_use="Other.", limits=["One."]
    )

    assert other.learned_from == system_config().learned_from


def test_without_normalisation_the_input_stays_in_0_to_1() -> None:
    plain = system_config(normalisation="none").preprocessing

    assert (plain.mean, plain.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert system_config().preprocessing.mean != plain.mean


# --- budgets --------------------------------------------------------------------------------


def test_a_budget_cuts_every_phase_and_shrinks_the_network_with_its_input() -> None:
    config = system_config(
        image_size=512,
        architecture=ArchitectureSpec(
            name="patch_mil", arguments={"patch_size": 64, "image_size": 512}
        ),
        phases=[a_phase(epochs=12, steps_per_epoch=60, crop_size=256), a_phase(epochs=1)],
    )
    budget = Budget(max_epochs=2, max_steps_per_epoch=5, image_size=96, max_scans=40)

    cut = config.within(budget)

    assert cut.name == "lung_ct_tiny-2epochs-5steps-96px-40scans"
    assert (cut.image_size, cut.max_scans) == (96, 40)
    assert cut.architecture.arguments == {"patch_size": 32, "image_size": 96}
    assert [(p.epochs, p.steps_per_epoch, p.crop_size) for p in cut.phases] == [
        (2, 5, 96),
        (1, 5, 32),
    ]


def test_a_budget_without_limits_changes_nothing() -> None:
    assert system_config().within(Budget()) == system_config()


def test_a_budget_never_enlarges() -> None:
    roomy = Budget(max_epochs=99, max_steps_per_epoch=99, image_size=512)

    cut = system_config().within(roomy)

    assert (cut.phases, cut.image_size) == (system_config().phases, 64)
    assert cut.architecture == system_config().architecture


def test_a_budget_limits_the_steps_of_an_epoch_that_shows_every_scan() -> None:
    phase = a_phase(crop_size=64, steps_per_epoch=None)
    config = system_config(sampling="epoch", phases=[phase])

    assert config.within(Budget(max_steps_per_epoch=7)).phases[0].steps_per_epoch == 7


@pytest.mark.parametrize("limits", [{"max_epochs": 0}, {"image_size": 64}, {"image_size": 100}])
def test_an_impossible_budget_is_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(limits))):
        Budget(**limits)


def test_a_diagnosis_is_learned_from_whole_scans() -> None:
    with pytest.raises(ValueError, match="diagnosis"):
        system_config(diagnosis=DiagnosisConfig(column="grade", positive=["2"]))


@pytest.mark.parametrize("share", [-0.1, 1.0])
@pytest.mark.parametrize("name", ["former_share", "companion_share"])
def test_a_share_of_something_else_leaves_some_of_its_own(name: str, share: float) -> None:
    with pytest.raises(ValueError, match=rf"{name} must lie in \[0, 1\)"):
        a_phase(**{name: share})


@pytest.mark.parametrize(("companions", "share"), [(["others"], 0.0), ([], 0.5)])
def test_companions_and_their_share_need_each_other(companions: list[str], share: float) -> None:
    with pytest.raises(ValueError, match="need each other"):
        system_config(companions=companions, phases=[a_phase(companion_share=share)])


def test_what_few_data_sets_have_does_not_make_the_others_stale() -> None:
    config = load_dataset_config("lung_ct")

    assert "takes" not in repr(config)
    assert "longest_side" not in repr(config)


def test_only_pairs_have_companions() -> None:
    phase = a_phase(companion_share=0.5, crop_size=64)
    with pytest.raises(ValueError, match='companions need sampling = "pairs"'):
        system_config(companions=["others"], phases=[phase], sampling="epoch", cell_loss=0.0)


def test_a_system_without_its_companions_learns_alone() -> None:
    config = system_config(companions=["others"], phases=[a_phase(companion_share=0.5)])

    assert config.without_companions == system_config(phases=[a_phase()])


@pytest.mark.parametrize("setting", [{"former_share": 0.5}, {"members": 2}])
def test_the_first_phase_has_nothing_to_begin_with(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="nothing was learned before it"):
        system_config(phases=[a_phase(**setting), a_phase()])
