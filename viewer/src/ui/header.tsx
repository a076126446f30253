// What must be in sight whatever is looked at: who was asked, by what method, and what that is no evidence of.

import { useSignal } from "@preact/signals";
import words from "../generated/words.json";
import { visible } from "../core/text.js";
import { Balance } from "./balance.js";
import { useViewer } from "./viewer.js";

export function Header() {
  const { loaded, state, announce, root } = useViewer();
  const { explanation, results } = loaded;
  const { told } = loaded.result(state.result.value);
  const choose = (at: number) => {
    state.result.value = at;
    const { method } = loaded.result(at).told;
    announce(`Method ${visible(method.name)}: ${words.evidence[method.evidence]}`);
  };
  const Part = root instanceof Document ? "header" : "div";
  return (
    <Part class="head">
      <div class="title">
        <h1>{words.titles[told.method.evidence]}</h1>
        <p class="quiet">
          <bdi>{visible(explanation.model)}</bdi>
          {explanation.revision !== null && (
            <>
              , revision <bdi>{shortRevision(explanation.revision)}</bdi>
            </>
          )}
          , by <bdi>{visible(explanation.provider)}</bdi>, made{" "}
          <time dateTime={explanation.created_at}>{moment(explanation.created_at)}</time>
        </p>
      </div>
      <div class="method">
        {results.length > 1 ? (
          <label>
            Method{" "}
            <select value={state.result.value} onChange={(event) => choose(event.currentTarget.selectedIndex)}>
              {results.map(({ key, told: own }, at) => (
                <option value={at}>{`${key} ${visible(own.method.name).slice(0, 80)}`}</option>
              ))}
            </select>
          </label>
        ) : (
          <span>
            Method <bdi>{visible(told.method.name)}</bdi>
          </span>
        )}
        <span>
          <span class="quiet">({words.families[told.method.family]}).</span>{" "}
          <strong>{`${words.evidence[told.method.evidence].replace(/^./, (first) => first.toUpperCase())}.`}</strong>
        </span>
      </div>
      <Caveats caveats={told.caveats} />
      <Balance />
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
    <section class="caveats" aria-label="Read this first">
      {output.finish === "length" && <p class="flag">{words.cut}</p>}
      {output.given && <p class="flag">{words.given}</p>}
      <ul>
        {caveats.map((caveat, at) => (
          <li dir="auto" class={at > 0 && !open.value ? "folded" : ""}>
            {visible(caveat)}
          </li>
        ))}
      </ul>
      {more > 0 && (
        <button type="button" aria-expanded={open.value} onClick={() => (open.value = !open.value)}>
          {open.value ? "Fewer caveats" : `${more} more ${more === 1 ? "caveat" : "caveats"}`}
        </button>
      )}
    </section>
  );
}

/** A revision for a heading: twelve characters of a digest, after its algorithm's name. */
function shortRevision(revision: string): string {
  const colon = revision.lastIndexOf(":") + 1;
  const digest = [...revision.slice(colon)];
  return visible(digest.length > 12 ? `${revision.slice(0, colon)}${digest.slice(0, 12).join("")}…` : revision);
}

/** A moment to the minute, with its distance from UTC. */
function moment(time: string): string {
  const [, day, minute, zone] = /^(.{10})T(.{5})[^Z+-]*(.*)$/.exec(time) ?? [];
  return day === undefined ? visible(time) : `${day} ${minute} UTC${zone === "Z" || zone === "+00:00" ? "" : zone}`;
}
