// The lines as text: the strongest of one token, and all that are drawn as a table.

import { percent, quantity } from "../../core/scale.js";
import { useSignal } from "../../ui/draw.js";
import { type Axes, type Links, otherSide, type Place, total } from "./links.js";
import { Sample } from "./picker.js";
import { grouped, nameOf, valueSaid } from "./said.js";

function Name({ axes, place }: { axes: Axes; place: Place }) {
  return (
    <bdi dir="auto" lang="">
      {nameOf(axes, place)}
    </bdi>
  );
}

const LISTED = 8;

interface PartnersProps {
  axes: Axes;
  place: Place;
  lines: Links;
  onChoose: (place: Place) => void;
}

/** What one token looks at, or is looked at by. */
export function Partners({ axes, place, lines: { links, count, sum }, onChoose }: PartnersProps) {
  const side = otherSide(place.side);
  const listed = links.slice(0, LISTED);
  const rest = count - listed.length;
  return (
    <>
      <h2>
        <Name axes={axes} place={place} /> <span class="quiet">{side === "key" ? "looks at" : "is looked at by"}</span>
      </h2>
      {count === 0 && <p>Nothing that is shown.</p>}
      <ol>
        {listed.map((link) => {
          const partner = { side, index: link[side] };
          return (
            <li>
              {valueSaid(link.weight)} <Sample head={link.head} /> head {link.head}{" "}
              <button type="button" class="jump" onClick={() => onChoose(partner)}>
                <Name axes={axes} place={partner} />
              </button>
            </li>
          );
        })}
      </ol>
      {rest > 0 && (
        <p class="quiet">
          {grouped(rest)} weaker ones: {percent((sum - total(listed)) / rest)} each on average.
        </p>
      )}
    </>
  );
}

const AT_ONCE = 100;

interface TableProps {
  axes: Axes;
  lines: Links;
  caption: string;
}

export function LinkTable({ axes, lines: { links }, caption }: TableProps) {
  const rows = useSignal(0);
  return (
    <details class="heads-table" onToggle={(event) => (rows.value = event.currentTarget.open ? AT_ONCE : 0)}>
      <summary>The lines as a table</summary>
      {rows.value > 0 && (
        <table>
          <caption>{caption}</caption>
          <thead>
            <tr>
              {["Query", "Key", "Head", "Weight"].map((name) => (
                <th scope="col">{name}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {links.slice(0, rows.value).map(({ head, query, key, weight }) => (
              <tr>
                <td>
                  <Name axes={axes} place={{ side: "query", index: query }} />
                </td>
                <td>
                  <Name axes={axes} place={{ side: "key", index: key }} />
                </td>
                <td>{head}</td>
                <td>{quantity(weight)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {rows.value < links.length && (
        <button type="button" onClick={() => (rows.value += AT_ONCE)}>
          {AT_ONCE} more of {grouped(links.length - rows.value)}
        </button>
      )}
    </details>
  );
}
