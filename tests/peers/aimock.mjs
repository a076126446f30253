// aimock on a free port, as a peer of the contract suite. Prints its address, and ends with its input.
//
// It answers by what it finds in a record, and tests let it fail: `due` holds what the next calls of the model
// meet, as the context of the fixture that is to answer. Models and counts of tokens, which aimock does not
// serve as these APIs do, are told here; all else is aimock's own.

import { LLMock } from "@copilotkit/aimock";

const SAYS = {
  latex: "Allergic to latex.",
  clinic: "Eye clinic in 3 weeks.",
  apixaban: "Started on apixaban.",
};
const UNHARMED = "unharmed";
const CHARACTERS_PER_TOKEN = 2;

const server = new LLMock({ port: 0, journalMaxEntries: 0 });
const due = [];
let inFlight = 0;
let mostInFlight = 0;

function answer(words) {
  const content = words.length ? words.map((word) => SAYS[word]).join(" ") : "Nothing is known.";
  return {
    match: {
      context: UNHARMED,
      userMessage: new RegExp(`^${words.map((word) => `(?=[^]*${word})`).join("")}`),
    },
    response: { content, usage: { input_tokens: 20 + 10 * words.length, output_tokens: 4 + words.length } },
    chunkSize: 5,
  };
}

/** Every choice of the words, the fullest first: the first fixture that matches answers. */
function choices(words) {
  const all = words.reduce((found, word) => found.concat(found.map((own) => [...own, word])), [[]]);
  return all.sort((a, b) => b.length - a.length);
}

async function read(request) {
  let body = "";
  for await (const part of request) body += part;
  return body;
}

function tell(response, value) {
  response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(value));
  return true;
}

const models = {
  async handleRequest(request, response, path) {
    if (path.startsWith("/models/")) {
      const id = path.slice("/models/".length);
      return tell(response, { type: "model", id, display_name: id, created_at: "2026-01-01T00:00:00Z" });
    }
    if (path.endsWith("/count_tokens") || path.endsWith(":countTokens")) {
      const tokens = Math.ceil((await read(request)).length / CHARACTERS_PER_TOKEN);
      return tell(response, { input_tokens: tokens, totalTokens: tokens });
    }
    request.headers["x-aimock-context"] = due.shift() ?? UNHARMED;
    inFlight += 1;
    mostInFlight = Math.max(mostInFlight, inFlight);
    response.on("close", () => {
      inFlight -= 1;
    });
    return false;
  },
};

const control = {
  async handleRequest(request, response) {
    if (request.method === "DELETE") due.length = mostInFlight = 0;
    if (request.method === "POST") {
      const asked = JSON.parse(await read(request));
      server.addFixtures(asked.fixtures); // /__aimock/fixtures takes none without any text
      due.push(...asked.due);
    }
    return tell(response, { due: due.length, mostInFlight });
  },
};

server.addFixtures(choices(Object.keys(SAYS)).map(answer));
server.mount("/v1", models);
server.mount("/due", control);
process.stdin.on("end", () => process.exit()).resume();
console.log(await server.start());
