/** One message of a stream of server-sent events. */
export interface ServerMessage {
  /** `message` where the server names none. */
  readonly event: string
  readonly data: string
  /** The last id that the stream told, with this message or before; '' before the first. */
  readonly id: string
}

/** Reads `text/event-stream` (WHATWG HTML 9.2) as it comes, in pieces of any size. */
export class EventStreamReader {
  /** How long the server wants to be left alone before the next connection; undefined if it did not say. */
  retryMs: number | undefined
  #rest = ''
  #data: string[] = []
  #event = ''
  #id = ''
  #isFirst = true

  /** The messages that this piece completes, in order. */
  read(piece: string): readonly ServerMessage[] {
    const text = this.#withoutMark(this.#rest + piece)
    const messages: ServerMessage[] = []
    let from = 0
    for (;;) {
      const end = lineEnd(text, from)
      if (end === undefined) break
      const message = this.#line(text.slice(from, end.at))
      if (message) messages.push(message)
      from = end.next
    }
    this.#rest = text.slice(from)
    return messages
  }

  #withoutMark(text: string): string {
    if (!this.#isFirst || text === '') return text
    this.#isFirst = false
    return text.startsWith('\uFEFF') ? text.slice(1) : text
  }

  #line(line: string): ServerMessage | undefined {
    if (line === '') return this.#end()
    const colon = line.indexOf(':')
    if (colon === 0) return undefined
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (name === 'data') this.#data.push(value)
    else if (name === 'event') this.#event = value
    else if (name === 'id' && !value.includes('\0')) this.#id = value
    else if (name === 'retry' && /^\d+$/.test(value)) this.retryMs = Number(value)
    return undefined
  }

  #end(): ServerMessage | undefined {
    const data = this.#data.join('\n')
    const isEmpty = this.#data.length === 0
    const event = this.#event || 'message'
    this.#data = []
    this.#event = ''
    return isEmpty ? undefined : { event, data, id: this.#id }
  }
}

/** The end of the line that begins at `from`: LF, CR or both. A CR at the very end may be half of both: it waits. */
function lineEnd(text: string, from: number): { at: number; next: number } | undefined {
  const feed = text.indexOf('\n', from)
  const carriage = text.indexOf('\r', from)
  if (carriage >= 0 && (feed < 0 || carriage < feed)) {
    if (carriage === text.length - 1) return undefined
    return { at: carriage, next: text[carriage + 1] === '\n' ? carriage + 2 : carriage + 1 }
  }
  return feed < 0 ? undefined : { at: feed, next: feed + 1 }
}
