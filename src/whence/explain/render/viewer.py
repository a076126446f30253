"""The viewer as one file: an explanation, and the script that shows it, which loads nothing.

Its content security policy allows this one script, by its hash, and nothing else. All that stems from a
record stands in blocks of data, where no character can end the block; the script makes text of it, never
markup.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader

from whence.explain.packing import pack
from whence.explain.render.pages import data, environment, sha256
from whence.explain.render.words import words
from whence.explain.schema import Explanation
from whence.explain.tensor import AttentionBlock

PACKED_FROM = 20_000
"""Cells of a matrix from which on it is packed: as digits it would take three times the place."""


def to_viewer(explanation: Explanation, retrieval: str | None = None) -> str:
    """The whole page, as text to be written in UTF-8. It holds the sources in full.

    `retrieval`: the report of a LangChain handler on the same answer, as JSON.
    """
    script = bundle("file.js")
    return (
        _environment()
        .get_template("viewer.html.jinja")
        .render(
            policy=policy(f"'{sha256(script)}'"),
            explanation=data(compact(explanation)),
            words=words(),
            retrieval=None if retrieval is None else data(json.loads(retrieval)),
            heads=[
                (f"head-{block.name}-{head.layer}-{head.head}", head.values)
                for block in explanation.attention or ()
                for head in block.data
                if head.values is not None
            ],
            script=script,
        )
    )


def compact(explanation: Explanation) -> dict[str, Any]:
    """The explanation's JSON, without what heads gave, and with packed scores where they are many."""
    blocks = explanation.attention
    light = explanation.model_copy(
        update={"attention": None if blocks is None else tuple(map(_without_values, blocks))}
    )
    document: dict[str, Any] = light.model_dump(mode="json", exclude={"results": {"__all__": {"scores"}}})
    for result, told in zip(explanation.results, document["results"], strict=True):
        cells = len(explanation.output.targets) * len(explanation.segments)
        matrices = ("values", "stderr") if cells >= PACKED_FROM else ()
        told["scores"] = result.scores.model_dump(mode="json", exclude=set(matrices))
        for name in matrices:
            rows = getattr(result.scores, name)
            shape = (len(explanation.output.targets), len(explanation.segments))
            told["scores"][name] = None if rows is None else {"shape": shape, "values": pack(rows)}
    return document


def policy(scripts: str) -> str:
    """A content security policy: these scripts, and nothing else."""
    return (
        f"default-src 'none'; script-src {scripts}; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


@cache
def bundle(name: str) -> str:
    """A script that `viewer/` builds."""
    return files("whence.explain.render").joinpath("viewer", name).read_text(encoding="utf-8")


def _without_values(block: AttentionBlock) -> AttentionBlock:
    # Thumbnails follow from the values; of many heads they would be most of what is read before any picture.
    left = {"values": None, "thumbnail": None}
    data = tuple(head.model_copy(update={} if head.values is None else left) for head in block.data)
    return block.model_copy(update={"data": data})


@cache
def _environment() -> Environment:
    return environment(PackageLoader("whence.explain.render", package_path="."))
