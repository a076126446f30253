import { describe, expect, it } from "vitest";
import { createForm } from "../src/page/form.js";
import type { ModelRecord } from "../src/page/service.js";

function model(name: string, known: Partial<ModelRecord> = {}): ModelRecord {
  return { name, provider: "fake", model: name, loaded: true, access: "weights", methods: null, context_tokens: null, ...known };
}

function filled() {
  const form = createForm();
  const models = [model("a", { methods: ["attention", "lasso"] }), model("b", { access: "text", methods: ["lasso"] })];
  form.models.value = { default_model: "a", models };
  form.prompt.value = "Do.";
  form.add([{ name: " note ", text: "It is so.\r\n" }]);
  return form;
}

describe("what the service is asked", () => {
  it("is nothing while a record, a task or a model is missing", () => {
    for (const empty of [
      (form: ReturnType<typeof filled>) => (form.prompt.value = " "),
      (form: ReturnType<typeof filled>) => form.remove(form.sources.value[0]?.id ?? 0),
      (form: ReturnType<typeof filled>) => (form.models.value = { default_model: null, models: [] }),
    ]) {
      const form = filled();
      expect(form.request.value).not.toBeNull();
      empty(form);
      expect(form.request.value).toBeNull();
    }
  });

  it("holds texts as they are, and leaves out what is blank", () => {
    const form = filled();
    form.addEmpty();
    form.output.value = " \n";
    expect(form.request.value).toMatchObject({
      sources: [{ name: "note", text: "It is so.\r\n" }],
      output: null,
      budget: null,
      method: "auto",
    });
  });

  it("holds only what the chosen model can", () => {
    const form = filled();
    form.toggleMethod("attention");
    form.toggleMethod("lasso");
    form.attention.value = true;
    expect(form.request.value).toMatchObject({ model: "a", method: ["attention", "lasso"], attention: true });
    form.chosenModel.value = "b";
    expect(form.request.value).toMatchObject({ model: "b", method: ["lasso"], attention: false });
    form.toggleMethod("lasso");
    expect(form.request.value).toMatchObject({ method: "auto" });
  });

  it("has a limit of calls where a whole number is given", () => {
    const form = filled();
    for (const [typed, budget] of [["12", { calls: 12 }], [" 0 ", { calls: 0 }], ["", null], [" ", null]] as const) {
      form.calls.value = typed;
      expect(form.request.value?.budget).toEqual(budget);
    }
  });

  it("is nothing while what is typed as the limit of calls is none", () => {
    const form = filled();
    for (const typed of ["12.5", "-1", "1e3", "0x10", "ten", "-", "2147483648"]) {
      form.calls.value = typed;
      expect([typed, form.request.value]).toEqual([typed, null]);
    }
    form.calls.value = "2147483647";
    expect(form.request.value).not.toBeNull();
  });
});

describe("sources", () => {
  it("have names that may stand in the line that names them", () => {
    const form = createForm();
    form.add([{ name: 'Mrs "Jones" <1>\u2028\r\0\ud800é🩺.txt', text: '"A" <b>\n' }]);
    const [source] = form.sources.value;
    expect(source?.name.value).toBe("Mrs _Jones_ _1_____é🩺.txt");
    expect(source?.text.value).toBe('"A" <b>\n');
  });

  it("take the place of drafts that are still empty, and one draft always remains", () => {
    const form = createForm();
    form.add([{ name: "a", text: "A" }, { name: "b", text: "B" }]);
    expect(form.sources.value.map(({ name }) => name.value)).toEqual(["a", "b"]);
    for (const { id } of form.sources.value) form.remove(id);
    expect(form.sources.value.map(({ text }) => text.value)).toEqual([""]);
  });
});
