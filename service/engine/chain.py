"""Corrector and frozen model one after the other on a device, the rows between them never leaving it.

On a graphics card the way to the host and back costs more than a small corrector. On the processor there is no such
way, and binding costs more than it saves: there `Pipeline` calls the two itself.
"""

from service.engine.session import Array, OnnxSession


class Chain:
    """Runs a corrector's rows straight into a frozen model.

    Args:
        frozen: on the device whose memory the rows stay in.
    """

    def __init__(self, frozen: OnnxSession) -> None:
        self._frozen = frozen

    def takes(self, graph: object) -> bool:
        """Whether a corrector can be chained: it runs on the same device."""
        return isinstance(graph, OnnxSession) and graph.device == self._frozen.device

    def run(self, corrector: OnnxSession, x: Array) -> tuple[Array, list[Array]]:
        """The corrected rows, copied to the host to be looked at, and every output of the frozen model for them.

        Raises:
            SessionError: either graph fails.
        """
        corrected = corrector.run_bound(x)[0]
        return corrected.numpy(), [output.numpy() for output in self._frozen.run_bound(corrected)]
