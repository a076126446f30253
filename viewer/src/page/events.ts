// Server-sent events, of a stream that `fetch` reads: EventSource cannot send a body or a key.

export interface ServerEvent {
  event: string;
  data: string;
}

/** The events of a stream of bytes, as they come. */
export async function* readEvents(bytes: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<ServerEvent> {
  let event = "";
  let data: string[] = [];
  for await (const line of readLines(bytes)) {
    if (line === "") {
      if (data.length > 0) yield { event: event || "message", data: data.join("\n") };
      event = "";
      data = [];
      continue;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") event = value;
    else if (field === "data") data.push(value);
  }
}

/** Lines end with LF, CR or both. What a stream that was cut off leaves over is no line. */
async function* readLines(bytes: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  const reader = bytes.pipeThrough(new TextDecoderStream()).getReader();
  // An explanation is one line of many chunks: they are joined once, when its end is there.
  let begun: string[] = [];
  let afterReturn = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const chunk: string = afterReturn && value.startsWith("\n") ? value.slice(1) : value;
      if (chunk !== "") afterReturn = chunk.endsWith("\r");
      else if (value !== "") afterReturn = false;
      const [first = "", ...rest] = chunk.split(/\r\n|\n|\r/);
      begun.push(first);
      for (const next of rest) {
        yield begun.join("");
        begun = [next];
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
