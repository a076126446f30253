// Says what the core makes of explanations, texts and numbers, for the tests that compare it with Python.
// Reads one JSON document from standard input, and writes one.

import { stdin, stdout } from "node:process";
import * as describe from "../src/core/describe.ts";
import { load } from "../src/core/model.ts";
import { percent, quantity, step } from "../src/core/scale.ts";
import { stretch } from "../src/core/stretch.ts";
import { blanksVisible, visibleCharacters } from "../src/core/text.ts";
import { strongest } from "../src/core/top.ts";
import { learn } from "../src/core/wording.ts";
import words from "../src/generated/words.json";

learn(words);

let input = "";
for await (const chunk of stdin.setEncoding("utf8")) input += chunk;
const asked = JSON.parse(input);
const told = {
  drawn: asked.texts.map(visibleCharacters),
  blanks: asked.texts.map(blanksVisible),
  shares: asked.shares.map((share) => [percent(share), step(share)]),
  quantities: asked.quantities.map(quantity),
  explanations: [],
};
for (const { explanation, stretches } of asked.explanations) told.explanations.push(await ofExplanation(explanation, stretches));
stdout.write(JSON.stringify(told));

async function ofExplanation(explanation, stretches) {
  const loaded = await load({ explanation });
  return {
    names: loaded.names,
    targets: loaded.targets.map((_, at) => loaded.targetText(at)),
    segments: loaded.segments.map((_, at) => loaded.segmentText(at)),
    keys: loaded.results.map(({ key }) => key),
    results: loaded.results.map((result, at) => ofResult(loaded, result.told, at)),
    stretches: stretches.map(([start, end]) => ofStretch(stretch(loaded, 0, start, end))),
    heads: await heads(loaded),
  };
}

function ofResult(loaded, { scores, fidelity, groundedness }, result) {
  return loaded.targets.map((_, target) => {
    const evidence = loaded.evidence(result, target);
    const { shares, elsewhere, parts } = loaded.maskedShares(result, evidence, { maskSink: false, maskSpecial: false, renormalised: false });
    const best = strongest(evidence.row.map((score, at) => (shares[at] > 0 ? score : 0)), 3);
    return {
      shares: [...shares],
      elsewhere,
      parts: Object.fromEntries(parts),
      best,
      sentences: [
        describe.found(evidence, scores),
        describe.measured(fidelity, target),
        describe.measured(groundedness, target),
        ...best.map((segment) => describe.score(evidence, segment, scores)),
      ],
    };
  });
}

function ofStretch(found) {
  return found && { row: [...found.row], elsewhere: found.elsewhere };
}

/** The weights of every head, as base64 of float32. */
async function heads(loaded) {
  const told = {};
  for (const block of loaded.explanation.attention ?? []) {
    const attention = loaded.attention(block);
    for (const { layer, head } of block.data) {
      const { codes, levels } = await attention.weights(layer, head);
      const weights = Float32Array.from(codes, (code) => levels[code]);
      told[`${block.name} ${layer} ${head}`] = {
        weights: Buffer.from(weights.buffer).toString("base64"),
        rowSums: [...attention.rowSums(layer, head)],
      };
    }
  }
  return told;
}
