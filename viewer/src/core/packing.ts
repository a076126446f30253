// Matrices as text: base64 of gzip of little-endian numbers (see whence.explain.packing).

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let at = 0; at < raw.length; at++) bytes[at] = raw.charCodeAt(at);
  return bytes;
}

/** Inflate gzip; throws where it is damaged, or is not `expectedBytes` long. */
export async function gunzip(packed: Uint8Array<ArrayBuffer>, expectedBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const inflated = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const found = new Uint8Array(expectedBytes);
  let at = 0;
  const reader = inflated.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (at + value.length > expectedBytes) {
      await reader.cancel();
      throw new Error("a packed matrix is longer than its shape");
    }
    found.set(value, at);
    at += value.length;
  }
  if (at !== expectedBytes) throw new Error("a packed matrix is shorter than its shape");
  return found;
}

/** A matrix of float32, row by row. */
export async function unpackFloats(text: string, rows: number, columns: number): Promise<Float32Array> {
  const bytes = await gunzip(fromBase64(text), 4 * rows * columns);
  return new Float32Array(bytes.buffer);
}
