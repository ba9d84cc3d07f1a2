/**
 * Imports a file of names. Names that are there stay whose they are, so importing again adds what is missing and nothing
 * else; no note of how far it came is needed.
 */
import { type Client, type NameImport, PulseError } from '@pulse/client'
import { limits } from '@pulse/protocol/limits'
import { type BadRecord, openBadRecords } from './bad-records.ts'
import { eachInOrder } from './in-order.ts'
import { type NameEntry, type NameFileOptions, openNameFile } from './name-file.ts'

export interface NamesRequest extends NameFileOptions {
  readonly file: string
  /** Names of a request, at most 50,000. */
  readonly batchNamesMax: number
  /** Requests under way at a time. */
  readonly inFlightMax: number
  /** Takes every name that is refused as a line of JSON. */
  readonly refusedFile?: string | undefined
}

export interface NamesNeeds {
  readonly client: Client
  readonly signal: AbortSignal
  /** Told after each request: bytes of the file and names that are done, of all bytes. */
  readonly onProgress: (done: { bytes: number; bytesTotal: number; names: number }) => void
}

export interface NamesResult {
  readonly added: number
  /** Names that were there before, or stand in the file twice. */
  readonly present: number
  readonly refused: number
  readonly seconds: number
  /** The first of those that were refused; the file has all. */
  readonly bad: readonly BadRecord[]
}

// Longer than a request of any size takes: one that is given up is still being worked on.
const requestMsMax = 120_000
const nameCharsMax = 1_024

/** Imports one file. Throws PulseError when the server cannot go on, CommandError, and the signal's reason. */
export async function importNames(needs: NamesNeeds, request: NamesRequest): Promise<NamesResult> {
  const startedAt = performance.now()
  const file = await openNameFile(request.file, request)
  await using refused = await openBadRecords(request.refusedFile, false)
  const done = { added: 0, present: 0, refused: 0 }
  await eachInOrder({
    items: inBatches(file.read(), request.batchNamesMax),
    inFlightMax: request.inFlightMax,
    signal: needs.signal,
    begin: (batch) => settle(needs, batch),
    settled: async (settled) => {
      done.added += settled.added
      done.present += settled.present
      done.refused += settled.bad.length
      await refused.add(settled.bad)
      const names = done.added + done.present + done.refused
      needs.onProgress({ bytes: settled.bytes, bytesTotal: file.bytes, names })
    },
  })
  return { ...done, seconds: (performance.now() - startedAt) / 1000, bad: refused.first }
}

interface Batch {
  readonly ready: readonly NameEntry[]
  readonly bad: readonly BadRecord[]
  /** Bytes of the file up to the end of the page in which it ends. */
  readonly bytes: number
}

interface Settled {
  readonly added: number
  readonly present: number
  readonly bad: readonly BadRecord[]
  readonly bytes: number
}

/** Puts names together until a request is full. */
async function* inBatches(
  pages: AsyncIterable<{ readonly entries: readonly NameEntry[]; readonly bytes: number }>,
  namesMax: number,
): AsyncGenerator<Batch> {
  let [ready, bad, room] = [[] as NameEntry[], [] as BadRecord[], limits.bodyBytesMax / 2]
  let done = 0
  for await (const { entries, bytes } of pages) {
    done = bytes
    for (const entry of entries) {
      const problem = entry.problem ?? (entry.text.length > nameCharsMax ? tooLong : undefined)
      if (problem !== undefined) {
        bad.push(badRecord(entry, problem))
        continue
      }
      // What JSON makes of most characters; where a request is too long all the same it is cut in halves.
      const size = entry.text.length * 3 + 3
      if (ready.length >= namesMax || size > room) {
        yield { ready, bad, bytes }
        ;[ready, bad, room] = [[], [], limits.bodyBytesMax / 2]
      }
      ready.push(entry)
      room -= size
    }
  }
  if (ready.length + bad.length > 0) yield { ready, bad, bytes: done }
}

const tooLong = `is longer than ${nameCharsMax.toLocaleString('en-US')} characters`

const badRecord = ({ line, record, text }: NameEntry, reason: string): BadRecord => ({
  ...{ line, record, reason },
  text: text.length > nameCharsMax ? `${text.slice(0, nameCharsMax)}…` : text,
})

async function settle(needs: NamesNeeds, { ready, bad, bytes }: Batch): Promise<Settled> {
  if (ready.length === 0) return { added: 0, present: 0, bad, bytes }
  const { added, present, refused } = await send(needs, ready)
  const all = [...bad, ...refused].sort((one, other) => one.record - other.record)
  return { added, present, bad: all, bytes }
}

type Outcome = Omit<Settled, 'bad' | 'bytes'> & { readonly refused: readonly BadRecord[] }

/** Sends names; where a request is too long after all, in halves. */
async function send(needs: NamesNeeds, entries: readonly NameEntry[]): Promise<Outcome> {
  let answer: NameImport
  try {
    const { client, signal } = needs
    answer = await client.names.import(
      entries.map(({ text }) => text),
      { signal, timeoutMsMax: requestMsMax },
    )
  } catch (error) {
    if (!(error instanceof PulseError) || error.status !== 413 || entries.length === 1) throw error
    const [before, behind] = await inHalves(needs, entries)
    return {
      added: before.added + behind.added,
      present: before.present + behind.present,
      refused: [...before.refused, ...behind.refused],
    }
  }
  const { added, present, refused } = answer
  const bad = refused.flatMap(({ index, reason }) => {
    const entry = entries[index]
    return entry ? [badRecord(entry, reason)] : []
  })
  return { added, present, refused: bad }
}

async function inHalves(needs: NamesNeeds, entries: readonly NameEntry[]): Promise<[Outcome, Outcome]> {
  const half = entries.length >> 1
  const before = await send(needs, entries.slice(0, half))
  return [before, await send(needs, entries.slice(half))]
}
