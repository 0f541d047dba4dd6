import tomllib
from pathlib import Path

from click.testing import CliRunner, Result

from tests.factories import publish_tiny_weights
from training.cli import main
from training.shelf import Shelf


def rollback(weights_dir: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["rollback", "--weights", str(weights_dir), *arguments])


def test_the_former_weights_serve_again(tmp_path: Path) -> None:
    first = publish_tiny_weights(tmp_path, "lung_ct", name="first")
    publish_tiny_weights(tmp_path, "lung_ct", name="second", seed=1)
    Shelf(tmp_path, "lung_ct").activate("first")
    Shelf(tmp_path, "lung_ct").activate("second")

    result = rollback(tmp_path, "lung_ct")

    assert result.exit_code == 0, result.output
    assert result.output == f"lung_ct is served by first ({first.sha256[:12]}) again.\n"
    active = tomllib.loads((tmp_path / "active.toml").read_text(encoding="utf-8"))
    assert active == {"lung_ct": "first"}


def test_a_pair_is_chosen_by_its_hash(tmp_path: Path) -> None:
    first = publish_tiny_weights(tmp_path, "lung_ct", name="first")
    publish_tiny_weights(tmp_path, "lung_ct", name="second", seed=1)

    result = rollback(tmp_path, "lung_ct", "--to", first.sha256[:8])

    assert result.exit_code == 0, result.output
    assert "served by first" in result.output


def test_without_former_weights_it_says_what_is_kept(tmp_path: Path) -> None:
    card = publish_tiny_weights(tmp_path, "lung_ct")

    result = rollback(tmp_path, "lung_ct")

    assert result.exit_code == 1
    assert f"no weights are known that served before. Kept: tiny ({card.sha256[:12]})." in (
        result.stderr
    )


def test_a_modality_without_weights_has_nothing_to_go_back_to(tmp_path: Path) -> None:
    result = rollback(tmp_path, "livers")

    assert result.exit_code == 1
    assert "livers: no weights are known that served before." in result.stderr
