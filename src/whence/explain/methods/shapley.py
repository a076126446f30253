"""Shapley values by permutations: what a segment adds, averaged over the orders in which it may come."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from whence.explain.methods.ablation import (
    CUT_CAVEAT,
    STOPPED_CAVEAT,
    TWO_SIDED_95,
    AblationMethod,
    Estimate,
    Options,
    Study,
    leaders,
)
from whence.explain.values import Value, Values
from whence.providers.errors import BudgetError

SETTLED_PAIRS = 3
"""Pairs of permutations before anything can be called stable; then it is looked at again after every pair."""
LOOKS_ALIKE = 3


class ShapleyOptions(Options):
    """`permutations`: orders, in pairs of one and its reverse; each takes about a call for each segment.

    `stop_early`: once the best segments of every target are the same in three looks, a pair apart.
    """

    permutations: int = Field(default=8, ge=1, le=1000)
    stop_early: bool = True


class Shapley(AblationMethod[ShapleyOptions]):
    """The mean of what a segment adds to those before it, over permutations: Castro et al. 2009.

    Antithetic pairs (Mitchell et al. 2022): each order is followed by its reverse. Few segments are permuted
    exhaustively, which is exact. Evidence: causal. The scores of a target add up to the value of everything
    less that of nothing.
    """

    name = "shapley"
    caveat = "Shapley values also count what a passage adds to records that hold hardly anything else."
    bears_gaps = False
    options = ShapleyOptions

    def calls(self, options: ShapleyOptions, segments: int, *, regenerates: bool) -> tuple[int, int]:
        """Nothing kept, and each permutation without its two ends."""
        orders = min(options.permutations, _factorial(segments))
        walked = orders * (segments - 1) + 1
        # Orders meet in the same subsets, and these are asked once, but that noise makes each text another.
        subsets = walked if regenerates else (1 << min(segments, 60)) - 1
        return segments, min(walked, subsets)

    async def estimate(self, study: Study, options: ShapleyOptions) -> Estimate:
        """Standard errors are those of the mean over pairs; none for fewer than two pairs."""
        size = len(study)
        exact = _factorial(size) <= options.permutations
        wanted = _factorial(size) if exact else options.permutations
        regenerates = study.value.family == "perturbation"
        plenty = study.left is None or study.left >= self.calls(options, size, regenerates=regenerates)[1]
        affordable = wanted if plenty else ((study.left or 0) - 1) // (size - 1)
        orders = _orders(size, min(wanted, affordable), study.seed, exact=exact)
        empty = (await study.worth(np.zeros((1, size), dtype=np.bool_)))[0]
        added: list[Values] = []
        best: list[list[frozenset[int]]] = []
        stopped = False
        for start in range(0, len(orders), 2):
            try:
                added += await _walk(study, orders[start : start + 2], empty)
            except BudgetError:
                if not added:
                    raise
                break
            if len(added) >= 2 * SETTLED_PAIRS:
                spread = np.std(added, axis=0, ddof=1) / math.sqrt(len(added))
                best = [*best, leaders(np.mean(added, axis=0), TWO_SIDED_95 * spread)][-LOOKS_ALIKE:]
            settled = len(best) == LOOKS_ALIKE and best[0] == best[1] == best[2]
            if options.stop_early and not exact and settled and len(added) < len(orders):
                stopped = True
                break
        done = len(added)
        said = {"permutations": done, "exact": exact and done == wanted, "stopped_early": stopped}
        caveats: tuple[str, ...] = ()
        if stopped:
            caveats = (STOPPED_CAVEAT.format(done=done, wanted=wanted, what="permutations"),)
        elif done < wanted:
            caveats = (CUT_CAVEAT.format(done=done, wanted=wanted, what="permutations"),)
        factor = _noise_factor(size, done, study.value.repeats)
        return Estimate(
            scores=np.mean(added, axis=0),
            stderr=_stderr(np.array(added), study.value, factor, exact=exact and done == wanted),
            noise_factor=factor,
            said=said,
            caveats=caveats,
        )


async def _walk(study: Study, orders: list[NDArray[np.intp]], empty: Values) -> list[Values]:
    """What each segment adds along some orders: for each, targets x segments."""
    size = len(study)
    ranks = np.array([np.argsort(order) for order in orders])
    kept = ranks[:, None, :] < np.arange(1, size)[None, :, None]
    values = await study.worth(kept.reshape(-1, size)) if size > 1 else np.empty((0, len(empty)))
    found: list[Values] = []
    for order, own in zip(orders, values.reshape(len(orders), size - 1, len(empty)), strict=True):
        steps = np.diff(np.vstack([empty, own, study.value.full]), axis=0)
        added = np.empty((len(empty), size))
        added[:, order] = steps.T
        found.append(added)
    return found


def _orders(size: int, number: int, seed: int, *, exact: bool) -> list[NDArray[np.intp]]:
    """So many permutations: each random one is followed by its reverse."""
    rng = np.random.default_rng(seed)
    if exact and size > 1:  # in pairs and shuffled, so that what a budget leaves of them is fair
        every = [order for order in permutations(range(size)) if order[0] < order[-1]]
        pairs = rng.permutation(np.array(every, dtype=np.intp))
        return [order for pair in pairs for order in (pair, pair[::-1])][:number]
    orders: list[NDArray[np.intp]] = []
    while len(orders) < number:
        order = rng.permutation(size)
        orders += [order, order[::-1]]
    return orders[:number]


def _stderr(added: Values, value: Value, factor: float, *, exact: bool) -> Values | None:
    """Of the mean over pairs: permutations x targets x segments in, targets x segments out."""
    noise = value.noise or 0.0
    if exact:
        return np.full(added.shape[1:], noise * factor)
    pairs = len(added) // 2
    if pairs < 2:
        return None
    means = added[: 2 * pairs].reshape(pairs, 2, *added.shape[1:]).mean(axis=1)
    shared = noise**2 * _noise_of_ends(added.shape[2], value.repeats)
    spread: Values = np.sqrt(means.var(axis=0, ddof=1) / pairs + shared)
    return spread


def _noise_factor(size: int, orders: int, repeats: int) -> float:
    """The standard deviation of a score, of a value's, when nothing but noise changes."""
    return math.sqrt(2 * (1 - 1 / size) / orders + _noise_of_ends(size, repeats))


def _noise_of_ends(size: int, repeats: int) -> float:
    """Of the variance: the ends are shared by all orders, and in 1 of `size` a segment stands at each."""
    return (1 + 1 / repeats) / size**2


def _factorial(size: int) -> int:
    """n!, or more than any number of permutations that can be asked for."""
    return math.factorial(min(size, 20))
