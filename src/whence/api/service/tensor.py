"""The attention tensor over HTTP: an outline with every answer, and each head's weights on demand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel

from whence.api.service.problems import ProblemError
from whence.explain.cells import Encoding
from whence.explain.schema import Explanation
from whence.explain.tensor import AttentionBlock, AttentionHead, BlockName, Precision

View = Literal["none", "outline", "all"]
Place = tuple[str, int, int]
LEFT_OUT = (
    "The weights of the heads are left out of this answer: ask for one head under "
    "/v1/explanations/{id}/attention/{block}/{layer}/{head}, or for all of them with ?attention=all."
)


class AttentionChunk(BaseModel):
    """One head of one layer, and what is needed to decode it; the tokens are those of the explanation."""

    explanation: str
    block: BlockName
    encoding: Encoding
    precision: Precision
    shape: tuple[int, int]
    thumbnail_shape: tuple[int, int]
    head: AttentionHead


def outline(explanation: Explanation) -> Explanation:
    """The same without the weights; thumbnails and row sums stay."""
    if explanation.attention is None:
        return explanation
    return explanation.model_copy(update={"attention": tuple(map(_outline, explanation.attention))})


def weights(explanation: Explanation) -> dict[Place, str]:
    """The weights of every head that has them, as they stand in the explanation."""
    return {
        (block.name, head.layer, head.head): head.values
        for block in explanation.attention or ()
        for head in block.data
        if head.values is not None
    }


def view(document: bytes, values: Mapping[Place, str], wanted: View) -> bytes:
    """An outline as JSON, with all the weights or without any attention."""
    if wanted == "outline":
        return document
    explanation = json.loads(document)
    blocks = explanation["attention"]
    if wanted == "none":
        explanation["attention"] = None
    else:
        for block in blocks or ():
            _fill(block, values)
    return json.dumps(explanation, ensure_ascii=False, separators=(",", ":")).encode()


def chunk(document: bytes, values: Mapping[Place, str], place: Place) -> bytes:
    """One head as JSON. Raises the 404 problem, which says what there is."""
    explanation = json.loads(document)
    blocks = {block["name"]: block for block in explanation["attention"] or ()}
    name, layer, head = place
    if name not in blocks or layer not in blocks[name]["layers"] or not 0 <= head < blocks[name]["heads"]:
        raise ProblemError(
            404,
            "unknown-head",
            "This explanation has no such head of attention.",
            "`known` says which blocks, layers and heads it has; none where it was not asked for.",
            known=[
                {"block": block["name"], "layers": block["layers"], "heads": block["heads"]}
                for block in blocks.values()
            ],
        )
    block = blocks[name]
    own = block["data"][block["layers"].index(layer) * block["heads"] + head]
    found = AttentionChunk(
        explanation=explanation["id"],
        block=block["name"],
        encoding=block["encoding"],
        precision=block["precision"],
        shape=(len(block["queries"]), len(block["keys"])),
        thumbnail_shape=block["thumbnail_shape"],
        head=AttentionHead.model_validate(own | {"values": values.get(place)}),
    )
    return found.model_dump_json().encode()


def _outline(block: AttentionBlock) -> AttentionBlock:
    data = tuple(head.model_copy(update={"values": None}) for head in block.data)
    left_out = f"{block.left_out} {LEFT_OUT}" if block.left_out else LEFT_OUT
    return block.model_copy(update={"data": data, "left_out": left_out})


def _fill(block: dict[str, Any], values: Mapping[Place, str]) -> None:
    for head in block["data"]:
        head["values"] = values.get((block["name"], head["layer"], head["head"]))
    block["left_out"] = block["left_out"].removesuffix(LEFT_OUT).rstrip() or None
