// In place of an explanation that the address names: that it is fetched, or why it cannot be.

import { ProblemBox } from "./problem.js";
import { Problem } from "./service.js";
import type { Page } from "./work.js";

export function Wanted({ page }: { page: Page }) {
  const { value: shown } = page.shown;
  if (shown === "fetching") return <p role="status">The explanation is fetched …</p>;
  // For the want of a key there is a field; and where not even the models can be had, that is said already.
  if (!(shown instanceof Problem) || shown.status === 401 || page.fault.value !== null) return null;
  return (
    <>
      <ProblemBox problem={shown} alert />
      <div class="row">
        {shown.status !== 404 && (
          <button type="button" onClick={() => void page.follow()}>
            Try again
          </button>
        )}
        <button type="button" onClick={page.back}>
          Back to the question
        </button>
      </div>
    </>
  );
}
