"""Measures against closed forms and second ways of computing them."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from engine.errors import EngineError
from engine.ops.components import largest_component_share
from engine.ops.metrics import (
    evaluation_psnr,
    mean_pairwise_psnr,
    plaid,
    psnr,
    psnr_matrix,
    quantised,
    ssim,
)


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(4, 32, 40, 3, generator=torch.Generator().manual_seed(0))


def test_psnr_is_scikit_images(pictures):
    wanted = peak_signal_noise_ratio(pictures[0].numpy(), pictures[1].numpy(), data_range=1)
    assert float(psnr(pictures[0], pictures[1])) == pytest.approx(wanted, abs=1e-4)
    assert psnr(pictures[:2], pictures[2:]).shape == (2,)


def test_a_constant_error_has_its_closed_form_psnr():
    grey = torch.full((8, 8, 3), 0.5)
    assert float(psnr(grey, grey + 0.1)) == pytest.approx(20.0, abs=1e-3)
    assert float(psnr(grey, grey)) == float("inf")


def test_the_published_psnr_rounds_clamps_and_stops_at_60_db():
    target = torch.full((8, 8, 3), 51 / 255)
    assert float(evaluation_psnr(target + 0.4 / 255, target)) == pytest.approx(60.0, abs=1e-3)
    white = torch.ones(8, 8, 3)
    assert float(evaluation_psnr(white * 1.7, white)) == pytest.approx(60.0, abs=1e-3)
    error = (1 / 255) ** 2 + 1e-6
    wanted = -10 * np.log10(error)
    assert float(evaluation_psnr(target + 1 / 255, target)) == pytest.approx(wanted, abs=1e-3)


def test_ssim_is_the_mean_over_channels_of_scikit_images(pictures):
    a, b = quantised(pictures[0]).numpy(), pictures[1].numpy()
    channels = [structural_similarity(a[..., c], b[..., c], data_range=1) for c in range(3)]
    values = ssim(pictures[:2], pictures[[1, 1]])
    assert float(values[0]) == pytest.approx(np.mean(channels), abs=1e-5)
    assert float(ssim(quantised(pictures[0]), quantised(pictures[0]))) == pytest.approx(1.0)


def test_the_psnr_matrix_holds_every_pair(pictures):
    matrix = psnr_matrix(pictures[:3], pictures[1:])
    for i in range(3):
        for j in range(3):
            wanted = min(120.0, float(psnr(pictures[i], pictures[1 + j])))
            assert float(matrix[i, j]) == pytest.approx(wanted, abs=1e-4)


def test_the_spread_of_a_set_is_the_mean_over_its_pairs(pictures):
    pairs = [float(psnr(pictures[i], pictures[j])) for i in range(4) for j in range(i)]
    assert mean_pairwise_psnr(pictures) == pytest.approx(np.mean(pairs), abs=1e-4)


def disc(size: int = 64) -> torch.Tensor:
    """The opacity of a disc."""
    rows, cols = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return (((rows - 32) ** 2 + (cols - 30) ** 2) < 20**2).float()[None]


def test_flat_objects_have_no_plaid_but_edges():
    alpha = disc()
    images = alpha[..., None] * torch.tensor([0.2, 0.4, 0.6]) + 1 - alpha[..., None]
    found = plaid(images, alpha)
    assert found.luminance == pytest.approx(0, abs=1e-3)
    assert found.chroma == pytest.approx(0, abs=1e-3)
    assert found.high_luminance > 1


def test_a_checkerboard_has_its_closed_form_plaid():
    alpha = disc()
    sign = torch.tensor([1.0, -1.0]).repeat(32)
    board = sign[:, None] * sign[None]
    # The binomial blur of a checkerboard is zero: the high pass is the board itself.
    grey = 0.5 + 0.02 * board[..., None].expand(64, 64, 3)
    found = plaid(grey[None], alpha)
    assert found.luminance == pytest.approx(20, rel=1e-3)
    assert found.chroma == pytest.approx(0, abs=1e-3)
    red = torch.full((64, 64, 3), 0.5)
    red[..., 0] += 0.02 * board
    found = plaid(red[None], alpha)
    assert found.luminance == pytest.approx(20 * 0.299, rel=1e-3)
    norm = 20 * np.sqrt((1 - 0.299) ** 2 + 2 * 0.299**2)
    assert found.chroma == pytest.approx(norm, rel=1e-3)


def test_plaid_agrees_with_a_second_way_of_computing_it():
    images = torch.rand(3, 64, 64, 3, generator=torch.Generator().manual_seed(1))
    alpha = disc().expand(3, 64, 64)
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    inside = ndimage.binary_erosion(alpha[0].numpy() > 0.5, np.ones((5, 5)))
    medians = []
    for image in images.numpy():
        high = image - np.stack(
            [ndimage.convolve(image[..., c], kernel, mode="nearest") for c in range(3)], -1
        )
        luminance = np.abs(high @ [0.299, 0.587, 0.114])
        # torch takes the lower of two middle values.
        medians.append(1000 * np.percentile(luminance[inside], 50, method="lower"))
    assert plaid(images, alpha).luminance == pytest.approx(np.mean(medians), rel=1e-4)


def test_pictures_without_an_object_do_not_count():
    alpha = torch.cat([disc(), torch.zeros(1, 64, 64)])
    images = torch.rand(2, 64, 64, 3, generator=torch.Generator().manual_seed(1))
    assert plaid(images, alpha) == plaid(images[:1], alpha[:1])
    with pytest.raises(EngineError, match="without an object large enough"):
        plaid(images[1:], alpha[1:])


def test_the_largest_component_is_found():
    cells = np.zeros((10, 10, 10), bool)
    assert largest_component_share(cells) == 0
    cells[1:4, 1:4, 1:4] = True
    assert largest_component_share(cells) == 1
    cells[6, 6, 6:9] = True
    assert largest_component_share(cells) == pytest.approx(0.9)
