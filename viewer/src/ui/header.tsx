// What must be in sight whatever is looked at: who was asked, by what method, and what that is no evidence of.

import { measured } from "../core/describe.js";
import { percent, quantity } from "../core/scale.js";
import { visible } from "../core/text.js";
import { words } from "../core/wording.js";
import { aboutOf } from "./about.js";
import { chooseResult, elsewhereSaid, partsSaid, targetOf } from "./chosen.js";
import { useSignal } from "./draw.js";
import { Menu } from "./menu.js";
import { useViewer } from "./viewer.js";

export function Header() {
  const viewer = useViewer();
  const { loaded, state, root } = viewer;
  const { explanation, results } = loaded;
  const { name, family, evidence, caveats, attention } = aboutOf(viewer);
  const { method } = loaded.result(state.result.value).told;
  const Part = root instanceof Document ? "header" : "div";
  return (
    <Part class="head">
      <div class="title">
        <h1>{words.titles[evidence]}</h1>
        <p class="quiet">
          <bdi>{visible(explanation.model)}</bdi>
          {explanation.revision !== null && <bdi>, revision {visible(explanation.revision).slice(0, 19)}</bdi>}, by{" "}
          <bdi>{visible(explanation.provider)}</bdi>, made {moment(explanation.created_at)}
        </p>
      </div>
      <div class="method">
        {results.length > 1 && !attention ? (
          <Menu
            label="Method"
            options={results.map(({ key, told }) => `${key} ${visible(told.method.name).slice(0, 80)}`)}
            chosen={state.result.value}
            onChoose={(index) => chooseResult(viewer, index)}
          />
        ) : (
          <bdi>{visible(name)}</bdi>
        )}{" "}
        <span class="quiet">({words.families[family]})</span> <strong>{words.evidence[evidence]}</strong>
      </div>
      <Caveats caveats={caveats} />
      <Balance of={attention ? method.name : ""} />
    </Part>
  );
}

/** The first caveat is always in sight; the others one press away, and on paper. */
function Caveats({ caveats }: { caveats: readonly string[] }) {
  const { loaded } = useViewer();
  const open = useSignal(false);
  const { output } = loaded.explanation;
  const more = caveats.length - 1;
  return (
    <section class="caveats warning" aria-label="Read this first">
      {output.finish === "length" && <strong>{words.cut}</strong>}
      {output.given && <strong>{words.given}</strong>}
      <ul>
        {caveats.map((caveat, at) => (
          <li dir="auto" class={at > 0 && !open.value ? "folded" : ""}>
            {visible(caveat)}
          </li>
        ))}
      </ul>
      {more > 0 && (
        <button aria-expanded={open.value} onClick={() => (open.value = !open.value)}>
          {open.value ? "Fewer caveats" : `${more} more`}
        </button>
      )}
    </section>
  );
}

/**
 * How much of the evidence lies in the sources at all, and what else is known of it: shares alone would hide both.
 * `of`: the method whose scores these are, where the view shows something else.
 */
function Balance({ of }: { of: string }) {
  const viewer = useViewer();
  const { loaded, state, chosen } = viewer;
  const { scores, fidelity, groundedness } = loaded.result(state.result.value).told;
  const { name, masked } = chosen.value;
  const { left } = masked;
  const passages = masked.shares.reduce((sum, share) => sum + share, 0);
  const choice = state.choice.value;
  const target = choice === null || choice.kind === "segment" ? null : targetOf(loaded, choice);
  const [elsewhere, why] = elsewhereSaid(viewer);
  const facts = [
    ["Fidelity", measured(fidelity, target)],
    ["Groundedness", measured(groundedness, target)],
  ];
  if (scores.noise_floor !== null) {
    facts.unshift(["Noise floor", `${quantity(scores.noise_floor)} ${words.units[scores.unit]}: what is nearer to 0 counts as 0`]);
  }
  return (
    <div class="balance">
      <p>
        {of && <>By <bdi>{visible(of)}</bdi>: </>}
        Of {state.renormalised.value && left.length > 0 ? "what is shown" : "all evidence"} for <bdi>{name}</bdi>:{" "}
        <strong>{percent(passages)}</strong> in the sources,{" "}
        <strong>{elsewhere}</strong> elsewhere<span class="quiet">{why}</span>
        {left.length > 0 && (
          <>
            {state.renormalised.value ? "; of all evidence, " : ", "}
            <strong>{percent(masked.masked)} masked</strong>
            <span class="quiet">{partsSaid(left)}</span>
          </>
        )}
        .
      </p>
      <dl>
        {facts.map(([label, fact]) => (
          <div>
            <dt>{label}:</dt>
            <dd>
              <bdi>{fact}</bdi>
            </dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

/** A moment to the minute. */
function moment(time: string): string {
  return `${new Date(time).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
