from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import skeletonize

from napari_hqsam.errors import HQSAMError
from napari_hqsam.training.augment import WindowSampler
from napari_hqsam.training.batch import TrainingSet
from napari_hqsam.training.synthetic import (
    LOOKS,
    SCENES,
    SyntheticSampler,
    looks_of,
    synthetic_plane,
)
from napari_hqsam.training.synthetic.blobs import BentGrid, scatter
from napari_hqsam.training.synthetic.fields import blur, smooth
from napari_hqsam.training.synthetic.membranes import membrane_network, membranes
from napari_hqsam.training.synthetic.mitochondria import mitochondria
from napari_hqsam.training.synthetic.myelin import myelin
from napari_hqsam.training.synthetic.nuclei import nuclei
from napari_hqsam.training.synthetic.strokes import Curve, curve, paint, painted
from napari_hqsam.training.synthetic.tessellation import tessellate, wall_distance
from napari_hqsam.training.synthetic.vessels import vessels

PAIRS = [(scene, look) for scene in SCENES for look in looks_of(scene)]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("scene", "look"), PAIRS)
def test_every_scene_under_every_look(scene: str, look: str) -> None:
    plane = synthetic_plane(rng(1), 160, scene, look)
    assert plane.name == f"{scene}_{look}"
    assert plane.image.dtype == np.uint8
    assert plane.image.shape in ((160, 160), (160, 160, 3))
    assert (look == "stained") <= (plane.image.ndim == 3)
    assert plane.image.std() > 4
    assert plane.labels.shape == (160, 160)
    assert plane.labels.dtype == np.uint16
    sizes = np.bincount(plane.labels.ravel())
    assert len(sizes) > 1
    assert sizes.min() >= 16
    again = synthetic_plane(rng(1), 160, scene, look)
    np.testing.assert_array_equal(again.image, plane.image)
    np.testing.assert_array_equal(again.labels, plane.labels)


def test_each_look_and_each_scene_is_used() -> None:
    assert {look for _, look in PAIRS} == set(LOOKS)
    names = {synthetic_plane(rng(seed), 64).name for seed in range(45)}
    assert len({name.split("_")[0] for name in names}) > 7
    assert len({name.split("_")[1] for name in names}) == len(LOOKS)


def test_seeds_differ() -> None:
    planes = [synthetic_plane(rng(seed), 96, "nuclei", "fluorescence") for seed in (1, 2)]
    assert (planes[0].labels != planes[1].labels).any()


def test_a_look_alone_gives_a_scene_that_has_it() -> None:
    assert all(
        "em" in looks_of(synthetic_plane(rng(seed), 64, look="em").name.split("_")[0])
        for seed in range(5)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scene": "galaxy"}, "scene 'galaxy'.*nuclei"),
        ({"look": "radio"}, "look 'radio'.*fluorescence"),
        ({"scene": "myelin", "look": "phase contrast"}, "myelin in phase contrast.*em"),
        ({"size": 32}, "64"),
    ],
)
def test_what_does_not_exist_is_named(options: dict, message: str) -> None:
    with pytest.raises(HQSAMError, match=message):
        synthetic_plane(rng(), **options)


@pytest.mark.parametrize("radius", [0.5, 1.0, 2.5, 8.0])
def test_a_stroke_has_its_width(radius: float) -> None:
    line = Curve(np.stack([np.full(200, 50.3), np.linspace(20, 80, 200)], 1), np.full(200, radius))
    widths = (painted(line, 100) < 0)[:, 30:70].sum(axis=0)
    assert abs(widths.mean() - 2 * radius) <= 0.6


def test_a_stroke_over_the_border_is_cut_not_lost() -> None:
    line = Curve(np.array([[-3.0, 40.0]]), np.array([8.0]))
    window, distance = paint(line, 64)
    assert window[0].start == 0
    assert distance[0].min() == pytest.approx(-5, abs=0.1)
    far = Curve(np.array([[-300.0, 40.0]]), np.array([8.0]))
    assert paint(far, 64)[1].size == 0


def test_a_curve_begins_and_tapers_as_told() -> None:
    line = curve(rng(), np.array([10.0, 10.0]), 0.0, 60, (3.0, 1.0))
    assert np.hypot(*(line.points[0] - 10)) < 1
    assert line.radius[[0, -1]].tolist() == [3.0, 1.0]
    steps = np.hypot(*np.diff(line.points, axis=0).T)
    assert steps.sum() == pytest.approx(60, rel=0.05)


def test_an_ellipse_has_its_area() -> None:
    _, distance = BentGrid(rng(), 120, 0.0, 20).ellipse((60, 60), (30, 12), 0.7)
    assert (distance < 0).sum() == pytest.approx(np.pi * 30 * 12, rel=0.02)
    assert distance[0, 0] > 0


def test_bodies_keep_their_distance() -> None:
    radii = np.full(40, 6.0)
    centres, kept = scatter(rng(), 150, radii, apart=1.0)
    gaps = np.hypot(*(centres[:, None] - centres).transpose(2, 0, 1)) + 1e3 * np.eye(len(centres))
    assert len(kept) > 10
    assert gaps.min() >= 12


def test_walls_part_the_cells_and_have_their_width() -> None:
    cells = tessellate(rng(), 200, 40)
    for width in (2.0, 4.0):
        wall = wall_distance(cells, width + 2) <= width / 2
        pieces, _ = ndimage.label(~wall)
        # No piece reaches into a second cell.
        for piece in range(1, pieces.max() + 1):
            assert len(np.unique(cells[pieces == piece])) == 1
        length = skeletonize(wall).sum()
        assert wall.sum() / length == pytest.approx(width + 0.5, abs=1.3)


def test_fields_are_unit_and_smooth() -> None:
    field = smooth(rng(), 256, 8)
    assert field.dtype == np.float32
    assert field.std() == pytest.approx(1, abs=0.2)
    assert np.abs(np.diff(field, axis=0)).max() < 1
    spot = np.zeros((101, 101), np.float32)
    spot[50, 50] = 1
    for sigma in (1.0, 8.0):
        wide = blur(spot, sigma)
        variance = (wide.sum(1) * (np.arange(101) - 50) ** 2).sum() / wide.sum()
        assert wide.sum() == pytest.approx(1, abs=0.05)
        assert variance**0.5 == pytest.approx(sigma, rel=0.15)


@pytest.mark.parametrize("seed", range(3))
def test_masks_are_those_of_the_matter(seed: int) -> None:
    """Before optics, what is stained is what is labelled."""
    specimen = nuclei(rng(seed), 192, "fluorescence")
    inside = specimen.labels > 0
    away = ndimage.distance_transform_edt(~inside) > 1.5
    assert specimen.stain[inside].mean() > 0.2
    assert specimen.stain[away].max() == 0
    network = membrane_network(rng(seed), 192, "em")
    assert network.dense[network.labels > 0].mean() > network.dense[network.labels == 0].mean()


@pytest.mark.parametrize(
    ("scene", "look"),
    [
        ("nuclei", "fluorescence"),
        ("nuclei", "stained"),
        ("vessels", "fluorescence"),
        ("membrane network", "em"),
        ("hyphae", "bright field"),
        ("mitochondria", "fluorescence"),
    ],
)
def test_objects_stand_out_from_what_surrounds_them(scene: str, look: str) -> None:
    contrasts = []
    for seed in range(5):
        plane = synthetic_plane(rng(seed), 160, scene, look)
        grey = plane.image.astype(float).reshape(160, 160, -1).mean(axis=2)
        inside = plane.labels > 0
        distance = ndimage.distance_transform_edt(~inside)
        ring = (distance > 2) & (distance < 7)
        contrasts.append(abs(grey[inside].mean() - grey[ring].mean()) / grey[inside | ring].std())
    assert np.median(contrasts) > 0.6


@pytest.mark.parametrize("scene", ["vessels", "filaments", "neurites", "hyphae"])
def test_thin_scenes_are_thin(scene: str) -> None:
    widths = []
    for seed in range(4):
        mask = synthetic_plane(rng(seed), 160, scene).labels > 0
        widths.append(mask.sum() / skeletonize(mask).sum())
    assert 1 <= np.median(widths) < 11


def test_membranes_part_instances() -> None:
    labels = membranes(rng(), 192, "em").labels
    assert labels.max() > 4
    for axis in (0, 1):
        a, b = (np.moveaxis(labels, axis, 0)[s] for s in (slice(1, None), slice(None, -1)))
        assert not ((a != b) & (a > 0) & (b > 0)).any()


def test_mitochondria_do_not_touch_and_axons_lie_in_rings() -> None:
    labels = mitochondria(rng(2), 192, "em").labels
    assert labels.max() >= 2
    _, pieces = ndimage.label(labels > 0)
    assert pieces >= labels.max()
    nerve = next(
        s
        for s in (myelin(rng(seed), 192, "em") for seed in range(9))
        if _is_axons(s.dense, s.labels)
    )
    assert nerve.labels.max() > 5


def _is_axons(dense: np.ndarray, labels: np.ndarray) -> bool:
    outside = ndimage.distance_transform_edt(labels == 0)
    ring = (outside > 0) & (outside < 2.5)
    return bool(dense[ring].mean() > dense[labels > 0].mean() + 0.2)


def test_vessels_are_one_object() -> None:
    assert np.unique(vessels(rng(), 128, "stained").labels).tolist() == [0, 1]


def test_sampler_draws_what_a_window_sampler_would() -> None:
    sampler = SyntheticSampler()
    assert len(sampler.ids) > 0
    drawn = [sampler.draw(rng(seed), 96, 3, part=seed % 2 == 1) for seed in range(6)]
    samples = [s for s in drawn if s is not None]
    assert len(samples) > 2
    for sample in samples:
        assert sample.image.shape == (3, 96, 96)
        assert sample.masks.shape == (3, 96, 96)
        assert set(sample.masks.unique().tolist()) <= {0.0, 1.0}
    again = sampler.draw(rng(0), 96, 3, part=False)
    if drawn[0] is None:
        assert again is None
    else:
        assert again is not None
        assert (again.image == drawn[0].image).all()
    plane = synthetic_plane(rng(3), 192)
    assert len(WindowSampler(plane).ids) > 0
    assert TrainingSet("synthetic", [sampler]).weight == 1.0
