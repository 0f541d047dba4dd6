import pytest
import torch

from training.fakes.denoiser import Denoiser
from training.seeding import generator_for


def a_denoiser(*sides: int, width: int = 8, multiples: tuple[int, ...] = (1, 2)) -> Denoiser:
    return Denoiser(sides=sides, width=width, multiples=multiples)


@pytest.mark.parametrize("side", [32, 256])
def test_levels_go_from_hardly_any_noise_to_hardly_anything_else(side: int) -> None:
    image_power = a_denoiser(side).sampler.alphas_cumprod

    assert image_power.diff().max() <= 0
    assert image_power[0].item() == pytest.approx(1, abs=1e-3)
    assert image_power[-1].item() == pytest.approx(0, abs=1e-4)


def test_large_images_see_more_noise_than_small_ones() -> None:
    small, large = (a_denoiser(side).sampler.alphas_cumprod for side in (64, 256))

    middle = len(small) // 2

    assert small[middle].item() == pytest.approx(0.5, abs=0.01)
    assert large[middle].item() == pytest.approx(1 / 17, abs=0.01)


def test_of_several_sides_each_is_drawn() -> None:
    denoiser = a_denoiser(16, 24)
    drawn = {denoiser.draw_side(generator_for("sides", seed)) for seed in range(20)}

    assert drawn == {16, 24}


@pytest.mark.parametrize(("share", "first"), [(0.02, 20), (0.5, 500), (1.0, 1000)])
def test_noise_is_taken_away_in_so_many_steps_from_its_share_of_the_way(
    share: float, first: int
) -> None:
    denoiser = a_denoiser(16)
    levels: list[int] = []
    denoiser.network.register_forward_hook(lambda _, seen, __: levels.append(int(seen[1])))
    image, noise = torch.zeros(2, 1, 1, 16, 16)

    denoiser.redraw(image, noise, share=share, steps=4)

    assert len(levels) == 4
    assert levels[0] == pytest.approx(first, abs=2)
    assert levels == sorted(levels, reverse=True)


def test_no_step_leads_back_to_noise() -> None:
    denoiser = a_denoiser(16)

    for steps in range(1, 1001):
        levels = denoiser._way(steps)
        assert len(levels) == steps
        assert (levels.diff() < 0).all()
        assert 0 <= levels[-1] <= levels[0] == 999


def test_no_more_noise_is_given_than_was_learned_to_take_away() -> None:
    denoiser = Denoiser(sides=(16,), width=8, multiples=(1, 2), most_noise=0.3)
    levels: list[int] = []
    denoiser.network.register_forward_hook(lambda _, seen, __: levels.append(int(seen[1])))
    image, noise = torch.zeros(2, 1, 1, 16, 16)

    for share, steps in ((0.297, 4), (0.298, 7), (0.3, 3)):
        denoiser.redraw(image, noise, share=share, steps=steps)

    assert len(levels) == 14
    assert max(levels) < 300


def test_nothing_is_undefined_with_hardly_any_noise() -> None:
    image, noise = torch.zeros(2, 1, 1, 16, 16)

    redrawn = a_denoiser(16).redraw(image, noise, share=0.005, steps=8)

    assert redrawn.isfinite().all()


def test_where_nothing_is_to_be_redrawn_the_image_stays() -> None:
    denoiser = a_denoiser(16)
    noise = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    image = torch.linspace(-0.5, 0.5, 16).expand(1, 1, 16, 16)
    where = torch.zeros_like(image)
    where[..., :8] = 1

    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    denoiser.network.register_forward_hook(lambda _, given, __: seen.append(given))

    redrawn = denoiser.redraw(image, noise, share=0.5, steps=4, where=where)

    assert len(seen) == 4
    for given, level in seen:
        as_noisy = denoiser.sampler.add_noise(image, noise, level.reshape(1))
        assert torch.allclose(given[..., 8:], as_noisy[..., 8:], atol=1e-6)
        assert not torch.allclose(given[..., 8:], image[..., 8:], atol=0.01)
    assert torch.equal(redrawn[..., 8:], image[..., 8:])
    assert not torch.isclose(redrawn[..., :8], image[..., :8]).any()


def test_the_more_noise_an_image_gets_the_less_of_it_is_left() -> None:
    denoiser = a_denoiser(32)
    noise = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    image = torch.linspace(-1, 1, 32).expand(1, 1, 32, 32)

    far = [
        (denoiser.redraw(image, noise, share=share, steps=6) - image).abs().mean().item()
        for share in (0.05, 0.3, 0.9)
    ]

    assert far == sorted(far)
    assert far[0] < 0.3 < far[-1]


def test_what_is_drawn_of_noise_depends_on_the_noise_alone() -> None:
    denoiser = a_denoiser(16)
    noise = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(1))

    first, second, other = (denoiser.draw(n, steps=4) for n in (noise, noise, -noise))

    assert torch.equal(first, second)
    assert not torch.equal(first, other)
