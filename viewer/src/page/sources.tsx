// The record: texts that are typed, pasted, chosen or dropped.

import { signal } from "@preact/signals-core";
import { useEffect } from "preact/hooks";
import { visible } from "../core/text.js";
import { type Draft, type Form, usableName } from "./form.js";

/** A browser reads no more of a file than it can show in a text field. */
const LARGEST_FILE_BYTES = 32 << 20;
const unread = signal<readonly string[]>([]);

export function Sources({ form, open }: { form: Form; open: () => boolean }) {
  useEffect(() => takeDropped(form, open), [form]);
  const drafts = form.sources.value;
  return (
    <section aria-labelledby="record-heading">
      <h2 id="record-heading">Record</h2>
      <p class="quiet">What the model is given to read. Type or paste it, or drop text files anywhere on this page.</p>
      {drafts.map((draft, at) => (
        <Source key={draft.id} draft={draft} number={at + 1} remove={drafts.length > 1 ? () => form.remove(draft.id) : null} />
      ))}
      <div class="row">
        <button type="button" onClick={() => form.addEmpty()}>
          Add a text
        </button>
        <label class="button">
          Add files
          <input type="file" multiple onChange={(event) => void takeChosen(form, event.currentTarget)} />
        </label>
      </div>
      <div role="status">
        {unread.value.map((why) => (
          <p class="fault" dir="auto">{why}</p>
        ))}
      </div>
    </section>
  );
}

function Source({ draft, number, remove }: { draft: Draft; number: number; remove: (() => void) | null }) {
  return (
    <div class="source" role="group" aria-label={`Source ${number}`}>
      <div class="row">
        <input
          type="text"
          class="grow"
          aria-label={`Name of source ${number}`}
          placeholder={`source ${number}`}
          dir="auto"
          lang=""
          autocomplete="off"
          value={draft.name.value}
          onInput={(event) => (draft.name.value = usableName(event.currentTarget.value))}
        />
        {remove !== null && (
          <button type="button" aria-label={`Remove source ${number}`} onClick={remove}>
            Remove
          </button>
        )}
      </div>
      <textarea
        rows={9}
        aria-label={`Text of source ${number}`}
        dir="auto"
        lang=""
        spellcheck={false}
        autocomplete="off"
        value={draft.text.value}
        onInput={(event) => (draft.text.value = event.currentTarget.value)}
      />
    </div>
  );
}

/**
 * A file that is dropped beside a field would otherwise take the place of the page. `open`: whether the question is in
 * sight and can be changed: what nobody sees arrive must not be sent.
 */
function takeDropped(form: Form, open: () => boolean): () => void {
  const holdsFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
  const over = (event: DragEvent) => {
    if (holdsFiles(event)) event.preventDefault();
  };
  const drop = (event: DragEvent) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    if (open()) void take(form, [...(event.dataTransfer?.files ?? [])]);
  };
  addEventListener("dragover", over);
  addEventListener("drop", drop);
  return () => {
    removeEventListener("dragover", over);
    removeEventListener("drop", drop);
  };
}

async function takeChosen(form: Form, input: HTMLInputElement): Promise<void> {
  await take(form, [...(input.files ?? [])]);
  input.value = ""; // the same file may be chosen again
}

async function take(form: Form, files: readonly File[]): Promise<void> {
  const read = await Promise.all(files.map(async (file) => ({ name: file.name, text: await textOf(file) })));
  form.add(read.flatMap(({ name, text }) => (text === null ? [] : [{ name, text }])));
  unread.value = read
    .filter(({ text }) => text === null)
    .map(({ name }) => `${visible(name)} was not read: it is no text in UTF-8, or larger than 32 MB.`);
}

async function textOf(file: File): Promise<string | null> {
  if (file.size > LARGEST_FILE_BYTES) return null;
  try {
    // The mark of byte order that may begin a file is dropped: it says how the text is written, and is none of it.
    return new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    return null;
  }
}
