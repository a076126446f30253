import { describe, expect, it } from "vitest";
import { readEvents, type ServerEvent } from "../src/page/events.js";

const STREAM = ': ping\r\n\r\nevent: progress\r\ndata: {"done":1}\r\n\r\nevent: explanation\r\ndata: {"text":"é 👩"}\r\n\r\n';
const EVENTS = [
  { event: "progress", data: '{"done":1}' },
  { event: "explanation", data: '{"text":"é 👩"}' },
];

function stream(text: string, size: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  const bytes = new TextEncoder().encode(text);
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
      controller.close();
    },
  });
}

async function read(text: string, size = text.length): Promise<ServerEvent[]> {
  const found: ServerEvent[] = [];
  for await (const event of readEvents(stream(text, size))) found.push(event);
  return found;
}

describe("events of a stream", () => {
  it("are the same however the stream is cut, within a character or between CR and LF", async () => {
    for (const size of [1, 2, 3, 7, 1000]) expect(await read(STREAM, size)).toEqual(EVENTS);
  });

  it("end their lines with any of CR, LF and both", async () => {
    for (const end of ["\r", "\n"]) expect(await read(STREAM.replaceAll("\r\n", end), 1)).toEqual(EVENTS);
  });

  it("join their lines of data, and drop one blank after the colon", async () => {
    expect(await read("data: a\ndata:  b\ndata\n\n")).toEqual([{ event: "message", data: "a\n b\n" }]);
  });

  it("are left out where the stream was cut off", async () => {
    expect(await read(STREAM.slice(0, -2))).toEqual(EVENTS.slice(0, 1));
  });

  it("leave the stream when nobody reads on", async () => {
    let left = false;
    const bytes = new TextEncoder().encode("data: a\n\n");
    const endless = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: (controller) => controller.enqueue(bytes),
      cancel: () => void (left = true),
    });
    for await (const event of readEvents(endless)) {
      expect(event.data).toBe("a");
      break;
    }
    expect(left).toBe(true);
  });
});
