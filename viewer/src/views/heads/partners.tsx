// What one token looks at, or is looked at by: its strongest partners, with their values.

import { percent } from "../../core/scale.js";
import { drawnSum, type Link, type Links, type Place } from "./links.js";
import { Sample } from "./picker.js";
import { grouped, valueSaid } from "./said.js";

const LISTED = 8;

interface PartnersProps {
  links: Links & { place: Place };
  pinned: boolean;
  masked: boolean;
  /** How a token is called. */
  named: (side: Place["side"], index: number) => string;
  onChoose: (place: Place) => void;
  onFree: () => void;
}

export function Partners({ links: found, pinned, masked, named, onChoose, onFree }: PartnersProps) {
  const { links, place, count, sum } = found;
  const ofQuery = place.side === "query";
  const partner = (link: Link): Place =>
    ofQuery ? { side: "key", index: link.column } : { side: "query", index: link.row };
  const rest = count - Math.min(LISTED, links.length);
  const listed = links.slice(0, LISTED);
  const left = sum - drawnSum({ ...found, links: listed });
  return (
    <>
      <h2>
        <bdi dir="auto" lang="">
          {named(place.side, place.index)}
        </bdi>{" "}
        <span class="quiet">{ofQuery ? "looks at" : "is looked at by"}</span>
      </h2>
      {links.length === 0 && <p>{masked ? "Masked: its lines are left out." : "Nothing that is shown."}</p>}
      <ol>
        {listed.map((link) => {
          const to = partner(link);
          return (
            <li key={`${link.head} ${to.index}`}>
              <span>{valueSaid(link.value)}</span>
              <span class="quiet">
                <Sample head={link.head} />
                head {link.head}
              </span>
              <button type="button" class="jump" onClick={() => onChoose(to)}>
                <bdi dir="auto" lang="">
                  {named(to.side, to.index)}
                </bdi>
              </button>
            </li>
          );
        })}
      </ol>
      {rest > 0 && (
        <p class="quiet">
          {grouped(rest)} weaker ones: {percent(left / rest)} each on average.
        </p>
      )}
      {pinned ? (
        <button type="button" onClick={onFree}>
          Show all lines again
        </button>
      ) : (
        <p class="quiet">Click or press Enter to keep it.</p>
      )}
    </>
  );
}
