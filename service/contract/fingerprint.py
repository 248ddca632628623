"""What is kept of the source: no image (unless asked for), only numbers of all images together.

It is keyed by the frozen model's SHA-256. A mean image is kept where there are many.

*Full* fingerprints are made from source images. *Batchnorm* ones come from the BatchNormalization nodes alone: they
hold means and variances, and `Fingerprint.missing()` says what cannot be done with them.

File format: an uncompressed .npz without pickles; `header` holds canonical JSON, every other array is named for the
part and field that it belongs to, as in `tap0.mean`.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from service.contract.digest import canonical_json
from service.contract.errors import FingerprintError
from service.contract.statistics import ChannelMoments, Complex, Floats

FORMAT = 1

MISSING_IN_BATCHNORM = (
    "clean-batch reference loss (early stop, and the answer 'nothing to correct')",
    "class-conditional moments (label shift)",
    "pixel statistics (closed-form colour, tone and deconvolution)",
    "outcome statistics (shift test before a fit, outcome signals)",
    "a forecast of the change of accuracy",
)
MISSING_WITHOUT_OUTCOME = (
    "outcome statistics of the source (shift test, estimated accuracy, label shift); register the model again",
)
MISSING_WITHOUT_FORECAST = (
    "a forecast of the change of accuracy; register again with labelled source images and --calibrate-gate",
)
MISSING_WITHOUT_SIGNATURE = ("signatures of the source images (whether a batch looks like them); register again",)
MISSING_WITHOUT_LABELS = ("labels of the source images (estimated accuracy)",)
MISSING_WITHOUT_CONFUSION = ("mean class probabilities of each class (label shift): too many classes",)


@dataclass(frozen=True)
class TapStatistics:
    """Source statistics of one tap with C channels.

    Attributes:
        mean, var: (C,) over images and positions.
        class_first, class_second: (K, C) moments of the images of each class, or empty (0, C).
    """

    mean: Floats
    var: Floats
    class_first: Floats
    class_second: Floats

    def moments(self) -> ChannelMoments:
        """Mean and variance, as distances take them."""
        return ChannelMoments(self.mean, self.var)


@dataclass(frozen=True)
class PixelStatistics:
    """Statistics of the model's input tensor with C channels.

    Attributes:
        mean: (C,). cov: (C, C) between channels, over images and positions.
        cdf_levels: (256,) values; cdf: (C, 256) share of values at or below each.
        spectrum: (B,) mean power in B rings of spatial frequency, lowest first.
        border_mean, border_std: (C,) over the outermost rows and columns.
        image_mean: (C, H, W) mean image, or (C, 1, 1) where it would show too much of too few images or be too large.
        cross_spectrum: (C, C, h, w) covariance of the channels at each spatial frequency, about that mean.

    The last two are None in files of older releases.
    """

    mean: Floats
    cov: Floats
    cdf_levels: Floats
    cdf: Floats
    spectrum: Floats
    border_mean: Floats
    border_std: Floats
    image_mean: Floats | None = None
    cross_spectrum: Complex | None = None


@dataclass(frozen=True)
class OutcomeStatistics:
    """How sure the frozen model is of source images, and of what; K classes, Q quantiles.

    Quantile j is the smallest value that at least the share j / (Q - 1) of the images reach or stay below.

    Attributes:
        classes: (k,) numbers of the classes whose probability is kept; probability: (k, Q) its quantiles.
        entropy, largest: (Q,) quantiles of the entropy in nats and of the largest probability.
        channels: (c,) numbers of the first tap's channels that are kept; channel_means: (c, Q) their means' quantiles.
        mean: (K,) mean probability of each class.
        mean_entropy, mean_largest: (1,).
        sizes: (R,) batch sizes, rising; nuclear_norm: (R,) mean normalised nuclear norm of batches of that size.
        confusion: (K, K) row c has the mean probabilities of the images of class c, NaN where it has none.
        accuracy: (1,). entropy_threshold: (1,) as many source images lie at or below it as are classified right.

    `confusion` is None where there are too many classes, the last two where no labels were given.
    """

    classes: NDArray[np.int64]
    probability: Floats
    entropy: Floats
    largest: Floats
    channels: NDArray[np.int64]
    channel_means: Floats
    mean: Floats
    mean_entropy: Floats
    mean_largest: Floats
    sizes: Floats
    nuclear_norm: Floats
    confusion: Floats | None = None
    accuracy: Floats | None = None
    entropy_threshold: Floats | None = None


@dataclass(frozen=True)
class SignatureStatistics:
    """Mean (D,) and shrunk covariance (D, D) of the source images' signatures; see `trainer.gate.signatures`."""

    mean: Floats
    cov: Floats


@dataclass(frozen=True)
class ForecastStatistics:
    """How a change of accuracy follows from changes of S label-free signals; see `trainer.gate.forecast`.

    Attributes:
        names: (S,) of the signals. scale: (S,) root mean square of their changes, in which changes are measured.
        weights: (S,) of the changes in that unit.
        spread: (2,) points, and share of the predictions that change: what errors grow with.
        errors: (2,) 5 and 95 % quantile of the errors, in units of that, on kinds of shift that were left out.
        batches: (1,) how many it was fitted to.
    """

    names: NDArray[np.str_]
    scale: Floats
    weights: Floats
    spread: Floats
    errors: Floats
    batches: Floats


@dataclass(frozen=True)
class ReferenceLoss:
    """The statistics loss that clean source batches have only because they are finite.

    Attributes:
        sizes: (R,) batch sizes, rising.
        fitted, reserved: (R, 2) mean and 95 % quantile over batches of that size, for either group of taps.
    """

    sizes: Floats
    fitted: Floats
    reserved: Floats

    def at(self, images: int, *, reserved: bool) -> tuple[float, float]:
        """Mean and 95 % quantile for `images` images, log-log interpolated, clamped at the ends of the table."""
        table = self.reserved if reserved else self.fitted
        wanted = np.log(float(images))
        mean, high = (
            float(np.exp(np.interp(wanted, np.log(self.sizes), np.log(table[:, column] + 1e-12)))) for column in (0, 1)
        )
        return mean, high


PARTS: Mapping[str, type[Any]] = {
    "pixels": PixelStatistics,
    "reference": ReferenceLoss,
    "outcome": OutcomeStatistics,
    "signature": SignatureStatistics,
    "forecast": ForecastStatistics,
}
"""Fields of a fingerprint that it may be without, and what they hold."""


@dataclass(frozen=True)
class Fingerprint:
    """Source statistics of one frozen model.

    Attributes:
        images: how many source images it was made from; 0 for a batchnorm one.
        labels_given: whether class-conditional moments rest on labels or on the model's own predictions.
        class_counts: (K,) images of each class, or (0,).
        confidence: (101,) percentiles of the largest class probability, or (0,).
        outcome, signature: None in batchnorm ones, and in files of older releases.
        forecast: None unless the gate was calibrated.
    """

    frozen_sha256: str
    kind: Literal["full", "batchnorm"]
    taps: Mapping[str, TapStatistics]
    images: int = 0
    labels_given: bool = False
    class_counts: Floats = field(default_factory=lambda: np.zeros(0))
    confidence: Floats = field(default_factory=lambda: np.zeros(0))
    pixels: PixelStatistics | None = None
    reference: ReferenceLoss | None = None
    outcome: OutcomeStatistics | None = None
    signature: SignatureStatistics | None = None
    forecast: ForecastStatistics | None = None

    def missing(self) -> tuple[str, ...]:
        """What this fingerprint cannot do, in words for a verdict."""
        if self.kind == "batchnorm":
            return MISSING_IN_BATCHNORM
        lacks_forecast = MISSING_WITHOUT_FORECAST if self.forecast is None else ()
        lacks_signature = MISSING_WITHOUT_SIGNATURE if self.signature is None else ()
        if self.outcome is None:
            return MISSING_WITHOUT_OUTCOME + lacks_signature + lacks_forecast
        lacks_labels = MISSING_WITHOUT_LABELS if self.outcome.accuracy is None else ()
        lacks_confusion = MISSING_WITHOUT_CONFUSION if self.outcome.confusion is None else ()
        return lacks_labels + lacks_confusion + lacks_signature + lacks_forecast

    def moments(self) -> dict[str, ChannelMoments]:
        """Mean and variance of every tap."""
        return {name: tap.moments() for name, tap in self.taps.items()}

    def to_bytes(self) -> bytes:
        """The file; the same fingerprint has the same bytes."""
        header = {
            "format": FORMAT,
            "frozen_sha256": self.frozen_sha256,
            "kind": self.kind,
            "images": self.images,
            "labels_given": self.labels_given,
            "taps": list(self.taps),
        }
        parts = {name: getattr(self, name) for name in PARTS}
        header |= {name: part is not None for name, part in parts.items()}
        arrays: dict[str, Any] = {"header": np.frombuffer(canonical_json(header), dtype=np.uint8)}
        arrays |= {"class_counts": self.class_counts, "confidence": self.confidence}
        for index, tap in enumerate(self.taps.values()):
            arrays |= _named(f"tap{index}", tap)
        for name, part in parts.items():
            arrays |= _named(name, part) if part is not None else {}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **{name: np.ascontiguousarray(array) for name, array in arrays.items()})
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read a fingerprint.

        Raises:
            FingerprintError: not a fingerprint file, of another format, or an array is missing.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            header = json.loads(arrays["header"].tobytes())
            if header["format"] != FORMAT:
                raise FingerprintError(f"the fingerprint has format {header['format']}; this release reads {FORMAT}")
            taps = {name: TapStatistics(**_part(arrays, f"tap{i}")) for i, name in enumerate(header["taps"])}
            return cls(
                frozen_sha256=header["frozen_sha256"],
                kind=header["kind"],
                taps=taps,
                images=header["images"],
                labels_given=header["labels_given"],
                class_counts=arrays["class_counts"],
                confidence=arrays["confidence"],
                # Files of older releases do not name the parts that they did not know.
                **{name: kind(**_part(arrays, name)) for name, kind in PARTS.items() if header.get(name)},
            )
        except FingerprintError:
            raise
        # A damaged archive comes out of zipfile and numpy as any of a dozen types.
        except Exception as error:
            raise FingerprintError("the fingerprint file is damaged; register the model again") from error


def _named(prefix: str, part: Any) -> dict[str, Any]:
    values = {f"{prefix}.{item.name}": getattr(part, item.name) for item in fields(part)}
    return {name: value for name, value in values.items() if value is not None}


def _part(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    start = prefix + "."
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
