/**
 * Where one event stands in the log, or where a reader stands in a topic.
 * `epoch` is the log's life: it changes whenever offsets might be handed out a second time (restore,
 * promotion, recreation), so an old position is refused instead of silently pointing at other events.
 */
export interface Position {
  readonly epoch: number
  readonly topic: string
  /** Offset per partition. One entry for an event; one per partition for a reader. */
  readonly offsets: ReadonlyMap<number, number>
}

// FNV-1a over the text: catches a cut or mistyped position. It is no signature and needs none (a resume is
// checked against the credential and the log's range).
function fnv1a(text: string, hash = 0x811c9dc5): number {
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash
}

const checksum = (text: string) => (fnv1a(text) >>> 0).toString(36)

/** Writes a position. Opaque to clients: `topic~epoch~partition.offset,…~checksum`, safe in URLs and headers. */
export function formatPosition(position: Position): string {
  const offsets = [...position.offsets].map(([partition, offset]) => `${partition}.${offset}`).join('_')
  const text = `${position.topic}~${position.epoch}~${offsets}`
  return `${text}~${checksum(text)}`
}

/** Writes the position of one event; the same as `formatPosition` of a single offset, without the map. */
export function formatEventPosition(epoch: number, topic: string, partition: number, offset: number): string {
  const text = `${topic}~${epoch}~${partition}.${offset}`
  return `${text}~${checksum(text)}`
}

/**
 * Makes the writer of positions of single events: `formatEventPosition` for many. What the positions of a
 * partition begin with, and the checksum so far, are worked out once.
 */
export function createPositionWriter() {
  const begun = new Map<string, { epoch: number; text: string; hash: number }[]>()
  return function write(epoch: number, topic: string, partition: number, offset: number): string {
    let partitions = begun.get(topic)
    if (!partitions) {
      partitions = []
      begun.set(topic, partitions)
    }
    let begin = partitions[partition]
    if (begin?.epoch !== epoch) {
      const text = `${topic}~${epoch}~${partition}.`
      begin = { epoch, text, hash: fnv1a(text) }
      partitions[partition] = begin
    }
    const digits = String(offset)
    return `${begin.text}${digits}~${(fnv1a(digits, begin.hash) >>> 0).toString(36)}`
  }
}

/** Reads a position; undefined if it is damaged or none. */
export function parsePosition(text: string): Position | undefined {
  const cut = text.lastIndexOf('~')
  if (cut < 0 || checksum(text.slice(0, cut)) !== text.slice(cut + 1)) return undefined
  const parts = text.slice(0, cut).split('~')
  if (parts.length !== 3) return undefined
  const [topic = '', epoch = '', list = ''] = parts
  if (!topic || !/^\d+$/.test(epoch) || !/^(\d+\.\d+(_\d+\.\d+)*)?$/.test(list)) return undefined
  const offsets = new Map<number, number>()
  for (const pair of list === '' ? [] : list.split('_')) {
    const [partition = '', offset = ''] = pair.split('.')
    offsets.set(Number(partition), Number(offset))
  }
  return { epoch: Number(epoch), topic, offsets }
}
