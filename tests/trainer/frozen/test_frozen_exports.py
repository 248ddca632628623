"""What torch's own exporters write is read back as the network that they were given."""

import io
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainer.frozen import batchnorm_statistics, find_taps, load_frozen

CONVOLUTIONS = 6


class _Block(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outer)
        shortcut = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))
        self.shortcut = shortcut if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(hidden)) + self.shortcut(x))


def _resnet() -> nn.Module:
    """A ResNet of six convolutions on (n, 3, 16, 16), with running statistics away from their start."""
    torch.manual_seed(0)
    stem = [nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    head = [nn.Dropout(0.3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)]
    model = nn.Sequential(*stem, _Block(8, 8, 1), _Block(8, 16, 2), *head).train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(16, 3, 16, 16) * 2 + 1)
    return model.eval()


def _by_tracing(model: nn.Module, x: Tensor, **options: object) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The tracing exporter announces its own end, and warns where it is asked to keep normalizations.
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (x,), buffer, input_names=["x"], dynamic_axes={"x": {0: "n"}}, dynamo=False, **options)  # type: ignore[arg-type]  # options differ per row
    return buffer.getvalue()


def _by_torch_export(model: nn.Module, x: Tensor, *, optimize: bool = True) -> bytes:
    with warnings.catch_warnings():
        # torch.export uses a class of its own that it has deprecated.
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            model,
            (x,),
            input_names=["x"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            optimize=optimize,
            verbose=False,
        )
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content


def _keeping_norms(model: nn.Module, x: Tensor) -> bytes:
    preserve = torch.onnx.TrainingMode.PRESERVE
    return _by_tracing(model, x, opset_version=17, training=preserve, do_constant_folding=False)


EXPORTERS: dict[str, tuple[Callable[[nn.Module, Tensor], bytes], bool]] = {
    "tracing": (_by_tracing, False),
    "tracing-opset-11": (lambda model, x: _by_tracing(model, x, opset_version=11), False),
    "tracing-keeps-norms": (_keeping_norms, True),
    "torch-export": (_by_torch_export, False),
    "torch-export-keeps-norms": (lambda model, x: _by_torch_export(model, x, optimize=False), True),
}


@pytest.mark.parametrize(("export", "keeps_norms"), EXPORTERS.values(), ids=EXPORTERS.keys())
def test_exported_resnet_is_read_back(export: Callable[[nn.Module, Tensor], bytes], keeps_norms: bool) -> None:
    native, x = _resnet(), torch.from_numpy(np.random.default_rng(4).standard_normal((4, 3, 16, 16), np.float32))
    model_bytes = export(native, x[:2])

    taps = find_taps(model_bytes)
    frozen = load_frozen(model_bytes, taps=taps)

    assert len(taps) == CONVOLUTIONS
    assert len(batchnorm_statistics(model_bytes)) == (CONVOLUTIONS if keeps_norms else 0)
    # Folding a normalization into its convolution reorders float32 sums of up to 144 products.
    torch.testing.assert_close(frozen(x), native(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(_input_gradient(frozen, x), _input_gradient(native, x), rtol=1e-3, atol=1e-6)


def _input_gradient(model: nn.Module, x: Tensor) -> Tensor:
    batch = x.clone().requires_grad_()
    model(batch).logsumexp(dim=1).sum().backward()
    assert batch.grad is not None
    return batch.grad


def test_statistics_of_an_export_are_the_running_ones_of_the_network() -> None:
    native = _resnet()
    model_bytes = _keeping_norms(native, torch.zeros(2, 3, 16, 16))
    running = [
        (norm.get_buffer("running_mean"), norm.get_buffer("running_var"))
        for norm in native.modules()
        if isinstance(norm, nn.BatchNorm2d)
    ]

    statistics = batchnorm_statistics(model_bytes)

    # The exporter writes the convolutions in the order in which the network's modules are listed.
    for (mean, var), (running_mean, running_var) in zip(statistics.values(), running, strict=True):
        np.testing.assert_array_equal(mean, running_mean.double().numpy())
        np.testing.assert_array_equal(var, running_var.double().numpy())
