// The page: a form that leads to an explanation, and back.

import { ProblemBox } from "./problem.js";
import { Done } from "./done.js";
import { PriceBox } from "./price.js";
import { Running } from "./running.js";
import { Problem } from "./service.js";
import { Settings } from "./settings.js";
import { Sources } from "./sources.js";
import { Wanted } from "./wanted.js";
import type { Page } from "./work.js";

export function App({ page }: { page: Page }) {
  const shown = page.shown.value;
  const explanation = shown === "fetching" || shown instanceof Problem ? null : shown;
  return (
    <>
      <div class="whence page" hidden={explanation !== null}>
        <header>
          <h1>Whence</h1>
          <p>
            A model reads a record and writes; this page shows which passages each part of what it wrote can be traced to. It
            does not show why the model wrote it.
          </p>
        </header>
        <main>
          {page.needsKey.value && <Key page={page} />}
          {page.fault.value !== null && <Fault page={page} problem={page.fault.value} />}
          <Wanted page={page} />
          {/* Hidden and not taken away: what was typed, and where, is still there on the way back. */}
          <div hidden={shown !== null}>{page.form.models.value !== null && <Question page={page} />}</div>
        </main>
      </div>
      {explanation !== null && <Done page={page} explanation={explanation} />}
    </>
  );
}

function Question({ page }: { page: Page }) {
  const { form } = page;
  const running = page.work.value.stage === "running";
  return (
    <div class="columns">
      <fieldset disabled={running} class="plain">
        <Sources form={form} open={() => page.shown.peek() === null && page.work.peek().stage !== "running"} />
      </fieldset>
      <div>
        <fieldset disabled={running} class="plain">
          <section aria-labelledby="task-heading">
            <h2 id="task-heading">Task</h2>
            <label>
              What the model is asked to do
              <textarea
                rows={3}
                dir="auto"
                lang=""
                placeholder="Such as: Summarise this record."
                value={form.prompt.value}
                onInput={(event) => (form.prompt.value = event.currentTarget.value)}
              />
            </label>
            <label>
              Output to explain <span class="quiet">(left empty, the model writes one)</span>
              <textarea
                rows={2}
                dir="auto"
                lang=""
                value={form.output.value}
                onInput={(event) => (form.output.value = event.currentTarget.value)}
              />
            </label>
          </section>
          <Settings page={page} />
        </fieldset>
        <PriceBox page={page} />
        <Running page={page} />
      </div>
    </div>
  );
}

function Key({ page }: { page: Page }) {
  return (
    <section aria-labelledby="key-heading" class="key">
      <h2 id="key-heading">API key</h2>
      <label>
        This server answers those who have a key. This page keeps it in memory until it is closed or
        reloaded, and nowhere else.
        {/* No password field: a browser would offer to keep what is typed there. */}
        <input
          type="text"
          autocomplete="off"
          spellcheck={false}
          onChange={(event) => {
            page.key.value = event.currentTarget.value;
            void page.start();
          }}
        />
      </label>
    </section>
  );
}

function Fault({ page, problem }: { page: Page; problem: Problem }) {
  // Before any key was typed, the field for it says enough.
  if (problem.status === 401 && page.key.value === "") return null;
  return (
    <>
      <ProblemBox problem={problem} alert />
      <button type="button" onClick={() => void page.start()}>
        Try again
      </button>
    </>
  );
}
