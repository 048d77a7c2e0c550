"""The Segmenter: an image and a model; prompts in, masks out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from napari_hqsam.embedding import FeatureCache, encode_window
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.intensity import IntensityMapping
from napari_hqsam.images.layer import limits_from_layer, source_from_layer
from napari_hqsam.images.source import ImageSource, open_image
from napari_hqsam.images.windows import Window, whole_plane, window_around
from napari_hqsam.modeling import HQSam, Mode, TileFeatures
from napari_hqsam.modeling.hq_sam import check_mode
from napari_hqsam.segmentation.fine import refine_boundary
from napari_hqsam.segmentation.fit import fitting_threshold
from napari_hqsam.segmentation.mask import Mask, mask_from_logits, move_logits, upscale
from napari_hqsam.segmentation.prompts import Prompts, to_batch

if TYPE_CHECKING:
    from typing import Self

# A clicked object that turns out smaller than this share of its window is looked at magnified.
_SMALL = 1 / 6
# Prompts decoded at once.
_BATCH = 32


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
        percentiles 0.1 and 99.9 of the whole image; 8-bit colour is taken as it is.
    scale : sequence of float, optional
        Pixel size along each axis.
    model : str or HQSam
        A name from `list_models`, or what `load_model` returned.
    device : str
        "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", "mps". For a model given by name.

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
        contrast_limits: Sequence[float] | Sequence[Sequence[float]] | None = None,
        scale: Sequence[float] | None = None,
        model: str | HQSam = "micro",
        device: str = "auto",
    ) -> None:
        if isinstance(image, ImageSource):
            self.source = image
        else:
            self.source = open_image(image, axes=axes, channels=channels, scale=scale)
        self.level = level
        self.source.yx_shape(level)
        if contrast_limits is None:
            self.mapping = IntensityMapping.from_percentiles(self.source)
        else:
            self.mapping = IntensityMapping.from_limits(contrast_limits, len(self.source.channels))
        if isinstance(model, str):
            from napari_hqsam.weights import load_model

            model = load_model(model, device=device)
        self.model = model
        self.cache = FeatureCache()

    @classmethod
    def from_layer(cls, layer: Any, *, model: str | HQSam = "micro", device: str = "auto") -> Self:
        """Make a Segmenter for a napari Image layer, whichever reader opened it.

        Pixels, pyramid, scale, units and contrast limits come from the layer.

        Parameters
        ----------
        layer : napari.layers.Image
        model, device
            As for `Segmenter`.
        """
        source = source_from_layer(layer)
        limits = limits_from_layer(layer)
        return cls(source, contrast_limits=limits, model=model, device=device)

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
        """The window in which `prompts` are decoded."""
        index = tuple(plane)
        lower, upper, spans = prompts.bounds()
        corners = np.stack([lower, upper])
        if spans:  # a box may reach over the edge
            corners = np.clip(corners, 0, np.subtract(self.plane_shape, 1))
        size, shape = self.model.input_size, self.plane_shape
        if previous is not None:
            kept = previous.window
            same = (kept.plane, kept.level, kept.input_size) == (index, self.level, size)
            if same and kept.contains(corners):
                return kept
        if not spans and max(shape) <= size:
            return whole_plane(shape, size, index, self.level)
        smallest = 0 if spans else size
        return window_around(
            corners[0], corners[1], shape, size, index, self.level, smallest=smallest
        )

    def features(self, window: Window) -> TileFeatures:
        """Features of a window, encoded now if they are not in memory."""
        return self.cache.get(
            window, lambda w: encode_window(self.model, self.source, self.mapping, w)
        )

    def close(self) -> None:
        """Close the file behind the image, if there is one."""
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
        closer = self._closer_window(prompts, found[0])
        if closer is None:
            return found
        # With the first mask as a prompt the second is the better one; without, it often is worse.
        known = torch.from_numpy(found[0].low_res_sam)
        logits = move_logits(known, window, closer).numpy()
        return self._decode(closer, [prompts], [logits], mode, multimask)[0]

    def _finish(self, mask: Mask, previous: Mask | None, mode: Mode, fine: bool | None) -> Mask:
        """What is done with a mask once its prompts are decoded."""
        prompts = mask.prompts
        assert prompts is not None
        if self.model.refines_parts if fine is None else fine:
            mask = refine_boundary(mask, mode, self.plane_shape, self.model, self.features)
        if previous is not None and prompts.only_cuts(previous.prompts):
            mask = mask.within(previous)
        return mask

    def _closer_window(self, prompts: Prompts, mask: Mask) -> Window | None:
        """A magnified window if the clicked object is small in the one it was found in."""
        window = mask.window
        y0, x0, y1, x1 = mask.bbox
        extent = max(y1 - y0, x1 - x0)
        if not 0 < extent < _SMALL * window.side:
            return None
        lower, upper, _ = prompts.bounds()
        lower = np.minimum(lower, (y0, x0))
        upper = np.maximum(upper, (y1 - 1, x1 - 1))
        # Twice as wide as for a box: the first mask may have missed a part.
        margin = (upper - lower) / 2
        closer = window_around(
            lower - margin,
            upper + margin,
            self.plane_shape,
            window.input_size,
            window.plane,
            window.level,
        )
        return closer if closer.side < window.side else None

    def _decode(
        self,
        window: Window,
        prompts: Sequence[Prompts],
        previous: Sequence[NDArray[Any] | None],
        mode: Mode,
        multimask: bool,
    ) -> list[list[Mask]]:
        """Masks of prompts of one form in one window: a list of candidates for each."""
        with torch.inference_mode():
            features = self.features(window)
            batch = to_batch(prompts, window, previous, self.model.device)
            image_index = torch.zeros(len(prompts), dtype=torch.long, device=self.model.device)
            decoded = self.model.decode(features, image_index, batch, hq=mode != "sam")
            logits, scores = decoded.select(mode, multimask)
            sam, _ = decoded.select("sam", multimask)
            out = []
            for i in range(len(prompts)):
                full = upscale(logits[i][:, None], window)
                if self.model.trusts_boxes and prompts[i].box is not None:
                    box = np.asarray(prompts[i].box) - np.tile(window.origin, 2)
                    full = torch.stack([plane - fitting_threshold(plane, box) for plane in full])
                out.append(
                    [
                        mask_from_logits(
                            full[k],
                            window,
                            float(scores[i, k]),
                            sam[i, min(k, sam.shape[1] - 1)],
                            None if decoded.hq is None else decoded.hq[i, 0],
                            prompts[i],
                        )
                        for k in range(logits.shape[1])
                    ]
                )
            return out
