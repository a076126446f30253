"""Random masks and a sparse linear fit: ContextCite, Cohen-Wang et al. 2024 (arXiv 2409.00729)."""

from __future__ import annotations

import math

import anyio.to_thread
import numpy as np
from pydantic import Field

from whence.explain.ablation import Mask
from whence.explain.methods.ablation import (
    CUT_CAVEAT,
    LEADERS,
    STOPPED_CAVEAT,
    TWO_SIDED_95,
    AblationMethod,
    Estimate,
    Options,
    Study,
    leaders,
)
from whence.explain.result import Confirmation
from whence.explain.values import Values
from whence.providers.errors import BudgetError

LEAST_MASKS = 8
SETTLED_MASKS = 32
"""Masks before anything can be called stable; then it is looked at again after every eighth."""
ROUND = 8
FITS_ALIKE = 3
CONFIRMATIONS = 8
CALLS_PER_CONFIRMATION = 8
"""Where the budget cuts: of so many calls one confirms."""
RESAMPLES = 32
CONSTANT = 1e-12
MANY_CAVEAT = (
    "There are {segments} passages and only {masks} masks: few scores are certain. Coarser segments, or more "
    "masks, say more."
)
UNCONFIRMED_CAVEAT = (
    "Not all of the best passages were also removed one by one: the budget did not allow it, or the answer "
    "without one of them was refused or cut."
)
CONFIRMED_CAVEAT = (
    "The best passages were also removed one by one. One whose removal alone changed nothing may still carry "
    "the sentence together with another that says the same."
)


class LassoOptions(Options):
    """`masks`: random ones; `keep`: the probability that a segment is kept; `alpha`: the penalty.

    `confirm`: where text is compared, how many of the best segments are also removed one by one, at most.
    `stop_early`: once the best segments of every target are the same in three fits, eight masks apart.
    """

    masks: int = Field(default=64, ge=LEAST_MASKS, le=10_000)
    keep: float = Field(default=0.5, gt=0, lt=1)
    alpha: float = Field(default=0.01, gt=0, allow_inf_nan=False)
    confirm: int = Field(default=CONFIRMATIONS, ge=0)
    stop_early: bool = True


class Lasso(AblationMethod[LassoOptions]):
    """Segments are removed at random, and the values fitted by a sparse sum over those that were kept.

    As in ContextCite: columns are standardised, values divided by the number of the target's tokens. Standard
    errors by resampling the masks. Where there are no more masks than asked for, all are tried. Evidence:
    causal.
    """

    name = "lasso"
    caveat = (
        "The scores are a sum fitted to removals of many passages at once: what they do together is shared."
    )
    options = LassoOptions

    def calls(self, options: LassoOptions, segments: int, *, regenerates: bool) -> tuple[int, int]:
        """Masks, and confirmations."""
        masks = _masks_in_all(options, segments)
        return min(masks, LEAST_MASKS), masks + (min(options.confirm, segments) if regenerates else 0)

    async def estimate(self, study: Study, options: LassoOptions) -> Estimate:
        """Fit, stop when the best no longer change, and confirm."""
        size, value = len(study), study.value
        wanted = _masks_in_all(options, size)
        # Two values of the same texts ask for the same: room is kept in both for what one of them confirms.
        confirm = min(options.confirm, size) if value.noise is not None else 0
        affordable = wanted
        if study.left is not None and study.left < wanted + confirm:
            least = min(wanted, LEAST_MASKS)
            confirm = min(confirm, study.left // CALLS_PER_CONFIRMATION, study.left - least)
            affordable = min(wanted, study.left - confirm)
        every = _all_fit(options, size)
        masks = _masks(size, affordable, options, study.seed, exact=every)
        values, stopped = await self._measure(study, options, masks)
        masks = masks[: len(values)]
        scores = await anyio.to_thread.run_sync(fit, masks, values, value.lengths, options.alpha)
        exact = every and len(masks) == wanted and not np.isnan(values).any()
        factor = 1 / math.sqrt(_fewest(values, scores) * options.keep * (1 - options.keep))
        if exact:  # with all masks nothing but noise is left to chance
            stderr = np.full_like(scores, (value.noise or 0.0) * factor)
            chance = TWO_SIDED_95 * stderr
        else:
            stderr = await anyio.to_thread.run_sync(
                _stderr, masks, values, value.lengths, options.alpha, study.seed
            )
            scores[np.isnan(stderr)] = np.nan  # what most resamples cannot tell, so few masks tell by luck
            chance = _chance(masks, values, scores)
            stderr = np.nan_to_num(stderr)
        said = {
            "masks": len(masks),
            "keep": options.keep,
            "alpha": options.alpha,
            "all_masks": exact,
            "stopped_early": stopped,
        }
        best = _candidates(np.nan_to_num(scores), chance)
        compares = value.family == "perturbation"
        confirmations = await _confirm(study, best, confirm if compares else 0)
        worth_it = len({part for _, part in best}) if compares else 0
        missing = len({item.segment for item in confirmations}) < min(worth_it, options.confirm)
        counts = {"done": len(masks), "wanted": wanted, "what": "masks"}
        caveats = [
            *([STOPPED_CAVEAT.format(**counts)] if stopped else []),
            *([CUT_CAVEAT.format(**counts)] if len(masks) < wanted and not stopped else []),
            *([MANY_CAVEAT.format(segments=size, masks=len(masks))] if size > len(masks) else []),
            *([CONFIRMED_CAVEAT] if confirmations else []),
            *([UNCONFIRMED_CAVEAT] if missing else []),
        ]
        return Estimate(
            scores=scores,
            stderr=stderr,
            noise_factor=factor,
            said=said,
            caveats=tuple(caveats),
            confirmations=confirmations,
        )

    async def _measure(self, study: Study, options: LassoOptions, masks: Mask) -> tuple[Values, bool]:
        """The values of the masks, or of the first of them, and whether the rest were not needed."""
        values = np.empty((0, len(study.value.full)))
        first = SETTLED_MASKS if options.stop_early else len(masks)
        first = LEAST_MASKS if study.timed else first
        best: list[list[frozenset[int]]] = []
        while len(values) < len(masks):
            until = first if not len(values) else len(values) + ROUND
            try:
                new = await study.worth(masks[len(values) : until])
            except BudgetError:
                if len(values) < LEAST_MASKS:
                    raise
                return values, False
            values = np.vstack([values, new])
            if options.stop_early and not _all_fit(options, len(study)) and len(values) >= SETTLED_MASKS:
                scores = await anyio.to_thread.run_sync(
                    fit, masks[: len(values)], values, study.value.lengths, options.alpha
                )
                chance = _chance(masks[: len(values)], values, scores)
                best = [*best, leaders(np.nan_to_num(scores), chance)][-FITS_ALIKE:]
                alike = len(best) == FITS_ALIKE and best[0] == best[1] == best[2]
                # Of what was hardly measured nothing stands out, which settles nothing.
                settled = alike and (any(best[-1]) or not np.isnan(values).any())
                if settled and len(values) < len(masks):
                    return values, True
        return values, False


def fit(masks: Mask, values: Values, lengths: Values, alpha: float) -> Values:
    """Coefficients of each segment for each target: targets x segments, in the unit of the values.

    `masks`: masks x segments; `values`: masks x targets, NaN where one could not be had; `lengths`: what the
    values of a target are divided by before `alpha` is applied. NaN for a coefficient of which the values
    that were had say nothing.
    """
    known = ~np.isnan(values)
    found: Values = np.full((values.shape[1], masks.shape[1]), np.nan)
    for rows in np.unique(known, axis=1).T:
        if rows.all() or rows.sum() >= LEAST_MASKS:
            own = (known == rows[:, None]).all(axis=0)
            found[own] = _fit(masks[rows], values[np.ix_(rows, own)], lengths[own], alpha)
            if not rows.all():  # a segment that was always kept, or always gone, was never tried
                found[np.ix_(own, np.ptp(masks[rows].astype(np.int8), axis=0) == 0)] = np.nan
    return found


def _fit(masks: Mask, values: Values, lengths: Values, alpha: float) -> Values:
    # It takes seconds to import: here, in a worker thread, and never on the event loop.
    from sklearn.linear_model import Lasso as LinearFit  # type: ignore[import-untyped]

    kept = masks.astype(np.float64)
    scale = kept.std(axis=0)
    scale[scale == 0] = 1
    wanted = values / lengths
    varying = np.ptp(wanted, axis=0) > CONSTANT
    weights = np.zeros((values.shape[1], masks.shape[1]))
    if varying.any():
        model = LinearFit(alpha=alpha, max_iter=10_000)
        model.fit((kept - kept.mean(axis=0)) / scale, wanted[:, varying])
        weights[varying] = np.atleast_2d(model.coef_)
    found: Values = weights / scale * lengths[:, None] + 0.0  # no -0.0
    return found


def _chance(masks: Mask, values: Values, scores: Values) -> Values:
    """How far from 0 the scores may be by what the fit leaves unexplained: targets x segments.

    Infinitely far for a target of which no score is known.
    """
    found: Values = np.full(scores.shape, np.inf)
    for target, (own, weights) in enumerate(zip(values.T, scores, strict=True)):
        if not np.isnan(weights).all():
            rows = ~np.isnan(own)
            kept = masks[rows].astype(np.float64)
            unexplained = (own[rows] - kept @ np.nan_to_num(weights)).std()
            spread = (kept.std(axis=0) * math.sqrt(len(kept))).clip(min=1)
            found[target] = TWO_SIDED_95 * unexplained / spread
    return found


def _fewest(values: Values, scores: Values) -> int:
    """On how many masks the score rests that rests on the fewest; all of them where no score is known."""
    told = ~np.isnan(scores).all(axis=1)
    return int((~np.isnan(values[:, told])).sum(axis=0).min(initial=len(values)))


def _stderr(masks: Mask, values: Values, lengths: Values, alpha: float, seed: int) -> Values:
    """Standard deviation of the coefficients over resampled masks; NaN where half of these tell none."""
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(masks), size=(RESAMPLES, len(masks)))
    fits = np.array([fit(masks[pick], values[pick], lengths, alpha) for pick in picks])
    told = (~np.isnan(fits)).sum(axis=0)
    most = np.where(told > RESAMPLES / 2, told, np.nan)
    spread: Values = np.sqrt(np.nansum((fits - np.nansum(fits, axis=0) / most) ** 2, axis=0) / (most - 1))
    return spread


def _masks_in_all(options: LassoOptions, segments: int) -> int:
    """As many as asked for, or all that there are."""
    return 1 << segments if _all_fit(options, segments) else options.masks


def _all_fit(options: LassoOptions, segments: int) -> bool:
    """Whether there are no more masks than asked for, all of them equally probable."""
    return options.keep == 0.5 and 1 << min(segments, 60) <= options.masks


def _masks(size: int, number: int, options: LassoOptions, seed: int, *, exact: bool) -> Mask:
    """Masks x segments; a longer design begins with the shorter one of the same seed."""
    rng = np.random.default_rng(seed)
    if exact:
        every = (np.arange(1 << size)[:, None] >> np.arange(size)) & 1
        return rng.permutation(every.astype(np.bool_))[:number]
    return np.stack([rng.random(size) < options.keep for _ in range(number)])


def _candidates(scores: Values, chance: Values) -> list[tuple[int, int]]:
    """(target, segment) of the best segments: every target's best before any second best."""
    best = leaders(scores, chance)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :LEADERS]
    ranked = [(target, int(part)) for rank in order.T for target, part in enumerate(rank)]
    return [(target, part) for target, part in ranked if part in best[target]]


async def _confirm(study: Study, candidates: list[tuple[int, int]], number: int) -> tuple[Confirmation, ...]:
    """Remove the first of the candidates one by one, so many segments at most."""
    parts = list(dict.fromkeys(part for _, part in candidates))[:number]
    if not parts:
        return ()
    try:
        effects = study.value.full - await study.worth(study.value.ablation.without(parts))
    except BudgetError:  # time is up: what was found stands, unconfirmed
        return ()
    floor = TWO_SIDED_95 * (study.value.noise or 0.0) * math.sqrt(1 + 1 / study.value.repeats)
    return tuple(
        Confirmation(target=target, segment=part, effect=effect, confirmed=bool(effect > floor))
        for target, part in sorted(candidates)
        if part in parts
        for effect in [float(effects[parts.index(part), target])]
        if not math.isnan(effect)
    )
