import { formatPosition, type Position, parsePosition } from './position.ts'

/**
 * Where a subscriber's stream stands: for every topic the next offset of each of its partitions, as text that is
 * opaque to clients and safe in URLs and headers. One event has a `Position`; a stream over several topics has
 * one of these. It is not signed: a server checks it against the credential and the log's range.
 */
const between = '*'

/** Writes a stream's position; the topics in the order given. */
export function formatStreamPosition(positions: readonly Position[]): string {
  return positions.map(formatPosition).join(between)
}

/** Reads a stream's position; undefined if any part of it is damaged, or a topic is named twice. */
export function parseStreamPosition(text: string): Position[] | undefined {
  const positions: Position[] = []
  for (const part of text.split(between)) {
    const position = parsePosition(part)
    if (!position || positions.some(({ topic }) => topic === position.topic)) return undefined
    positions.push(position)
  }
  return positions
}
