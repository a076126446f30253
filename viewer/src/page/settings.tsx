// The model, the method, and what is told apart.

import type { Signal } from "@preact/signals-core";
import { SEGMENTS, TARGETS } from "./form.js";
import { ACCESS, METHODS } from "./words.js";
import type { Page } from "./work.js";

export function Settings({ page }: { page: Page }) {
  const { form } = page;
  const model = form.model.value;
  const wrong = form.limit.value === undefined;
  return (
    <section aria-labelledby="settings-heading">
      <h2 id="settings-heading">Model and method</h2>
      <label>
        Model
        <select value={model?.name} onChange={(event) => void page.chooseModel(event.currentTarget.value).catch(() => {})}>
          {form.models.value?.models.map(({ name, provider, model: own }) => (
            <option value={name}>{name === own || provider === name ? name : `${name}: ${own}`}</option>
          ))}
        </select>
      </label>
      {model !== null && (
        <p class="quiet">
          {model.access === null ? "It is loaded when it is first asked; then its methods are known." : `It ${ACCESS[model.access]}.`}
        </p>
      )}
      <Methods page={page} />
      <div class="row">
        <Unit label="Trace back to each" of={form.segmentBy} units={SEGMENTS} />
        <Unit label="Explain each" of={form.targetBy} units={TARGETS} />
        <label>
          Calls, at most
          {/* No number field: of what it cannot read it says that it is empty, which here is no limit. */}
          <input
            type="text"
            inputmode="numeric"
            autocomplete="off"
            placeholder="no limit"
            aria-invalid={wrong}
            aria-describedby={wrong ? "calls-fault" : undefined}
            value={form.calls.value}
            onInput={(event) => (form.calls.value = event.currentTarget.value)}
          />
        </label>
      </div>
      <div aria-live="polite">
        {wrong && (
          <p class="fault" id="calls-fault">
            “Calls, at most” needs a whole number, such as 100, or nothing at all for no limit.
          </p>
        )}
      </div>
      <Switch label="Keep the level of tokens, to look closer at any word" of={form.detail} />
      <Switch
        label="Keep the attention of every head, for the views of heads (needs the model's weights)"
        of={form.attention}
        disabled={!form.showsAttention.value}
      />
    </section>
  );
}

function Methods({ page: { form } }: { page: Page }) {
  const known = form.model.value?.methods ?? null;
  if (known === null) return null;
  const chosen = form.chosenMethods.value;
  return (
    <fieldset class="methods">
      <legend>Methods</legend>
      <p class="quiet">
        {chosen.length === 0
          ? "None is chosen: the server takes the first that this model allows."
          : chosen.length === 1 || `The first one chosen leads: ${chosen[0]}.`}
      </p>
      {known.map((name) => (
        <label class="switch">
          <input type="checkbox" checked={chosen.includes(name)} onChange={() => form.toggleMethod(name)} />
          <span>
            {name} {METHODS[name] !== undefined && <span class="quiet">{METHODS[name]}</span>}
          </span>
        </label>
      ))}
    </fieldset>
  );
}

function Unit<T extends string>({ label, of, units }: { label: string; of: Signal<T>; units: readonly T[] }) {
  return (
    <label>
      {label}
      <select value={of.value} onChange={(event) => (of.value = units[event.currentTarget.selectedIndex] ?? of.value)}>
        {units.map((unit) => (
          <option value={unit}>{unit === "whole" ? "whole output" : unit}</option>
        ))}
      </select>
    </label>
  );
}

function Switch({ label, of, disabled = false }: { label: string; of: Signal<boolean>; disabled?: boolean }) {
  return (
    <label class="switch">
      <input
        type="checkbox"
        checked={of.value && !disabled}
        disabled={disabled}
        onChange={(event) => (of.value = event.currentTarget.checked)}
      />
      <span>{label}</span>
    </label>
  );
}
