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
├── GraphError              a graph from outside breaks a rule, judged before onnxruntime sees it (`graph_rules.py`)
│   ├── UnreadableGraph     the bytes are no ONNX file, or one with nodes that lack their inputs
│   ├── GraphTooLarge       more bytes, nodes, nesting or tensor than the rules allow
│   ├── ExternalData        a tensor keeps its data in another file
│   ├── DamagedTensor       what is stored does not fill the declared shape
│   ├── ForeignOperator     an operator or a domain that the rules do not list
│   └── WrongInterface      not exactly one input, no output, or of a type that the rules do not list
├── TrialError              a graph did not come through its first load in a throw-away process
│   ├── TrialRefused        onnxruntime does not load it, or it fails on an input of its own shape
│   ├── TrialCrashed        the process died
│   ├── TrialTimeout        it used up its time
│   ├── TrialGarbled        it answered something else than it was asked
│   └── TrialNotStarted     there was no process, for which the graph is not to blame
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


class GraphError(ContractError):
    """A graph from outside breaks a rule."""


class UnreadableGraph(GraphError):
    """The bytes are no ONNX file, or one with nodes that lack their inputs."""


class GraphTooLarge(GraphError):
    """More bytes, nodes, nesting or tensor than the rules allow."""


class ExternalData(GraphError):
    """A tensor keeps its data in another file."""


class DamagedTensor(GraphError):
    """What is stored does not fill the declared shape, or the shape is none."""


class ForeignOperator(GraphError):
    """An operator or a domain that the rules do not list."""


class WrongInterface(GraphError):
    """Not exactly one input, no output, or of a type that the rules do not list."""


class TrialError(ContractError):
    """A graph did not come through its first load in a throw-away process."""


class TrialRefused(TrialError):
    """onnxruntime does not load the graph, or it fails on an input of its own shape."""


class TrialCrashed(TrialError):
    """The process died of the graph."""


class TrialTimeout(TrialError):
    """The graph used up its time."""


class TrialGarbled(TrialError):
    """The process answered something else than it was asked."""


class TrialNotStarted(TrialError):
    """The process cannot be started: a full disk, too many files or processes. The graph is not to blame."""


class FingerprintError(ContractError):
    """A fingerprint cannot be read, or lacks what is asked of it."""


class StoreError(ContractError):
    """The store cannot keep or find a bundle."""
