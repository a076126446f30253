// Gives somebody a file.

/** Save a blob under a name, in which nothing of a record may stand. */
export function download(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // Browsers read the blob after the click has been dealt with.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
