"""The one error of the test cluster."""


class ClusterError(RuntimeError):
    """The cluster does not start, or one of its commands failed; the message says why."""
