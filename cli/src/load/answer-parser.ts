/** One HTTP answer at the beginning of a buffer: its status, how long it is, whether the connection stays. */
export interface ParsedAnswer {
  readonly status: number
  /** Bytes of head and body. */
  readonly length: number
  readonly keepAlive: boolean
}

const headEnd = Buffer.from('\r\n\r\n')

/**
 * Reads the answer to one POST from the beginning of `bytes`; undefined if it is not complete yet. Interim
 * answers (1xx) are answers of their own, for the caller to pass over. Throws Error on anything that is not HTTP.
 */
export function parseAnswer(bytes: Buffer): ParsedAnswer | undefined {
  const end = bytes.indexOf(headEnd)
  if (end < 0) return undefined
  const head = bytes.toString('latin1', 0, end)
  const status = Number(head.slice(9, 12))
  if (!head.startsWith('HTTP/1.') || !(status >= 100 && status < 600))
    throw new Error('not an HTTP/1.1 answer')
  const from = end + headEnd.length
  const keepAlive = !/\r\nconnection:\s*close/i.test(head)
  const hasBody = status >= 200 && status !== 204 && status !== 304
  if (!hasBody) return { status, length: from, keepAlive }
  if (/\r\ntransfer-encoding:[^\r]*chunked/i.test(head)) {
    const length = chunkedEnd(bytes, from)
    return length === undefined ? undefined : { status, length, keepAlive }
  }
  const declared = /\r\ncontent-length:\s*(\d+)/i.exec(head)?.[1]
  if (declared === undefined) throw new Error('an answer without a length')
  const length = from + Number(declared)
  return bytes.length < length ? undefined : { status, length, keepAlive }
}

/** Index behind a chunked body without trailers; undefined if it is not complete. */
function chunkedEnd(bytes: Buffer, from: number): number | undefined {
  let at = from
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    if (lineEnd < 0) return undefined
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16)
    if (Number.isNaN(size)) throw new Error('a chunk without a size')
    at = lineEnd + 2 + size + 2
    if (at > bytes.length) return undefined
    if (size === 0) return at
  }
}
