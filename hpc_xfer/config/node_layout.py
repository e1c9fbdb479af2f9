"""Distribute the processes of a run over nodes."""


def spread_over_nodes(gpus: int, per_node: int) -> tuple[int, int]:
    """Choose nodes and processes per node: the fewest nodes that share the processes evenly.

    Raises:
        ValueError: an even spread needs more than twice the fewest nodes.
    """
    fewest = -(-gpus // per_node)
    for nodes in range(fewest, 2 * fewest + 1):
        if gpus % nodes == 0:
            return nodes, gpus // nodes
    below, above = fewest * (gpus // fewest), fewest * -(-gpus // fewest)
    raise ValueError(
        f"{gpus} GPUs cannot be spread evenly over nodes of {per_node}; ask for {below} or {above}"
    )
