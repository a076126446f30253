// What the schema's and the service's terms mean, in plain words: those of whence.explain.render.wording.

export const ACCESS = {
  weights: "shows its weights, and so its attention",
  logprobs: "shows the probabilities of its words",
  text: "shows nothing but its text",
} as const;

export const METHODS: Record<string, string> = {
  attention: "where the model looked",
  attention_rollout: "where it looked, followed through the layers",
  attention_value_weighted: "where it looked, weighed by what it took from there",
  lasso: "what changes without several passages at a time; a fit says what each is worth",
  leave_one_out: "what changes without each passage",
  shapley: "what each passage adds to any of the others",
  citations: "what the model says it used, not checked",
};

export const STAGES: Record<string, string> = {
  load: "Loading the model",
  generate: "Writing the output",
  attend: "Observing attention",
  score: "Measuring probabilities",
  ablate: "Removing passages",
};

export function counted(number: number, noun: string): string {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}
