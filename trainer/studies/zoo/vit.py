"""Vision transformer: patches, a class token, attention, LayerNorm, GELU; attention written in both usual ways.

Source: Dosovitskiy et al., An Image Is Worth 16x16 Words (2021).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.studies.zoo.blocks import Residual

WIDTH, HEADS, PATCH, SIDE = 32, 4, 8, 32


class FusedAttention(nn.Module):
    """Self-attention through torch's scaled_dot_product_attention, as timm writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width)."""
        rows, tokens, _ = x.shape
        query, key, value = self.qkv(x).reshape(rows, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        attended = functional.scaled_dot_product_attention(query, key, value)
        mixed: Tensor = self.out(attended.transpose(1, 2).reshape(rows, tokens, WIDTH))
        return mixed


class ModuleAttention(nn.Module):
    """Self-attention through nn.MultiheadAttention, as torchvision writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width)."""
        mixed: Tensor = self.attention(x, x, x, need_weights=False)[0]
        return mixed


class Patches(nn.Module):
    """Patches as tokens, the class token first, and where they lie."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.positions = nn.Parameter(torch.zeros(1, (SIDE // PATCH) ** 2 + 1, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width)."""
        patches = self.embed(x).flatten(2).transpose(1, 2)
        return torch.cat([self.token.expand(x.shape[0], -1, -1), patches], dim=1) + self.positions


class First(nn.Module):
    """The class token."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, width)."""
        return x[:, 0]


def _vit(attention: Callable[[], nn.Module]) -> nn.Sequential:
    def block() -> list[nn.Module]:
        wide = [nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)]
        return [Residual(nn.LayerNorm(WIDTH), attention()), Residual(nn.LayerNorm(WIDTH), *wide)]

    return nn.Sequential(Patches(), *block(), *block(), nn.LayerNorm(WIDTH), First(), nn.Linear(WIDTH, 10))


def vit_fused() -> nn.Sequential:
    """Two blocks, attention as timm writes it."""
    return _vit(FusedAttention)


def vit_module() -> nn.Sequential:
    """Two blocks, attention as torchvision writes it."""
    return _vit(ModuleAttention)
