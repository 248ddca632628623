"""Every kind of batch, by name. A new kind is one new entry here, of ingredients that lie beside this file.

The rule, which must not be broken: a kind is for *calibration*, and then a forecast may be fitted to it, or for
*judging*, and then nothing is ever fitted to it or chosen by it. A kind with one judging shift in it is a judging kind.
No shift is of both: the judging ones are blur, vignette, stuck pixels, JPEG, the negative, and the paper's distortion
from a strength on that calibration stays below.
"""

from collections.abc import Mapping

from trainer.shifts.choices import FEW_IMAGES, classes, halves, label_skew, repeated, too_few
from trainer.shifts.geometry import warp
from trainer.shifts.hostile import junk, look_alikes, outliers, some_junk
from trainer.shifts.kind import Answer, Kind, Use
from trainer.shifts.optics import blur, vignette
from trainer.shifts.sensor import distortion, jpeg, noise, stuck
from trainer.shifts.tones import colour, gamma, inverted

MILD, STRONG, POISONED = (0.03, 0.12), (0.15, 0.4), (0.15, 0.2)
"""Kappa of the paper's distortion, which has 0.15 and 0.3 there. What is poisoned is shifted so that a fit can help."""
PERCENT = (1, 5, 10, 20)
"""Of a poisoned batch."""

CALIBRATION = (
    Kind("clean", "images as they are", Use.CALIBRATION, Answer.CLEAN),
    Kind("gamma", "exponent 1/3 to 3", Use.CALIBRATION, Answer.SHIFT, shift=(gamma,)),
    Kind(
        "colour",
        "channels mixed and offset; of one channel contrast and brightness",
        Use.CALIBRATION,
        Answer.SHIFT,
        shift=(colour,),
    ),
    Kind("noise", "normal noise, 0.02 to 0.3 of the range", Use.CALIBRATION, Answer.SHIFT, shift=(noise,)),
    Kind("warp", "turned, stretched, sheared, moved", Use.CALIBRATION, Answer.SHIFT, shift=(warp,)),
    Kind(
        "distortion-mild",
        "the paper's distortion, kappa 0.03 to 0.12",
        Use.CALIBRATION,
        Answer.SHIFT,
        shift=(distortion(*MILD),),
    ),
    Kind("colour+noise", "colour, then noise", Use.CALIBRATION, Answer.SHIFT, shift=(colour, noise)),
    Kind("label-skew", "class frequencies far from even", Use.CALIBRATION, Answer.CLEAN, pick=(label_skew,)),
)

SHIFTS = (
    Kind("blur", "Gaussian blur, 1.5 to 7 % of the side", Use.JUDGING, Answer.SHIFT, shift=(blur,)),
    Kind("vignette", "corners 50 to 100 % darker", Use.JUDGING, Answer.SHIFT, shift=(vignette,)),
    Kind("stuck", "1 to 10 % of pixels stuck, columns offset", Use.JUDGING, Answer.SHIFT, shift=(stuck,)),
    Kind("jpeg", "JPEG, quality 3 to 60", Use.JUDGING, Answer.SHIFT, shift=(jpeg,)),
    Kind("inverted", "the negative, contrast 0.5 to 1", Use.JUDGING, Answer.SHIFT, shift=(inverted,)),
    Kind(
        "distortion-strong",
        "the paper's distortion, kappa 0.15 to 0.4",
        Use.JUDGING,
        Answer.SHIFT,
        shift=(distortion(*STRONG),),
    ),
    Kind("blur+jpeg", "blur, then JPEG", Use.JUDGING, Answer.SHIFT, shift=(blur, jpeg)),
    Kind("vignette+noise", "vignette, then noise", Use.JUDGING, Answer.SHIFT, shift=(vignette, noise)),
    Kind(
        "label-skew+blur",
        "class frequencies far from even, blurred",
        Use.JUDGING,
        Answer.SHIFT,
        pick=(label_skew,),
        shift=(blur,),
    ),
    Kind("mixed", "half blurred, half negatives", Use.JUDGING, Answer.SHIFT, shift=(halves(blur, inverted),)),
)

CHOICES = (
    Kind("one-class", "one class only", Use.JUDGING, Answer.CLEAN, pick=(classes(1),)),
    Kind("duplicates", "4 to 32 images, again and again", Use.JUDGING, Answer.CLEAN, pick=(repeated,)),
    Kind(
        "duplicates+blur",
        "4 to 32 blurred images, again and again",
        Use.JUDGING,
        Answer.HOSTILE,
        pick=(repeated,),
        shift=(blur,),
    ),
    Kind("too-small", "8 to 16 images", Use.JUDGING, Answer.CLEAN, pick=(too_few,), own_size=FEW_IMAGES[1]),
    Kind(
        "too-small+inverted",
        "8 to 16 negatives",
        Use.JUDGING,
        Answer.HOSTILE,
        pick=(too_few,),
        shift=(inverted,),
        own_size=FEW_IMAGES[1],
    ),
)

HOSTILE = (
    Kind("junk", "noise and flat pictures alone", Use.JUDGING, Answer.HOSTILE, spoil=(junk,)),
    Kind(
        "some-junk",
        "distorted images, 10 to 50 % of them noise and flat pictures",
        Use.JUDGING,
        Answer.HOSTILE,
        shift=(distortion(*POISONED),),
        spoil=(some_junk,),
        stream="poisoned",
    ),
    *(
        Kind(
            f"{name}-{percent}",
            f"distorted images, {percent} % of them {words}",
            Use.JUDGING,
            Answer.HOSTILE,
            shift=(distortion(*POISONED),),
            spoil=(poison(percent / 100),),
            stream="poisoned",
        )
        for name, words, poison in (
            ("outliers", "stripes of three times the camera's range", outliers),
            ("look-alikes", "in disorder", look_alikes),
        )
        for percent in PERCENT
    ),
)

UNPOISONED = Kind(
    "unpoisoned",
    "the distorted images of the poisoned kinds, without poison",
    Use.JUDGING,
    Answer.SHIFT,
    shift=(distortion(*POISONED),),
    stream="poisoned",
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (*CALIBRATION, *SHIFTS, *CHOICES, UNPOISONED, *HOSTILE)}
