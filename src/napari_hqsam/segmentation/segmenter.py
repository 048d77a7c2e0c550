"""The Segmenter: an image and a model; prompts in, masks out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from napari_hqsam.embedding.batch import Batch
from napari_hqsam.embedding.features import Features
from napari_hqsam.embedding.filling import EmbedJob
from napari_hqsam.embedding.plan import plan_windows
from napari_hqsam.embedding.queue import EncodeQueue, View
from napari_hqsam.embedding.store import EmbeddingStore
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import ImageSource, IntensityMapping, open_image
from napari_hqsam.images.layer import limits_from_layers, source_from_layers
from napari_hqsam.images.windows import OVERLAP, Window
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.given import as_label_array
from napari_hqsam.modeling import HQSam, Mode
from napari_hqsam.modeling.hq_sam import check_mode
from napari_hqsam.segmentation.decode import Prediction
from napari_hqsam.segmentation.interactive import Interactive
from napari_hqsam.segmentation.mask import Mask
from napari_hqsam.segmentation.prompts import Prompts

if TYPE_CHECKING:
    from typing import Self

    from napari_hqsam.segmentation.blocks import LabelJob
    from napari_hqsam.segmentation.volume.job import PropagateJob
    from napari_hqsam.segmentation.volume.settings import Direction


class Segmenter:
    """Segment objects of one image with HQ-SAM.

    Parameters
    ----------
    image : array-like, path, list of levels, or ImageSource
        A numpy, dask or zarr array, a TIFF, PNG, JPEG or zarr path, or pyramid levels. It is
        read window by window.
    axes : str, optional
        One letter for each dimension, such as "yx", "yxc", "zyx", "tczyx".
    channels : int or sequence of int, optional
        One to three channels; three are shown to the network as red, green and blue.
    level : int
        Pyramid level to work on. Prompts and masks are in its pixels.
    contrast_limits : (float, float) or sequence of such pairs, optional
        Intensities that become black and white, for all channels or for each. By default
        percentiles 0.1 and 99.9 of the whole image, also for a channel with None; 8-bit colour
        is taken as it is.
    scale : sequence of float, optional
        Pixel size along each axis.
    model : str or HQSam
        A name from `list_models`, or what `load_model` returned.
    device : str
        "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", "mps". For a model given by name.
    store : path or EmbeddingStore, optional
        A folder in which the features of windows are looked up and kept.

    Attributes
    ----------
    encoding : EncodeQueue
        What is encoded ahead in the background, see `watch`.
    interactive : Interactive
        What `predict` does step by step, for a window that shows each of them.

    Raises
    ------
    HQSAMError
        If the image, the model or an option cannot be used; the message says what to do.

    Examples
    --------
    >>> from skimage.data import coins
    >>> seg = Segmenter(coins())
    >>> mask = seg.predict(box=(10, 95, 60, 150))
    >>> mask.data.shape, mask.score                                    # doctest: +SKIP
    """

    def __init__(
        self,
        image: Any,
        *,
        axes: str | None = None,
        channels: int | Sequence[int] | None = None,
        level: int = 0,
        contrast_limits: Sequence[float] | Sequence[Sequence[float] | None] | None = None,
        scale: Sequence[float] | None = None,
        model: str | HQSam = "micro",
        device: str = "auto",
        store: str | os.PathLike[str] | EmbeddingStore | None = None,
    ) -> None:
        if isinstance(image, ImageSource):
            self.source = image
        else:
            self.source = open_image(image, axes=axes, channels=channels, scale=scale)
        self.level = level
        self.source.yx_shape(level)
        self.mapping = IntensityMapping.choose(self.source, contrast_limits)
        if isinstance(model, str):
            from napari_hqsam.weights import load_model

            model = load_model(model, device=device)
        self.model = model
        if isinstance(store, (str, os.PathLike)):
            store = EmbeddingStore.open(store, self.source, self.mapping, model)
        self.features = Features(model, self.source, self.mapping, store)
        self.encoding = EncodeQueue(self.features, level)
        self.interactive = Interactive(self.features, self.plane_shape, level)

    @classmethod
    def from_layer(
        cls,
        layer: Any,
        *,
        model: str | HQSam = "micro",
        device: str = "auto",
        store: str | os.PathLike[str] | EmbeddingStore | None = None,
    ) -> Self:
        """Make a Segmenter for a napari Image layer, whichever reader opened it.

        Pixels, pyramid, scale, units and contrast limits come from the layer.

        Parameters
        ----------
        layer : napari.layers.Image, or a list of them
            Two or three layers of one shape become red, green and blue.
        model, device, store
            As for `Segmenter`.
        """
        layers = [layer] if hasattr(layer, "data") else list(layer)
        source, limits = source_from_layers(layers), limits_from_layers(layers)
        return cls(source, contrast_limits=limits, model=model, device=device, store=store)

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(height, width) of a plane of the level worked on."""
        return self.source.yx_shape(self.level)

    def predict(
        self,
        points: ArrayLike | None = None,
        labels: Sequence[int] | None = None,
        box: Sequence[float] | None = None,
        polygon: ArrayLike | None = None,
        scribble: ArrayLike | Sequence[ArrayLike] | None = None,
        mask: ArrayLike | None = None,
        *,
        negative_scribble: ArrayLike | Sequence[ArrayLike] | None = None,
        mask_origin: Sequence[int] | None = None,
        plane: Sequence[int] = (),
        previous: Mask | None = None,
        mode: Mode = "hq+sam",
        threshold: float = 0.0,
        multimask: bool = False,
        fine: bool | None = None,
    ) -> Any:
        """Predict the mask of one object.

        Parameters
        ----------
        points, labels, box, polygon, scribble, mask, negative_scribble, mask_origin
            As for `Prompts`; (y, x) in pixels.
        plane : sequence of int
            One index for each of the axes other than y, x and c, in order; () for a 2-D image.
        previous : Mask, optional
            The prediction that these prompts correct: its window is kept, unless a prompt leaves
            it, and its logits are given to the network. Where nothing but negative clicks is new,
            the mask does not grow.
        mode : {"hq+sam", "hq", "sam"}
            The sum of SAM's and the HQ token's logits, the HQ token alone, or exact SAM.
        threshold : float
            Pixels whose logits, those of `mode`, exceed it are the object: below 0 the mask grows,
            above it shrinks. For a model that trusts boxes it is counted from the threshold at
            which the mask fills its box.
        multimask : bool
            Three candidates, best score first, instead of one mask.
        fine : bool, optional
            Look at the boundary of a thin object, or of one that was shrunk to be seen, again in
            windows at full resolution or magnified. By default for the models trained for that.

        Returns
        -------
        Mask or list of Mask
        """
        prompts = Prompts(
            points, labels, box, polygon, scribble, mask, negative_scribble, mask_origin
        )
        return self.predict_many(
            [prompts],
            plane=plane,
            previous=[previous],
            mode=mode,
            threshold=threshold,
            multimask=multimask,
            fine=fine,
        )[0]

    def predict_many(
        self,
        prompts: Sequence[Prompts],
        *,
        plane: Sequence[int] = (),
        previous: Sequence[Mask | None] | None = None,
        mode: Mode = "hq+sam",
        threshold: float = 0.0,
        multimask: bool = False,
        fine: bool | None = None,
    ) -> list[Any]:
        """Predict one object for each of `prompts`: the same masks as one by one, but in batches.

        Parameters
        ----------
        prompts : sequence of Prompts
        previous : sequence of (Mask or None), optional
            For each of `prompts`, the prediction that it corrects.
        plane, mode, threshold, multimask, fine
            As for `predict`.

        Returns
        -------
        list of Mask, or of lists of Mask
            In the order of `prompts`; with `multimask` the candidates of each.
        """
        index = self._check(prompts, plane, mode, threshold)
        earlier = [None] * len(prompts) if previous is None else list(previous)
        if len(earlier) != len(prompts):
            raise HQSAMError(
                f"previous: {len(earlier)} masks for {len(prompts)} prompts; give None for some"
            )

        def draw(prediction: Prediction) -> list[Mask]:
            if multimask:
                return prediction.candidates(mode, threshold)
            return [prediction.mask(mode, threshold)]

        finished = [
            [self.interactive.finish(mask, before, mode, threshold, fine) for mask in masks]
            for masks, before in zip(
                self.interactive.many(prompts, index, earlier, mode, draw), earlier, strict=True
            )
        ]
        return finished if multimask else [masks[0] for masks in finished]

    def choose_window(
        self, prompts: Prompts, plane: Sequence[int] = (), previous: Mask | None = None
    ) -> Window:
        """The window in which `prompts` are decoded.

        It is sized for the object; a window encoded ahead (`watch`, `embed`) is taken instead where
        the object can be seen in it as well.
        """
        return self.interactive.viewing(tuple(plane)).of(prompts, previous)

    def watch(self, view: View | None) -> None:
        """Encode ahead, in the background, what `view` shows, then what lies around it.

        Parameters
        ----------
        view : View or None
            None ends it. What is encoded is kept in memory, or in the store.
        """
        self.interactive.view = view
        self.encoding.watch(view)

    def embed(
        self,
        planes: Sequence[Sequence[int]] | None = None,
        region: Sequence[float] | None = None,
        octaves: Sequence[int] = (0,),
        overlap: float = OVERLAP,
        batch: Batch = "auto",
    ) -> EmbedJob:
        """Encode windows into the store, so that prompts there are answered at once.

        While some windows are encoded, the next are read and the last are written.

        Parameters
        ----------
        planes : sequence of tuple of int, optional
            All planes by default.
        region : (y0, x0, y1, x1), optional
            Half-open, in pixels; the whole plane by default.
        octaves : sequence of int
            0 encodes windows 1:1, 1 such as show twice as much, -1 magnified ones.
        overlap : float
            Of neighbouring windows, as a share of their side.
        batch : int or "auto"
            How many windows are encoded at once. By default as many as fit into the memory of a
            CUDA GPU, 16 at most, and one on any other device. What is stored depends on it by
            rounding only.

        Returns
        -------
        EmbedJob
            Iterate it for progress; closing it keeps what is done, and another job goes on there.

        Raises
        ------
        HQSAMError
            If there is no store, or an option is out of range.
        """
        if self.features.store is None:
            raise HQSAMError("embed needs a place to keep features: give the Segmenter a store")
        windows = plan_windows(
            self.source, self.model.input_size, planes, region, octaves, overlap, self.level
        )
        return EmbedJob(self.features, windows, batch)

    def segment_all(
        self,
        prompts: Any = "grid",
        *,
        planes: Sequence[Sequence[int]] | None = None,
        region: ArrayLike | None = None,
        diameter: float | None = None,
        min_size: int = 0,
        max_size: int | None = None,
        exclude_edges: bool = False,
        skip_background: bool = True,
        link_slices: bool = True,
        mode: Mode = "hq+sam",
        threshold: float = 0.0,
        fill_holes: bool = False,
        min_iou: float | None = None,
        out: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
    ) -> LabelJob:
        """Segment every object of the image, or all that prompts are given for.

        Parameters
        ----------
        prompts : {"grid", "threshold"}, sequence of Prompts, mapping, array-like, LabelStore, path
            A click on each point of a grid, or on what a threshold shows; one object for each of
            several Prompts, in a stack those of each plane, ``{(3,): [Prompts(...), ...]}``, where
            pairs ``(label, Prompts(...))`` make one object of several planes; or labels, the box
            of each of which is a prompt and whose numbers are kept.
        planes : sequence of tuple of int, optional
            All planes by default.
        region : (y0, x0, y1, x1) or (V, 2) vertices, optional
            In pixels: only objects the middle of whose box lies in it.
        diameter : float, optional
            Of a typical object, in pixels: the image is magnified or shrunk for it. 1:1 without it.
        min_size, max_size : int
            Pixels of an object on a plane.
        exclude_edges : bool
            Leave out what the edge of the plane cuts; for "grid" and "threshold".
        skip_background : bool
            Do not search where there is nothing but background; for these two as well.
        link_slices : bool
            Give objects that overlap from slice to slice one number; for these two as well.
        mode, threshold
            As for `predict`.
        fill_holes : bool
            Take in what a mask surrounds.
        min_iou : float, optional
            Masks of which the network expects less are left out; for "grid" and "threshold".
        out, overwrite
            As for `refine`.

        Returns
        -------
        LabelJob
            Iterate it for progress; its result is an array, or a `LabelStore` at `out`.

        Raises
        ------
        HQSAMError
            If an option is out of range, or prompts do not fit the image.
        """
        from napari_hqsam.segmentation.automatic.job import segment_job
        from napari_hqsam.segmentation.automatic.settings import AutomaticSettings

        check_mode(mode, has_hq=self.model.has_hq)
        settings = AutomaticSettings(
            method="threshold" if isinstance(prompts, str) and prompts == "threshold" else "grid",
            diameter=diameter,
            min_iou=min_iou,
            min_size=min_size,
            max_size=max_size,
            exclude_edges=exclude_edges,
            mode=mode,
            threshold=threshold,
            fill_holes=fill_holes,
        )
        return segment_job(
            self.features,
            prompts,
            settings,
            self.level,
            planes=self._planes(planes),
            region=region,
            skip_background=skip_background,
            link_slices=link_slices,
            out=out,
            overwrite=overwrite,
        )

    def refine(
        self,
        labels: Any,
        *,
        band: float = 8.0,
        thin: float = 0.0,
        planes: Sequence[Sequence[int]] | None = None,
        region: ArrayLike | None = None,
        mode: Mode = "hq+sam",
        out: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
    ) -> LabelJob:
        """Give labels that exist HQ boundaries; each object keeps its number.

        Parameters
        ----------
        labels : array-like of int, LabelStore or path
            Of the planes of this image and level: from another program, a threshold, a hand. Each
            plane is refined by itself; parts of a label that do not touch are one object.
        band : float
            How far, in pixels, a boundary may move.
        thin : float
            How far parts thinner than `band` may grow beyond it; 0 for not at all.
        planes : sequence of tuple of int, optional
            All planes by default.
        region : (y0, x0, y1, x1) or (V, 2) vertices, optional
            In pixels: only objects the middle of whose box lies in it are refined.
        mode : {"hq+sam", "hq", "sam"}
            As for `predict`.
        out : path-like, optional
            A ``.zarr`` for labels of any size. The job then goes on after a kill. In memory
            without it.
        overwrite : bool
            Whether labels at `out` may be replaced.

        Returns
        -------
        LabelJob
            Iterate it for progress; its result is an array, or a `LabelStore` at `out`.

        Raises
        ------
        HQSAMError
            If the labels do not fit the image, or an option is out of range.
        """
        from napari_hqsam.segmentation.refine.job import refine_job
        from napari_hqsam.segmentation.refine.refiner import RefineSettings

        check_mode(mode, has_hq=self.model.has_hq)
        frame = LabelFrame.of(self.source, self.level)
        return refine_job(
            self.features,
            frame,
            as_label_array(labels, frame),
            self.level,
            RefineSettings(band, thin, mode),
            planes=self._planes(planes),
            region=region,
            out=out,
            overwrite=overwrite,
        )

    def propagate(
        self,
        seeds: Any,
        start: int | None = None,
        stop: int | None = None,
        *,
        axis: str | None = None,
        direction: Direction = "both",
        min_score: float = 0.5,
        smooth: float = 0.0,
        labels: Any = None,
        mode: Mode = "hq+sam",
        threshold: float = 0.0,
        out: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
    ) -> PropagateJob:
        """Follow objects through z or t, from slices where they are known to all others.

        From slice to slice each object is looked for where it was on the neighbour. Between two
        slices on which it is known it is followed from both. It ends where the score falls below
        `min_score`; a single poor slice, and up to three blank ones, are bridged.

        Parameters
        ----------
        seeds : sequence of Mask, mapping, array-like of int, LabelStore or path
            Masks, one object each, labelled from 1 up; ``{label: [Mask, ...]}`` for objects known
            on several slices; ``{plane: [Prompts(...), ...]}`` or ``{plane: [(label,
            Prompts(...)), ...]}``, which are predicted first; or labels, of which each is known on
            every slice on which it occurs.
        start, stop : int, optional
            First position along the axis, and one after the last. Until the object ends without.
        axis : {"z", "t"}, optional
            z if there is one, else t.
        direction : {"both", "forward", "backward"}
            From the known slices on.
        min_score : float
            0 to 1.
        smooth : float
            Standard deviation along the axis, in slices, of a smoothing of the boundary; 0: none.
        labels : array-like of int, LabelStore or path, optional
            Objects that keep their pixels, and are part of the result.
        mode, threshold
            As for `predict`.
        out, overwrite
            As for `refine`.

        Returns
        -------
        PropagateJob
            Iterate it for progress; its result is an array, or a `LabelStore` at `out`; its
            `table` tells how sure each mask is.

        Raises
        ------
        HQSAMError
            If there is no such axis, nothing to propagate, or an option is out of range.
        """
        from napari_hqsam.segmentation.volume.job import propagate_job
        from napari_hqsam.segmentation.volume.seeds import seeds_of
        from napari_hqsam.segmentation.volume.settings import PropagateSettings

        check_mode(mode, has_hq=self.model.has_hq)
        settings = PropagateSettings(
            start, stop, direction, min_score, smooth, mode=mode, threshold=threshold
        )
        frame = LabelFrame.of(self.source, self.level)
        existing = None if labels is None else as_label_array(labels, frame)

        def predict(prompts: Sequence[Prompts], plane: tuple[int, ...]) -> list[Mask]:
            return self.predict_many(prompts, plane=plane, mode=mode, threshold=threshold)

        def highest() -> int:
            return 0 if existing is None else existing.highest()

        course, found = seeds_of(seeds, self.source, self.level, axis, predict, highest)
        return propagate_job(
            self.features,
            self.level,
            course,
            found,
            settings,
            existing=existing,
            out=out,
            overwrite=overwrite,
        )

    def close(self) -> None:
        """End the encoding in the background, and close the file behind the image."""
        self.encoding.close()
        self.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _planes(self, planes: Sequence[Sequence[int]] | None) -> list[tuple[int, ...]] | None:
        return None if planes is None else [self.source.check_plane(plane) for plane in planes]

    def _check(
        self, prompts: Sequence[Prompts], plane: Sequence[int], mode: Mode, threshold: float
    ) -> tuple[int, ...]:
        check_mode(mode, has_hq=self.model.has_hq)
        if not np.isfinite(threshold):
            raise HQSAMError(f"threshold {threshold}: give a number such as 0 or -1.5")
        for p in prompts:
            p.check_inside(self.plane_shape)
        return self.source.check_plane(plane)
