"""`micro`'s prompt encoder: SAM's call and outputs, but every prompt is also drawn.

With tokens alone a small decoder does not learn to follow a box in a small training budget; with
the same prompts drawn as planes into the dense branch it does (docs/model-card.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_hqsam.modeling.sam import LayerNorm2d, PositionEmbeddingRandom

# Widths, in model pixels, of the drawn prompts.
_BOX_SOFTNESS = 8.0
_POINT_SIGMA = 6.0


class PlanePromptEncoder(nn.Module):
    """Points and boxes as tokens, and as planes beside the mask prompt.

    Parameters
    ----------
    input_size : int
        S, in model pixels.
    dim : int
        Width of the tokens and of the dense embedding.

    Notes
    -----
    The planes, at stride 4: signed distance to the box (tanh of pixels / 8, positive inside),
    positive and negative points (Gaussians of 6 px), and the mask prompt (tanh of logits / 4).
    A prompt that is not given leaves its plane at 0.
    """

    def __init__(self, input_size: int, dim: int = 256) -> None:
        super().__init__()
        self.input_size = input_size
        self.embed_dim = dim
        self.pe_layer = PositionEmbeddingRandom(dim // 2)
        self.point_embeddings = nn.Embedding(4, dim)  # background, object, two box corners
        self.not_a_point_embed = nn.Embedding(1, dim)
        self.planes = nn.Sequential(
            nn.Conv2d(4, 32, 3, stride=2, padding=1),
            LayerNorm2d(32),
            nn.GELU(),
            nn.Conv2d(32, 96, 3, stride=2, padding=1),
            LayerNorm2d(96),
            nn.GELU(),
            nn.Conv2d(96, dim, 3, padding=1),
        )

    def get_dense_pe(self) -> Tensor:
        """Positional encoding of the embedding, (1, dim, S/16, S/16)."""
        side = self.input_size // 16
        with torch.autocast(self.point_embeddings.weight.device.type, enabled=False):
            return self.pe_layer((side, side))[None]

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Encode N prompts.

        Parameters
        ----------
        points : tuple of Tensor or None
            Coordinates (N, P, 2) as (x, y) in model pixels, and labels (N, P): 1, 0, -1 padding.
        boxes : Tensor or None
            (N, 4): x0, y0, x1, y1.
        masks : Tensor or None
            (N, 1, S/4, S/4) logits.

        Returns
        -------
        sparse : Tensor
            (N, T, dim), one token per point and two per box.
        dense : Tensor
            (N, dim, S/16, S/16).
        """
        given = next((t for t in (points and points[0], boxes, masks) if t is not None), None)
        n = 1 if given is None else given.shape[0]
        device = self.not_a_point_embed.weight.device
        side = self.input_size // 4
        tokens = [torch.empty((n, 0, self.embed_dim), device=device)]
        planes = torch.zeros((n, 4, side, side), device=device)
        if points is not None:
            coords, labels = points[0] + 0.5, points[1]
            tokens.append(self._point_tokens(coords, labels))
            planes[:, 1] = self._draw_points(coords, labels == 1)
            planes[:, 2] = self._draw_points(coords, labels == 0)
        if boxes is not None:
            corners = boxes.reshape(-1, 2, 2) + 0.5
            tokens.append(self._encode(corners) + self.point_embeddings.weight[2:])
            planes[:, 0] = self._draw_boxes(corners)
        if masks is not None:
            planes[:, 3] = torch.tanh(masks[:, 0] / 4)
        return torch.cat(tokens, dim=1), self.planes(planes)

    def _encode(self, coords: Tensor) -> Tensor:
        # Sines of large arguments: bf16 would lose the position.
        with torch.autocast(coords.device.type, enabled=False):
            return self.pe_layer.forward_with_coords(coords, (self.input_size, self.input_size))

    def _point_tokens(self, coords: Tensor, labels: Tensor) -> Tensor:
        real = (labels >= 0)[..., None]
        kinds = self.point_embeddings.weight[labels.clamp(min=0).long()]
        return torch.where(real, self._encode(coords) + kinds, self.not_a_point_embed.weight)

    def _grid(self, device: torch.device) -> Tensor:
        """Centres of the mask's pixels, in model pixels, (S/4,)."""
        return (torch.arange(self.input_size // 4, device=device) + 0.5) * 4

    def _draw_points(self, coords: Tensor, chosen: Tensor) -> Tensor:
        grid = self._grid(coords.device)
        # A Gaussian is separable: (N, P, side) per axis, the nearest point wins.
        gx = torch.exp(-((grid - coords[..., :1]) ** 2) / (2 * _POINT_SIGMA**2))
        gy = torch.exp(-((grid - coords[..., 1:]) ** 2) / (2 * _POINT_SIGMA**2))
        out = coords.new_zeros((coords.shape[0], len(grid), len(grid)))
        for p in range(coords.shape[1]):  # not one (N, P, side, side) tensor: strokes have many
            drawn = (gy[:, p] * chosen[:, p, None])[:, :, None] * gx[:, p, None, :]
            out = torch.maximum(out, drawn)
        return out

    def _draw_boxes(self, corners: Tensor) -> Tensor:
        grid = self._grid(corners.device)
        (x0, y0), (x1, y1) = corners[:, 0].T[..., None], corners[:, 1].T[..., None]
        inside_x = torch.minimum(grid - x0, x1 - grid)[:, None, :]
        inside_y = torch.minimum(grid - y0, y1 - grid)[:, :, None]
        outside = torch.hypot(inside_x.clamp(max=0), inside_y.clamp(max=0))
        distance = torch.minimum(inside_x, inside_y).clamp(min=0) - outside
        return torch.tanh(distance / _BOX_SOFTNESS)
