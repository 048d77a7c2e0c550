"""TinyViT-5M, the image encoder of Light HQ-SAM (and of MobileSAM).

TinyViT (Wu et al., ECCV 2022) is a small hierarchical ViT: a convolutional stage, then three
stages of window attention with a learnt bias for each relative position. As in MobileSAM its last
merging keeps the resolution, so that the embedding has SAM's stride of 16.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_hqsam.modeling.folding import conv_norm
from napari_hqsam.modeling.image_encoder import Between, uninterrupted
from napari_hqsam.modeling.onednn import GELU, NONE, Activation, Linear
from napari_hqsam.modeling.sam import LayerNorm2d

# Channels, blocks, heads and attention window of the four stages. The first has no attention.
_WIDTHS = (64, 128, 160, 320)
_DEPTHS = (2, 2, 6, 2)
_HEADS = (0, 4, 5, 10)
_WINDOWS = (0, 7, 14, 7)
# Stride of the merging that ends each of the first three stages.
_MERGING_STRIDES = (2, 2, 1)
_MLP_RATIO = 4
# Rows of a convolutional block at a time, on a CPU.
_ROWS = 16

EARLY_WIDTH = _WIDTHS[2]
"""Channels of the early feature that the HQ branch takes."""


def gelu(x: Tensor) -> Tensor:
    """GELU of a tensor that nobody else holds: in place, if no gradient is asked for."""
    return F.gelu(x) if x.requires_grad else torch.ops.aten.gelu_(x)


class ConvNorm(nn.Sequential):
    """A convolution without bias and its batch norm, named `c` and `bn` as in the checkpoints."""

    def __init__(self, cin: int, cout: int, kernel: int = 1, stride: int = 1, groups: int = 1):
        super().__init__()
        self.c = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(cout)

    def forward(self, x: Tensor, then: Activation = NONE) -> Tensor:
        return conv_norm(self.c, self.bn, x, then)


class PatchEmbed(nn.Module):
    """Two convolutions of stride 2: (B, 3, S, S) → (B, dim, S/4, S/4)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(
            ConvNorm(3, dim // 2, 3, 2), nn.GELU(), ConvNorm(dim // 2, dim, 3, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.seq[2](self.seq[0](x, GELU))


def _strips(x: Tensor, height: int) -> list[tuple[int, int]]:
    """Rows (first, end): on a CPU so few that what is between the layers fits its cache."""
    if x.device.type != "cpu" or x.requires_grad or torch.compiler.is_compiling():
        return [(0, height)]
    return [(top, min(top + _ROWS, height)) for top in range(0, height, _ROWS)]


class _Bottleneck(nn.Module):
    """Pointwise, depthwise and pointwise convolution, GELU between them."""

    def __init__(self, cin: int, mid: int, cout: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = ConvNorm(cin, mid)
        self.conv2 = ConvNorm(mid, mid, 3, stride, groups=mid)
        self.conv3 = ConvNorm(mid, cout)

    def forward(self, x: Tensor) -> Tensor:
        # a norm that is trained sees all rows
        strips = [(0, x.shape[2])] if self.training else _strips(x, x.shape[2])
        return torch.cat([self._run(x, *rows) for rows in strips], dim=2)

    def _run(self, x: Tensor, top: int, bottom: int) -> Tensor:
        """What comes of some rows: computed with their neighbours, whose own are cut off."""
        above = min(top, self.stride)
        below = min(x.shape[2] - bottom, self.stride)
        hidden = self.conv1(x[:, :, top - above : bottom + below], GELU)
        hidden = self.conv2(hidden, GELU)
        return self.conv3(hidden[:, :, min(above, 1) : hidden.shape[2] - min(below, 1)])


class MBConv(_Bottleneck):
    """Inverted residual whose last activation comes after the sum."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, _MLP_RATIO * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return gelu(x + super().forward(x))


class PatchMerging(_Bottleneck):
    """Changes the width, and with stride 2 halves the resolution, between two stages."""

    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__(cin, cout, cout, stride)


class Attention(nn.Module):
    """Self-attention within one window, with a bias for each relative position.

    Parameters
    ----------
    dim, heads : int
    window : int
        Side of the window; the tokens are its pixels, row by row.
    """

    attention_bias_idxs: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        # The bias of (dy, dx) depends on |dy| and |dx| only and is number |dy| * window + |dx|.
        self.attention_biases = nn.Parameter(torch.zeros(heads, window**2))
        y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        dy, dx = ((c.reshape(-1, 1) - c.reshape(1, -1)).abs() for c in (y, x))
        self.register_buffer("attention_bias_idxs", dy * window + dx, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within W windows of N tokens, (W, N, dim)."""
        w, n, dim = x.shape
        # The linear layer's channels are q, k, v of head 0, then q, k, v of head 1, and so on.
        qkv = Linear.of(self.qkv, x.device.type)(self.norm(x)).view(w, n, self.heads, 3, -1)
        q, k, v = qkv.permute(3, 0, 2, 1, 4).unbind()
        # Looked up at each call: a copy kept aside would be stale after loading weights.
        bias = self.attention_biases[:, self.attention_bias_idxs]
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
        return Linear.of(self.proj, x.device.type)(out.transpose(1, 2).reshape(w, n, dim))


class Mlp(nn.Module):
    """The two-layer perceptron of a transformer block, with its norm in front."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, _MLP_RATIO * dim)
        self.fc2 = nn.Linear(_MLP_RATIO * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, H, W, dim) → the same shape."""
        widen, narrow = (Linear.of(layer, x.device.type) for layer in (self.fc1, self.fc2))
        parts = (x[:, top:bottom] for top, bottom in _strips(x, x.shape[1]))
        return torch.cat([narrow(widen(self.norm(part), GELU)) for part in parts], dim=1)


class TinyViTBlock(nn.Module):
    """Window attention, a depthwise convolution that joins the windows, and a perceptron.

    Maps (B, dim, H, W) to the same shape.
    """

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = Attention(dim, heads, window)
        self.local_conv = ConvNorm(dim, dim, 3, groups=dim)
        self.mlp = Mlp(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.local_conv(x + self._attend(x))
        tokens = x.permute(0, 2, 3, 1)
        return (tokens + self.mlp(tokens)).permute(0, 3, 1, 2)

    def _attend(self, x: Tensor) -> Tensor:
        b, dim, h, w = x.shape
        side = self.window
        # Padding pixels are zeros that take part in the attention: there is no mask.
        x = F.pad(x, (0, -w % side, 0, -h % side))
        rows, columns = x.shape[2] // side, x.shape[3] // side
        x = x.view(b, dim, rows, side, columns, side).permute(0, 2, 4, 3, 5, 1)
        x = self.attn(x.reshape(-1, side * side, dim))
        x = x.view(b, rows, columns, side, side, dim).permute(0, 5, 1, 3, 2, 4)
        return x.reshape(b, dim, rows * side, columns * side)[:, :, :h, :w]


class Stage(nn.Module):
    """Blocks of one width, then the merging (`downsample`) to the next."""

    def __init__(self, index: int) -> None:
        super().__init__()
        dim, heads, window = _WIDTHS[index], _HEADS[index], _WINDOWS[index]
        self.blocks = nn.Sequential(
            *(
                TinyViTBlock(dim, heads, window) if heads else MBConv(dim)
                for _ in range(_DEPTHS[index])
            )
        )
        self.downsample = (
            PatchMerging(dim, _WIDTHS[index + 1], _MERGING_STRIDES[index])
            if index < len(_MERGING_STRIDES)
            else nn.Identity()
        )

    def forward(self, x: Tensor, between: Between = uninterrupted) -> Tensor:
        for block in self.blocks:
            x = block(x)
            between()
        return self.downsample(x)


class TinyViTImageEncoder(nn.Module):
    """TinyViT with SAM's neck, and with the early feature of Light HQ-SAM.

    Notes
    -----
    `norm_head` and `head`, the classifier of the ImageNet training, are not used. They are here
    because the official checkpoints carry them, and loading is strict.
    """

    def __init__(self, dim: int = 256) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(_WIDTHS[0])
        self.layers = nn.ModuleList(Stage(i) for i in range(len(_WIDTHS)))
        self.norm_head = nn.LayerNorm(_WIDTHS[-1])
        self.head = nn.Linear(_WIDTHS[-1], 1000)
        self.neck = nn.Sequential(
            nn.Conv2d(_WIDTHS[-1], dim, 1, bias=False),
            LayerNorm2d(dim),
            nn.Conv2d(dim, dim, 3, padding=1, bias=False),
            LayerNorm2d(dim),
        )

    def forward(self, images: Tensor, between: Between = uninterrupted) -> tuple[Tensor, Tensor]:
        """Encode images.

        Parameters
        ----------
        images : Tensor
            (B, 3, S, S), normalised and padded.
        between : callable
            Called after each block.

        Returns
        -------
        embedding : Tensor
            (B, 256, S/16, S/16).
        early : Tensor
            (B, 160, S/16, S/16), the output of the second stage after its merging.
        """
        x = self.patch_embed(images.contiguous(memory_format=torch.channels_last))
        early = self.layers[1](self.layers[0](x, between), between)
        return self.neck(self.layers[3](self.layers[2](early, between), between)), early
