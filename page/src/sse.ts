/**
 * The data of the server-sent events in a text that comes in pieces, torn anywhere.
 * https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */
export class EventParser {
  #rest = "";
  #data: string[] = [];

  /** The data of the events that are whole with this piece. */
  feed(piece: string): string[] {
    const text = this.#rest + piece;
    const lines = text.split(/\r\n|\n|\r(?!$)/); // a carriage return at the end may be half of a line's end
    this.#rest = lines.pop() ?? "";
    return lines.flatMap((line) => this.#line(line));
  }

  #line(line: string): string[] {
    if (line === "") {
      const data = this.#data;
      this.#data = [];
      return data.length > 0 ? [data.join("\n")] : [];
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon); // "" of a comment
    if (name === "data") this.#data.push(colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, ""));
    return [];
  }
}
