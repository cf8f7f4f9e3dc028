"""Pairs of faces by the overlap of their boxes."""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]


def best_pairs(overlaps: NDArray[np.float32], least: float) -> tuple[Rows, Rows]:
    """Rows and columns of the assignment with the largest sum of overlaps (N, M), without pairs below `least`.

    Rows are ascending. Most faces overlap with one other face alone; the Hungarian method decides about the rest.
    """
    touching = overlaps > 0
    single = touching & (touching.sum(axis=1) == 1)[:, None] & (touching.sum(axis=0) == 1)
    rows, columns = np.nonzero(single)
    disputed = touching & ~single
    across, down = np.flatnonzero(disputed.any(axis=1)), np.flatnonzero(disputed.any(axis=0))
    if len(across):
        more, others = _assigned(overlaps[np.ix_(across, down)])
        rows, columns = np.concatenate((rows, across[more])), np.concatenate((columns, down[others]))
    order = np.argsort(rows)
    rows, columns = rows[order], columns[order]
    enough = overlaps[rows, columns] >= least
    return rows[enough], columns[enough]


def _assigned(gains: NDArray[np.float32]) -> tuple[Rows, Rows]:
    """The assignment with the largest sum; as many pairs as the shorter side has."""
    if gains.shape[0] > gains.shape[1]:
        columns, rows = _assigned(gains.T)
        return rows, columns
    costs = -gains.astype(np.float64)
    count, width = costs.shape
    # Column 0 stands for the row that seeks its column; `taken[column]` is the row, from 1, that has it.
    rows_potential, potential = np.zeros(count + 1), np.zeros(width + 1)
    taken = np.zeros(width + 1, np.intp)
    for row in range(1, count + 1):
        taken[0] = row
        _augment(costs, rows_potential, potential, taken)
    (columns,) = np.nonzero(taken[1:])
    return taken[1:][columns] - 1, columns


def _augment(costs: NDArray[np.float64], rows: NDArray[np.float64], columns: NDArray[np.float64], taken: Rows) -> None:
    """Gives row `taken[0]` a column along the shortest augmenting path (Jonker and Volgenant, 1987)."""
    least = np.full(len(columns), np.inf)
    before, seen = np.zeros(len(columns), np.intp), np.zeros(len(columns), bool)
    column = 0
    while taken[column]:
        seen[column] = True
        row = taken[column]
        reduced = np.append(np.inf, costs[row - 1] - rows[row] - columns[1:])
        better = ~seen & (reduced < least)
        least[better], before[better] = reduced[better], column
        nearest = int(np.argmin(np.where(seen, np.inf, least)))
        step = least[nearest]
        rows[taken[seen]] += step
        columns[seen] -= step
        least[~seen] -= step
        column = nearest
    while column:
        taken[column] = taken[before[column]]
        column = int(before[column])
