// The lines as text: the strongest of one token, and all that are drawn as a table.

import { percent, quantity } from "../../core/scale.js";
import { useSignal } from "../../ui/draw.js";
import { type Item, type Link, otherSide } from "./links.js";
import { Sample } from "./sample.js";
import { grouped, nameOf, valueSaid } from "./said.js";

function Name({ of }: { of: Item }) {
  return (
    <bdi dir="auto" lang="">
      {nameOf(of)}
    </bdi>
  );
}

const LISTED = 8;

interface PartnersProps {
  item: Item;
  links: readonly Link[];
  onChoose: (partner: Item) => void;
}

/** What one token looks at, or is looked at by. */
export function Partners({ item, links, onChoose }: PartnersProps) {
  const side = otherSide(item.side);
  const rest = links.slice(LISTED);
  return (
    <>
      <h2>
        <Name of={item} /> <span class="quiet">{side === "key" ? "looks at" : "is looked at by"}</span>
      </h2>
      {links.length === 0 && <p>Nothing that is shown.</p>}
      <ol>
        {links.slice(0, LISTED).map((link) => {
          const partner = link[side];
          return (
            <li>
              {valueSaid(link.weight)} <Sample head={link.head} /> head {link.head}{" "}
              <button class="jump" onClick={() => onChoose(partner)}>
                <Name of={partner} />
              </button>
            </li>
          );
        })}
      </ol>
      {rest.length > 0 && (
        <p class="quiet">
          {grouped(rest.length)} weaker ones: {percent(rest.reduce((sum, { weight }) => sum + weight, 0) / rest.length)} each on average.
        </p>
      )}
    </>
  );
}

const AT_ONCE = 100;

interface TableProps {
  links: readonly Link[];
  caption: string;
}

export function LinkTable({ links, caption }: TableProps) {
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
                  <Name of={query} />
                </td>
                <td>
                  <Name of={key} />
                </td>
                <td>{head}</td>
                <td>{quantity(weight)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {rows.value < links.length && (
        <button onClick={() => (rows.value += AT_ONCE)}>
          {AT_ONCE} more of {grouped(links.length - rows.value)}
        </button>
      )}
    </details>
  );
}
