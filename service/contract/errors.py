"""What can be wrong with what the two sides exchange.

ContractError
├── InputError              an array or a picture does not fit the frozen model's input
│   ├── WrongShape
│   ├── WrongDtype
│   ├── NotFinite
│   ├── WrongCount          empty, or too few, or too many items
│   └── UnreadablePicture
│       ├── UnknownFormat   neither PNG nor JPEG
│       ├── TooManyPixels   beyond the cap, judged by the header
│       └── DamagedPicture
├── BundleError             a bundle breaks a rule of the format (see the package's docstring)
│   ├── BadManifest
│   ├── UnlistedFile
│   ├── MissingFile
│   ├── UnsafeName
│   ├── TooLarge
│   ├── DigestMismatch
│   ├── FrozenMismatch
│   └── GoldenMismatch
├── FingerprintError        a fingerprint cannot be read, or lacks what is asked of it
└── StoreError              the store cannot keep or find a bundle
"""


class ContractError(Exception):
    """Base of everything that this package raises."""


class InputError(ContractError):
    """An array or a picture does not fit the frozen model's input."""


class WrongShape(InputError):
    """The item shape is not the frozen model's."""


class WrongDtype(InputError):
    """The element type is neither uint8 pixels nor the model's own."""


class NotFinite(InputError):
    """NaN or infinity among the values."""


class WrongCount(InputError):
    """No items, or fewer or more than allowed."""


class UnreadablePicture(InputError):
    """The bytes are no picture that we accept."""


class UnknownFormat(UnreadablePicture):
    """Neither a PNG nor a JPEG."""


class TooManyPixels(UnreadablePicture):
    """More pixels than the cap, judged by the header alone."""


class DamagedPicture(UnreadablePicture):
    """A PNG or JPEG that ends early or does not decode."""


class BundleError(ContractError):
    """A bundle breaks a rule of the format."""


class BadManifest(BundleError):
    """The manifest is missing, not canonical, or of another schema."""


class UnlistedFile(BundleError):
    """A file lies in the bundle that the manifest does not list."""


class MissingFile(BundleError):
    """A listed file is not there."""


class UnsafeName(BundleError):
    """A name in the bundle is a link, a folder or reaches outside."""


class TooLarge(BundleError):
    """A file is larger than its cap or than the manifest says."""


class DigestMismatch(BundleError):
    """The bytes are not the ones that the manifest promises."""


class FrozenMismatch(BundleError):
    """The bundle belongs to another frozen model."""


class GoldenMismatch(BundleError):
    """A corrector's answers to its golden inputs differ from the recorded ones."""


class FingerprintError(ContractError):
    """A fingerprint cannot be read, or lacks what is asked of it."""


class StoreError(ContractError):
    """The store cannot keep or find a bundle."""
