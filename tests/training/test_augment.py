"""Training samples: picture and masks are moved together, and stay what they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation, binary_erosion, distance_transform_edt

from napari_hqsam.evaluation.data import LabelledPlane
from napari_hqsam.training.augment import Sample, WindowSampler

SIDE = 120  # of the plane below, whose colours are coordinates


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without changes of brightness and colour."""
    monkeypatch.setattr(WindowSampler, "_appearance", staticmethod(lambda rng, image: image))


def blobs(side: int = SIDE, n: int = 9) -> np.ndarray:
    """Labels of irregular objects."""
    rng = np.random.default_rng(5)
    centres = rng.uniform(0, side, (n, 2))
    grid = np.stack(np.mgrid[:side, :side], axis=-1)[:, :, None]
    distances = np.hypot(*np.moveaxis(grid - centres, -1, 0))
    near = distances.min(axis=2) < rng.uniform(8, 22, n)[distances.argmin(axis=2)]
    return np.where(near, distances.argmin(axis=2) + 1, 0).astype(np.int32)


def sampler_of_coordinates() -> tuple[WindowSampler, np.ndarray]:
    """Red is y and green is x, so that each pixel of a sample says where it comes from."""
    y, x = np.mgrid[:SIDE, :SIDE]
    image = np.stack([2 * y, 2 * x, np.full_like(x, 200)], axis=-1).astype(np.uint8)
    labels = blobs()
    return WindowSampler(LabelledPlane("coordinates", image, labels)), labels


def samples(sampler: WindowSampler, n: int, size: int = 64, objects: int = 3) -> list[Sample]:
    drawn = (sampler.draw(np.random.default_rng(i), size, objects) for i in range(3 * n))
    found = [s for s in drawn if s is not None]
    assert len(found) >= n
    return found[:n]


def origin_of(sample: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(y, x) in the plane of each pixel, and which are far enough from padding to tell."""
    y, x = sample.image[0].numpy() / 2, sample.image[1].numpy() / 2
    inside = np.abs(sample.image[2].numpy() - 200) < 0.01  # padding is 127 in all colours
    return y, x, binary_erosion(inside, np.ones((5, 5)))


def jacobian(sample: Sample) -> np.ndarray:
    """d(y, x) in the plane / d(y, x) in the sample, fitted over what is not near the edge."""
    y, x, known = origin_of(sample)
    rows, columns = np.nonzero(known)
    design = np.stack([rows, columns, np.ones_like(rows)], axis=1)
    solution, *_ = np.linalg.lstsq(design, np.stack([y[known], x[known]], axis=1), rcond=None)
    return solution[:2].T


@pytest.mark.usefixtures("plain")
def test_masks_lie_on_their_objects() -> None:
    """Whatever the rotation, flip and scale: under each mask there is one label and no other."""
    sampler, labels = sampler_of_coordinates()
    # a pixel of the picture that is at least 1.5 pixels inside or outside of its object
    edges = np.zeros_like(labels, bool)
    edges[:-1] |= labels[:-1] != labels[1:]
    edges[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    checked = 0
    for sample in samples(sampler, 60):
        y, x, known = origin_of(sample)
        scale = np.sqrt(abs(np.linalg.det(jacobian(sample)))) if known.sum() > 50 else 1
        far = distance_transform_edt(~edges) > 1.5 + 1.5 * max(scale, 1)
        at = y.round().astype(int).clip(0, SIDE - 1), x.round().astype(int).clip(0, SIDE - 1)
        sure = known & far[at]
        for mask in sample.masks.numpy() > 0:
            under = np.unique(labels[at][sure & mask])
            if len(under) == 0:  # a thin rim
                continue
            assert len(under) == 1
            assert under[0] > 0
            np.testing.assert_array_equal(mask[sure], (labels[at] == under[0])[sure])
            checked += 1
    assert checked > 100


@pytest.mark.usefixtures("plain")
def test_windows_are_turned_flipped_shrunk_and_magnified_and_never_sheared() -> None:
    sampler, _ = sampler_of_coordinates()
    determinants, angles = [], []
    for sample in samples(sampler, 80):
        if origin_of(sample)[2].sum() < 200:
            continue
        matrix = jacobian(sample)
        gram = matrix @ matrix.T
        np.testing.assert_allclose(gram, gram[0, 0] * np.eye(2), atol=0.02 * gram[0, 0])
        determinants.append(np.linalg.det(matrix))
        angles.append(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))
    scale = 1 / np.sqrt(np.abs(determinants))  # model pixels per pixel of the plane
    assert scale.max() <= 8.01
    assert (scale > 1.5).sum() > 10
    assert (scale < 0.9).sum() > 5
    assert np.sign(determinants).tolist().count(-1) > 15
    assert np.sign(determinants).tolist().count(1) > 15
    straight = np.isclose(np.array(angles) % 90, 0, atol=0.5) | np.isclose(
        np.array(angles) % 90, 90, atol=0.5
    )
    assert 0.25 < straight.mean() < 0.75


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("side", [40, 150, 700])
def test_what_is_bright_is_in_the_mask(side: int) -> None:
    """One bright object in a picture magnified, about 1:1, and shrunk."""
    y, x = np.mgrid[:side, :side]
    labels = np.zeros((side, side), np.uint8)
    labels[(abs(y - side * 0.4) < side * 0.2) & (abs(x - y * 0.5 - side * 0.2) < side * 0.12)] = 7
    image = np.where(labels[..., None] > 0, 250, 90).astype(np.uint8).repeat(3, axis=2)
    sampler = WindowSampler(LabelledPlane("bright", image, labels))
    for sample in samples(sampler, 25, objects=2):
        mask = sample.masks[0].numpy() > 0
        assert (sample.masks[0] == sample.masks[1]).all()  # there is no second object
        bright = sample.image[0].numpy() > 170
        near = binary_dilation(mask, np.ones((3, 3)), 2)
        near &= ~binary_erosion(mask, np.ones((3, 3)), 2, border_value=1)
        assert not (bright ^ mask)[~near].any()
        assert (bright & mask).sum() > 0.8 * min(bright.sum(), mask.sum())


def test_windows_of_a_part_show_a_part() -> None:
    labels = np.zeros((400, 400), np.uint8)
    labels[30:370, 30:370] = 1
    sampler = WindowSampler(LabelledPlane("large", np.zeros((400, 400), np.uint8), labels))

    def cut_by_the_edge(part: bool) -> float:
        edges = []
        for i in range(60):
            sample = sampler.draw(np.random.default_rng(i), 64, 1, part=part)
            if sample is not None:
                mask = sample.masks[0]
                rim = torch.cat([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
                edges.append(bool(rim.any()) and bool((mask == 0).any()))
        return float(np.mean(edges))

    assert cut_by_the_edge(part=True) > 0.6


def test_shapes_and_values() -> None:
    sampler, _ = sampler_of_coordinates()
    for sample in samples(sampler, 20, size=96, objects=4):
        assert sample.image.shape == (3, 96, 96)
        assert sample.masks.shape == (4, 96, 96)
        assert sample.image.dtype == sample.masks.dtype == torch.float32
        assert 0 <= sample.image.min() <= sample.image.max() <= 255
        assert set(sample.masks.unique().tolist()) == {0, 1}
        assert (sample.masks.sum(dim=(1, 2)) >= 24).all()


def test_the_same_draws_give_the_same_sample() -> None:
    sampler, _ = sampler_of_coordinates()
    one, two = (sampler.draw(np.random.default_rng(2), 64, 3) for _ in range(2))
    other = sampler.draw(np.random.default_rng(3), 64, 3)
    assert one is not None
    assert two is not None
    assert other is not None
    assert torch.equal(one.image, two.image)
    assert torch.equal(one.masks, two.masks)
    assert not torch.equal(one.image, other.image)


def test_a_plane_without_objects_gives_none() -> None:
    specks = np.zeros((50, 50), np.uint8)
    specks[::10, ::10] = np.arange(1, 26).reshape(5, 5)
    for labels in (np.zeros((50, 50), np.uint8), specks):
        sampler = WindowSampler(LabelledPlane("none", np.zeros((50, 50), np.uint8), labels))
        assert sampler.draw(np.random.default_rng(0), 64, 2) is None


@pytest.mark.parametrize("shape", [(10, 400), (400, 10), (8, 8), (3, 300)])
def test_narrow_planes(shape: tuple[int, int]) -> None:
    labels = np.ones(shape, np.uint8)
    labels[:, : shape[1] // 2] = 2
    sampler = WindowSampler(LabelledPlane("narrow", np.zeros(shape, np.uint16), labels))
    for sample in samples(sampler, 5, objects=2):
        assert torch.isfinite(sample.image).all()


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_grey_intensities_are_stretched_as_when_segmenting(dtype: str) -> None:
    rng = np.random.default_rng(0)
    labels = blobs()
    image = (rng.uniform(10, 20, labels.shape) + 100 * (labels > 0)).astype(dtype)
    sampler = WindowSampler(LabelledPlane("grey", image, labels))
    low, high = np.percentile(image[::2, ::2], (0.1, 99.9))
    assert sampler.limits == (low, high)
    for sample in samples(sampler, 5):
        inside = (sample.masks.amax(0) > 0).numpy()
        assert sample.image[0].numpy()[binary_erosion(inside, np.ones((3, 3)), 2)].mean() > 200
        assert torch.equal(sample.image[0], sample.image[2])


def test_colours_of_8_bits_are_taken_as_they_are() -> None:
    sampler, _ = sampler_of_coordinates()
    assert sampler.limits is None
