"""Labels on disk: commits, painting, undo, and what is lost when the disk fails (nothing)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.store import LabelStore
from napari_hqsam.plugin.annotate.label_layers import LabelLayers
from napari_hqsam.plugin.edit_window import window_for
from napari_hqsam.plugin.large_labels import LargeLabels
from napari_hqsam.session.record import NewObject
from napari_hqsam.session.session import Session

FLAT = ArrayPlane((0, 1), ())


def square(y: int, x: int, side: int, plane: ArrayPlane = FLAT) -> NewObject:
    data = np.ones((side, side), dtype=bool)
    return NewObject((PlaneMask.of(plane, (y, x, y + side, x + side), data),))


def begin(large: LargeLabels) -> Session:
    """A session of the labels, which is told of what is painted."""
    session = Session(large)
    large.painted.connect(session.painted)
    return session


@pytest.fixture(autouse=True)
def small(qapp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is large here: a plane of more than 64² pixels."""
    monkeypatch.setattr("napari_hqsam.plugin.label_folder.LARGEST_PLANE", 64**2)
    monkeypatch.setattr("napari_hqsam.plugin.label_folder.labels_folder", lambda: tmp_path / "l")
    monkeypatch.setattr("napari_hqsam.plugin.edit_window.LARGEST_SIDE", 64)
    monkeypatch.setattr("napari_hqsam.plugin.edit_window._STEP", 16)


@pytest.fixture
def viewer() -> ViewerModel:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((200, 300)), name="big one", scale=(0.5, 0.5), translate=(3, 4))
    viewer.canvas.size = (40, 40)
    look(viewer, 100, 100)
    return viewer


@pytest.fixture
def layers(viewer: ViewerModel) -> LabelLayers:
    return LabelLayers(viewer)


@pytest.fixture
def large(viewer: ViewerModel, layers: LabelLayers) -> LargeLabels:
    labels = layers.new(viewer.layers["big one"])
    found = layers.follow(labels)
    assert found is not None
    return found


@pytest.fixture
def session(large: LargeLabels) -> Session:
    return begin(large)


def look(viewer: ViewerModel, y: float, x: float, zoom: float = 2.0) -> None:
    """Put pixel (y, x) in the middle; at zoom 2 a pixel of the image is one of the screen."""
    viewer.scene.camera.zoom = zoom
    world = viewer.layers[0].data_to_world((y, x))
    viewer.scene.camera.center = (0, *world)


def on_disk(large: LargeLabels) -> np.ndarray:
    return LabelStore.open(large.store.path).read((), 0, 0, 200, 300)


def paint(large: LargeLabels, y: int, x: int, label: int) -> None:
    """A stroke of 3 × 3 pixels at (y, x) of the image, as napari's brush does it."""
    layer = large.window.layer
    assert layer is not None
    top, left = large.window.box[:2]
    layer.selected_label = label
    with layer.block_history():
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                layer.brush_size = 1
                layer.paint((y + dy - top, x + dx - left), label)


def test_it_is_made_for_what_is_large_only(viewer: ViewerModel, layers: LabelLayers) -> None:
    small = viewer.add_image(np.zeros((60, 60)), name="small")
    assert layers.large(layers.new(small)) is None
    stack = viewer.add_image(np.zeros((300, 20, 70)), name="deep")  # xz is large
    labels = layers.new(stack)
    found = layers.large(labels)
    assert found is not None
    assert labels.name == "deep objects"
    assert not labels.editable
    assert tuple(found.store.shape) == (300, 20, 70)
    assert found.store.path.name.startswith("deep-")
    wide = layers.new(viewer.add_image(np.zeros((1100, 1300), dtype=np.uint8)))
    assert wide.multiscale


def test_commit_shows_writes_and_is_undone(
    viewer: ViewerModel, large: LargeLabels, session: Session
) -> None:
    assert session.commit([square(90, 90, 10), square(95, 95, 10)]) == [1, 2]
    expected = np.zeros((200, 300), dtype=np.uint32)
    expected[95:105, 95:105] = 2
    expected[90:100, 90:100] = 1
    np.testing.assert_array_equal(on_disk(large), expected)
    y0, x0, y1, x1 = large.window.box
    window = large.window.layer
    np.testing.assert_array_equal(window.data, expected[y0:y1, x0:x1])
    np.testing.assert_allclose(
        window.data_to_world((0, 0)), viewer.layers["big one"].data_to_world((y0, x0))
    )
    assert session.next_id == 3
    assert session.undo() == "commit of 2 objects"
    assert not on_disk(large).any()
    assert not window.data.any()
    with pytest.raises(HQSAMError, match="nothing to undo"):
        session.undo()


def test_what_is_painted_is_written_and_undone_in_order(
    large: LargeLabels, session: Session
) -> None:
    session.commit([square(90, 90, 10)])
    paint(large, 95, 95, 7)
    assert on_disk(large)[95, 95] == 7
    paint(large, 110, 110, 8)
    session.commit([square(120, 90, 5)])
    assert on_disk(large)[120, 90] == 9
    steps = [session.undo() for _ in range(4)]
    assert steps == [
        "commit of object 9",
        "painting of object 8",
        "painting of 2 objects",  # that of 7, which took a part of 1
        "commit of object 1",
    ]
    assert not on_disk(large).any()
    assert not large.window.layer.data.any()


def test_the_window_follows_the_view_and_loses_nothing(
    viewer: ViewerModel, layers: LabelLayers, large: LargeLabels, session: Session
) -> None:
    window, first = large.window.layer, large.window.box
    window.data[3, 4] = 5  # without any event, as a script may do
    look(viewer, 102, 101)
    layers.follow(large.overview)
    assert large.window.box == first  # a small move
    look(viewer, 30, 250)
    layers.follow(large.overview)
    assert large.window.layer is window
    assert large.window.box != first
    assert on_disk(large)[first[0] + 3, first[1] + 4] == 5
    assert not window.data.any()
    paint(large, 30, 250, 6)
    look(viewer, 100, 100)
    layers.follow(large.overview)
    assert window.data[3, 4] == 5
    assert on_disk(large)[30, 250] == 6
    assert session.undo() == "painting of object 6"
    assert on_disk(large)[30, 250] == 0
    assert on_disk(large)[first[0] + 3, first[1] + 4] == 5


def test_zoomed_out_the_read_only_layer_is_shown(
    viewer: ViewerModel, layers: LabelLayers, large: LargeLabels
) -> None:
    window = large.window.layer
    window.mode = "paint"
    assert (window.visible, large.overview.visible, large.close_by) == (True, False, True)
    look(viewer, 100, 100, zoom=0.2)
    layers.follow(large.overview)
    assert (window.visible, large.overview.visible, large.close_by) == (False, True, False)
    look(viewer, 100, 100)
    layers.follow(large.overview)
    assert (window.visible, large.overview.visible, window.mode) == (True, False, "paint")
    window.visible = False  # the user does not want to see it
    look(viewer, 100, 100, zoom=0.2)
    layers.follow(large.overview)
    assert not large.overview.visible
    large.overview.visible = True
    look(viewer, 100, 100)
    layers.follow(large.overview)
    assert window.visible
    other = layers.new(viewer.layers["big one"])
    layers.follow(other)
    assert (window.visible, large.overview.visible) == (False, True)


def test_a_disk_that_fails_loses_nothing_and_is_told(
    viewer: ViewerModel,
    layers: LabelLayers,
    large: LargeLabels,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    layers.failed.connect(lambda line: told.append(line))

    def full(*_args: Any) -> None:
        raise HQSAMError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(large.store, "write", full)
        paint(large, 95, 95, 7)
        assert len(told) == 1
        assert "no space left" in told[0]
        assert "NOT SAVED" in large.window.layer.name
        box = large.window.box
        look(viewer, 30, 250)
        layers.follow(large.overview)
        assert large.window.box == box  # it stays where the only copy is
        assert len(told) == 1
        with pytest.raises(HQSAMError, match="no space left"):
            session.commit([square(110, 110, 5)])
        assert not session.objects
        assert session.can_undo is None
        large.overview.refresh()
    assert large.flush()
    assert "NOT SAVED" not in large.window.layer.name
    assert on_disk(large)[95, 95] == 7
    assert set(np.unique(on_disk(large))) == {0, 7}
    assert session.undo() == "painting of object 7"
    assert not on_disk(large).any()


def test_edits_that_could_not_be_written_survive_a_commit(
    layers: LabelLayers, large: LargeLabels, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = large.store.write, []

    def fail_once(*args: Any) -> Any:
        calls.append(args)
        if len(calls) < 3:
            raise OSError("try again")
        return write(*args)

    monkeypatch.setattr(large.store, "write", fail_once)
    paint(large, 95, 95, 7)
    layers.flush()
    session.set_next_id(8)
    session.commit([square(90, 90, 10)])
    assert on_disk(large)[95, 95] == 8
    assert large.flush()
    assert on_disk(large)[95, 95] == 7
    assert on_disk(large)[91, 91] == 8


def test_closing_writes_and_leaves_the_read_only_layer(
    viewer: ViewerModel, layers: LabelLayers, large: LargeLabels
) -> None:
    large.window.layer.data[3, 4] = 5
    window = large.window.layer
    layers.close()
    assert (on_disk(large) == 5).sum() == 1
    assert window not in viewer.layers
    assert large.overview.visible


def test_closing_on_a_full_disk_leaves_what_was_painted(
    viewer: ViewerModel, layers: LabelLayers, large: LargeLabels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large.store, "write", lambda *_: (_ for _ in ()).throw(OSError("full")))
    paint(large, 95, 95, 7)
    layers.close()
    (left,) = [each for each in viewer.layers if "NOT SAVED" in each.name]
    assert (left.data == 7).sum() == 9


@pytest.mark.parametrize("which", ["overview", "window"])
def test_deleted_layers_keep_their_labels(
    which: str, viewer: ViewerModel, layers: LabelLayers, large: LargeLabels, session: Session
) -> None:
    viewer.layers.events.removed.connect(lambda event: said.append(layers.removed(event.value)))
    said: list[str | None] = []
    session.commit([square(90, 90, 10)])
    large.window.layer.data[3, 4] = 5
    viewer.layers.remove(large.overview if which == "overview" else large.window.layer)
    assert (on_disk(large) == 5).sum() == 1
    assert (on_disk(large) == 1).sum() == 100
    names = [each.name for each in viewer.layers]
    if which == "overview":
        assert names == ["big one"]
        assert str(large.store.path) in "".join(filter(None, said))
    else:
        layers.follow(viewer.layers["big one objects"])
        assert "big one objects (edit)" in [each.name for each in viewer.layers]


def test_labels_opened_again_are_gone_on_with(
    viewer: ViewerModel, layers: LabelLayers, large: LargeLabels, session: Session
) -> None:
    session.set_next_id(4)
    session.commit([square(90, 90, 10)])
    layers.close()
    image = viewer.layers["big one"]
    pyramid = [np.zeros((200, 300), dtype=int), np.zeros((100, 150), dtype=int)]
    placed = {"scale": image.scale, "translate": image.translate}
    other = viewer.add_labels(pyramid, multiscale=True, **placed)
    problem = LabelLayers(viewer).problem(other, image)
    assert problem is not None
    assert "is a pyramid, which cannot be edited" in problem
    again = viewer.add_labels(np.asarray(large.store.levels[0]), **placed)
    again.metadata.update(large.overview.metadata)
    fresh = LabelLayers(viewer)
    assert fresh.problem(again, image) is None
    assert fresh.highest(again) == 4
    found = fresh.large(again)
    assert found is not None
    assert fresh.array(again) is found
    assert begin(found).commit([square(20, 20, 3)]) == [5]
    assert on_disk(large)[21, 21] == 5
    assert on_disk(large)[95, 95] == 4


def test_a_plane_across_a_stack(viewer: ViewerModel, layers: LabelLayers) -> None:
    viewer.layers.clear()
    image = viewer.add_image(np.zeros((30, 80, 100)), name="deep")
    labels = layers.new(image)
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_current_step(1, 17)
    viewer.scene.camera.zoom = 2
    viewer.scene.camera.center = (0, 10, 50)
    large = layers.follow(labels)
    assert large is not None
    session = begin(large)
    assert large.window.plane == ArrayPlane((0, 2), (17,))
    session.set_next_id(3)
    session.commit([square(5, 40, 6, large.window.plane)])
    stack = np.asarray(large.store.levels[0][:])
    assert (stack[5:11, 17, 40:46] == 3).all()
    assert (stack > 0).sum() == 36
    assert (large.window.layer.data == 3).sum() == 36
    large.window.layer.data[0, 0, 0] = 9
    viewer.dims.order = (0, 1, 2)
    viewer.dims.set_current_step(0, 7)
    viewer.scene.camera.zoom = 2  # the view was reset
    viewer.scene.camera.center = (0, 17, 43)
    layers.follow(labels)
    assert large.window.plane == ArrayPlane((1, 2), (7,))
    assert (large.window.layer.data == 3).sum() == 6
    assert (np.asarray(large.store.levels[0][:]) == 9).sum() == 1
    assert [session.undo(), session.undo()] == ["painting of object 9", "commit of object 3"]
    assert not np.asarray(large.store.levels[0][:]).any()
    assert not large.window.layer.data.any()


@pytest.mark.parametrize("axes", [(1, 2), (0, 2), (0, 1)], ids=["xy", "xz", "yz"])
def test_an_object_leaves_the_others_on_any_plane(
    axes: tuple[int, int], viewer: ViewerModel, layers: LabelLayers
) -> None:
    viewer.layers.clear()
    large = layers.large(layers.new(viewer.add_image(np.zeros((70, 80, 90)), name="deep")))
    assert large is not None
    plane, session = ArrayPlane(axes, (17,)), begin(large)
    assert session.commit([square(0, 0, 3, plane)]) == [1]
    assert session.commit([square(1, 1, 4, plane)]) == [2]
    expected = np.zeros((5, 5), dtype=np.uint32)
    expected[1:5, 1:5] = 2
    expected[:3, :3] = 1
    np.testing.assert_array_equal(large.read(plane, (0, 0, 5, 5)), expected)
    assert np.count_nonzero(np.asarray(large.store.levels[0][:])) == 9 + 16 - 4
    with pytest.raises(HQSAMError, match="lies on objects already there"):
        session.commit([square(0, 0, 2, plane)], "background")
    np.testing.assert_array_equal(large.read(plane, (0, 0, 5, 5)), expected)


@pytest.mark.parametrize("visible", [(-30, -30, 10, 10), (50, 60, 90, 100), (190, 280, 230, 320)])
def test_a_window_shows_what_is_visible_and_more(visible: tuple[float, ...]) -> None:
    y0, x0, y1, x1 = window_for(visible, (200, 300), None)
    assert 0 <= y0 <= max(visible[0], 0)
    assert 0 <= x0 <= max(visible[1], 0)
    assert min(visible[2], 200) <= y1 <= 200
    assert min(visible[3], 300) <= x1 <= 300
    assert max(y1 - y0, x1 - x0) <= 64
    assert window_for(visible, (200, 300), (y0, x0, y1, x1)) == (y0, x0, y1, x1)


def test_no_window_is_larger_than_may_be() -> None:
    assert window_for((0, 0, 65, 10), (200, 300), None) is None
    assert window_for((-50, -50, -10, -10), (200, 300), None) is None
    y0, x0, y1, x1 = window_for((20, 20, 84, 84), (200, 300), None)
    assert (y1 - y0, x1 - x0) == (64, 64)
