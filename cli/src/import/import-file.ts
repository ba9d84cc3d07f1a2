/**
 * Imports a file of records as events. Every event has an id that depends on the file alone, so importing again
 * adds nothing; and a note of how far it came lets the same import go on where it was interrupted.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import type { Client } from '@pulse/client'
import { pause } from '../cli.ts'
import { exitCodes } from '../exit-code.ts'
import { CommandError } from '../failure.ts'
import { unreadable } from '../unreadable.ts'
import { type BadRecord, openBadRecords } from './bad-records.ts'
import { type Batch, inBatches } from './batches.ts'
import { type ImportCounts, type ImportState, openImportState } from './import-state.ts'
import { eachInOrder } from './in-order.ts'
import { compileMapping, type Mapping, type ToEvent } from './mapping.ts'
import { createPace, timeSpanOf } from './pace.ts'
import { type Format, openRecords } from './records.ts'
import { addCounts, sendBatch } from './send-batch.ts'

export interface ImportRequest {
  readonly file: string
  readonly format?: Format | undefined
  /** Between the fields of CSV; a comma when left out. */
  readonly delimiter?: string | undefined
  readonly mapping: Mapping
  /** Events of a request, at most 5,000; default 1,000. */
  readonly batchEventsMax?: number | undefined
  /** Requests under way at a time. More than 1 is faster, but no longer keeps the order of the file. Default 1. */
  readonly inFlightMax?: number | undefined
  /** Takes every bad record as a line of JSON. */
  readonly errorsFile?: string | undefined
  /** Sends each event when it is due by its own timestamp, rather than at once. */
  readonly replay?: { readonly overMs?: number | undefined } | undefined
  /** Part of the ids: the same records under another name are other events. */
  readonly again?: string | undefined
}

export interface ImportNeeds {
  readonly client: Client
  readonly signal: AbortSignal
  /** Where notes of unfinished imports lie. */
  readonly stateFolder: string
  /** Told after each batch: bytes of the file and events that are done, of all bytes. */
  readonly onProgress: (done: ImportProgress) => void
}

export interface ImportProgress {
  readonly bytes: number
  readonly bytesTotal: number
  readonly events: number
  /** What an earlier run had done. */
  readonly before: { readonly bytes: number; readonly events: number }
}

export interface ImportResult extends ImportCounts {
  readonly seconds: number
  /** Number of records that an earlier, interrupted run had done. */
  readonly resumedAfter: number
  /** The first bad records; the errors file has all. */
  readonly bad: readonly BadRecord[]
}

/**
 * Imports one file and says what became of its records. Throws PulseError when the server cannot go on,
 * CommandError when the file or mapping is not usable, and the signal's reason; after each of them the same
 * request goes on where this one stopped.
 */
export async function importFile(needs: ImportNeeds, request: ImportRequest): Promise<ImportResult> {
  const startedAt = performance.now()
  const digest = await digestOf(request.file, needs.signal)
  const source = await openRecords(request.file, request)
  const toEvent = compile(request, digest, source.columns)
  const identity = {
    digest,
    url: needs.client.url,
    mapping: request.mapping,
    format: source.format,
    delimiter: request.delimiter,
    again: request.again,
  }
  const stateFile = openImportState(needs.stateFolder, identity)
  const earlier = await stateFile.load()
  await using badRecords = await openBadRecords(request.errorsFile, earlier !== undefined)
  const done = createTally(earlier?.counts)
  const before = { bytes: earlier?.place.offset ?? 0, events: done.total() }

  const { replay } = request
  const batches = inBatches(source.read(earlier?.place), toEvent, {
    eventsMax: request.batchEventsMax ?? 1_000,
    pace: replay && createPace(await timeSpanOf(source.read(), toEvent), replay.overMs),
    wait: (ms) => pause(ms, needs.signal),
  })
  // After a failure the verdicts of what was under way are not noted, and a repetition asks for them again.
  await eachInOrder({
    items: batches,
    inFlightMax: request.inFlightMax ?? 1,
    signal: needs.signal,
    begin: (batch) => settle(needs, batch),
    settled: async (settled) => {
      done.add(settled.counts)
      await badRecords.add(settled.bad)
      await stateFile.save({ place: settled.place, counts: done.counts() })
      needs.onProgress({
        bytes: settled.place.offset,
        bytesTotal: source.bytes,
        events: done.total(),
        before,
      })
    },
  })
  await stateFile.clear()
  const seconds = (performance.now() - startedAt) / 1000
  return { ...done.counts(), seconds, resumedAfter: earlier?.place.record ?? 0, bad: badRecords.first }
}

interface Settled extends ImportState {
  readonly bad: readonly BadRecord[]
}

async function settle({ client, signal }: ImportNeeds, { ready, bad, place }: Batch): Promise<Settled> {
  const outcome = await sendBatch(client, ready, { signal })
  const counts = addCounts(outcome.counts, { accepted: 0, duplicates: 0, rejected: bad.length })
  return { place, counts, bad: [...bad, ...outcome.bad].sort((one, other) => one.record - other.record) }
}

function createTally(from: ImportCounts = { accepted: 0, duplicates: 0, rejected: 0 }) {
  let counts = from
  return {
    add: (more: ImportCounts) => {
      counts = addCounts(counts, more)
    },
    counts: () => counts,
    total: () => counts.accepted + counts.duplicates + counts.rejected,
  }
}

async function digestOf(file: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  try {
    for await (const chunk of createReadStream(file, { signal, highWaterMark: 1024 * 1024 }))
      hash.update(chunk)
  } catch (error) {
    signal.throwIfAborted()
    throw unreadable(file, error)
  }
  return hash.digest('hex')
}

/** Compiles the mapping and checks its column names against the header. Throws CommandError. */
function compile(
  { file, mapping, again }: ImportRequest,
  digest: string,
  columns: readonly string[] | undefined,
): ToEvent {
  const named = [
    ...Object.values(mapping.map ?? {}),
    ...(mapping.properties ?? []),
    ...(mapping.text ?? []),
    mapping.id,
  ]
  const missing = named.find((name) => name !== undefined && columns !== undefined && !columns.includes(name))
  if (missing !== undefined)
    throw new CommandError(
      exitCodes.usage,
      `${file} has no column '${missing}'; it has ${columns?.join(', ')}`,
    )
  try {
    return compileMapping(mapping, { seed: digest, typed: columns !== undefined, again })
  } catch (error) {
    if (error instanceof RangeError) throw new CommandError(exitCodes.usage, error.message)
    throw error
  }
}
