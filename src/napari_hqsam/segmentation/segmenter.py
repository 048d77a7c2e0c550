"""The Segmenter: an image and a model; prompts in, masks out."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import ArrayLike, NDArray

from napari_hqsam.embedding.features import Features
from napari_hqsam.embedding.job import Job
from napari_hqsam.embedding.plan import plan_windows
from napari_hqsam.embedding.queue import EncodeQueue, View, view_octave
from napari_hqsam.embedding.store import EmbeddingStore
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import ImageSource, IntensityMapping, open_image
from napari_hqsam.images.layer import limits_from_layers, source_from_layers
from napari_hqsam.images.windows import OVERLAP, Window
from napari_hqsam.modeling import HQSam, Mode
from napari_hqsam.modeling.hq_sam import check_mode
from napari_hqsam.segmentation.decode import decode_masks
from napari_hqsam.segmentation.fine import refine_boundary
from napari_hqsam.segmentation.mask import Mask, move_logits
from napari_hqsam.segmentation.prompts import Prompts
from napari_hqsam.segmentation.viewing import Viewing

if TYPE_CHECKING:
    from typing import Self

# Prompts decoded at once.
_BATCH = 32
# How often a clicked object that its window has cut off is looked at in another.
_MOST_STEPS = 2


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
        self._view: View | None = None

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
        plane: Sequence[int] = (),
        previous: Mask | None = None,
        mode: Mode = "hq+sam",
        multimask: bool = False,
        fine: bool | None = None,
    ) -> Any:
        """Predict the mask of one object.

        Parameters
        ----------
        points, labels, box, polygon, scribble, mask
            As for `Prompts`; (y, x) in pixels.
        plane : sequence of int
            One index for each of the axes other than y, x and c, in order; () for a 2-D image.
        previous : Mask, optional
            The prediction that these prompts correct: its window is kept, unless a prompt leaves
            it, and its logits are given to the network. Where nothing but negative clicks is new,
            the mask does not grow.
        mode : {"hq+sam", "hq", "sam"}
            The sum of SAM's and the HQ token's logits, the HQ token alone, or exact SAM.
        multimask : bool
            Three candidates, best score first, instead of one mask.
        fine : bool, optional
            Look at the boundary of a thin object, or of one that was shrunk to be seen, again in
            windows at full resolution or magnified. By default for the models trained for that.

        Returns
        -------
        Mask or list of Mask
        """
        prompts = Prompts(points, labels, box, polygon, scribble, mask)
        found = self._predict_one(prompts, plane, previous, mode, multimask)
        masks = [self._finish(m, previous, mode, fine) for m in found]
        return masks if multimask else masks[0]

    def predict_many(
        self,
        prompts: Sequence[Prompts],
        *,
        plane: Sequence[int] = (),
        previous: Sequence[Mask | None] | None = None,
        mode: Mode = "hq+sam",
        fine: bool | None = None,
    ) -> list[Mask]:
        """Predict one object for each of `prompts`: the same masks as one by one, but in batches.

        Parameters
        ----------
        prompts : sequence of Prompts
        previous : sequence of (Mask or None), optional
            For each of `prompts`, the prediction that it corrects.
        plane, mode, fine
            As for `predict`.

        Returns
        -------
        list of Mask
            In the order of `prompts`.
        """
        index = self._check(prompts, plane, mode)
        if previous is not None and len(previous) != len(prompts):
            raise HQSAMError(
                f"previous: {len(previous)} masks for {len(prompts)} prompts; give None for some"
            )
        groups: dict[tuple[Window, tuple[int, bool, bool]], list[int]] = defaultdict(list)
        masks: list[Mask | None] = [None] * len(prompts)
        for i, p in enumerate(prompts):
            earlier = previous[i] if previous else None
            if earlier is None and p.bounds()[2]:
                groups[self.choose_window(p, index), p.form()].append(i)
            else:  # a click may have to be looked at again, magnified
                masks[i] = self._predict_one(p, index, earlier, mode, False)[0]
        for (window, _), members in groups.items():
            for start in range(0, len(members), _BATCH):
                part = members[start : start + _BATCH]
                nothing = [None] * len(part)
                found = self._decode(window, [prompts[i] for i in part], nothing, mode, False)
                for i, of_object in zip(part, found, strict=True):
                    masks[i] = of_object[0]
        earlier_masks = previous or [None] * len(prompts)
        return [
            self._finish(m, earlier, mode, fine)
            for m, earlier in zip(masks, earlier_masks, strict=True)
            if m is not None
        ]

    def choose_window(
        self, prompts: Prompts, plane: Sequence[int] = (), previous: Mask | None = None
    ) -> Window:
        """The window in which `prompts` are decoded.

        It is sized for the object; a window encoded ahead (`watch`, `embed`) is taken instead where
        the object can be seen in it as well.
        """
        return self._viewing(tuple(plane)).of(prompts, previous)

    def watch(self, view: View | None) -> None:
        """Encode ahead, in the background, what `view` shows, then what lies around it.

        Parameters
        ----------
        view : View or None
            None ends it. What is encoded is kept in memory, or in the store.
        """
        self._view = view
        self.encoding.watch(view)

    def embed(
        self,
        planes: Sequence[Sequence[int]] | None = None,
        region: Sequence[float] | None = None,
        octaves: Sequence[int] = (0,),
        overlap: float = OVERLAP,
    ) -> Job[Window, EmbeddingStore]:
        """Encode windows into the store, so that prompts there are answered at once.

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

        Returns
        -------
        Job
            Iterate it for progress; closing it keeps what is done, and another job goes on there.

        Raises
        ------
        HQSAMError
            If there is no store, or an option is out of range.
        """
        store = self.features.store
        if store is None:
            raise HQSAMError("embed needs a place to keep features: give the Segmenter a store")
        windows = plan_windows(
            self.source, self.model.input_size, planes, region, octaves, overlap, self.level
        )
        return Job(windows, self.features.store_one, lambda w: w in store, lambda: store)

    def close(self) -> None:
        """End the encoding in the background, and close the file behind the image."""
        self.encoding.close()
        self.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _check(
        self, prompts: Sequence[Prompts], plane: Sequence[int], mode: Mode
    ) -> tuple[int, ...]:
        check_mode(mode, has_hq=self.model.has_hq)
        for p in prompts:
            p.check_inside(self.plane_shape)
        return self.source.check_plane(plane)

    def _predict_one(
        self,
        prompts: Prompts,
        plane: Sequence[int],
        previous: Mask | None,
        mode: Mode,
        multimask: bool,
    ) -> list[Mask]:
        index = self._check([prompts], plane, mode)
        window = self.choose_window(prompts, index, previous)
        kept = previous is not None and previous.window == window
        # SAM's own logits, as it learnt to be given: their sum with HQ's is twice as steep.
        earlier = previous.low_res_sam if kept and previous is not None else None
        found = self._decode(window, [prompts], [earlier], mode, multimask)[0]
        if kept or prompts.bounds()[2]:
            return found
        viewing = self._viewing(index)
        better = viewing.closer(prompts, found[0]) or viewing.wider(prompts, found[0])
        for _ in range(_MOST_STEPS):
            if better is None:
                break
            # With the first mask as a prompt the second is better; without, it often is worse.
            known = torch.from_numpy(found[0].low_res_sam)
            logits = move_logits(known, found[0].window, better).numpy()
            found = self._decode(better, [prompts], [logits], mode, multimask)[0]
            better = viewing.wider(prompts, found[0])
        return found

    def _viewing(self, plane: tuple[int, ...]) -> Viewing:
        side = None
        if self._view is not None:
            side = self.model.input_size * 2.0 ** view_octave(self._view.zoom)
        return Viewing(
            self.plane_shape,
            plane,
            self.level,
            self.model.input_size,
            partial(self.features.offered, plane),
            side,
        )

    def _finish(self, mask: Mask, previous: Mask | None, mode: Mode, fine: bool | None) -> Mask:
        """What is done with a mask once its prompts are decoded."""
        prompts = mask.prompts
        assert prompts is not None
        if self.model.refines_parts if fine is None else fine:
            mask = refine_boundary(mask, mode, self.plane_shape, self.model, self.features.get)
        if previous is not None and prompts.only_cuts(previous.prompts):
            mask = mask.within(previous)
        return mask

    def _decode(
        self,
        window: Window,
        prompts: Sequence[Prompts],
        previous: Sequence[NDArray[Any] | None],
        mode: Mode,
        multimask: bool,
    ) -> list[list[Mask]]:
        features = self.features.get(window)
        with self.features.gate.urgent():
            return decode_masks(self.model, features, window, prompts, previous, mode, multimask)
