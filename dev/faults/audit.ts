import assert from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'
import type { Ledger } from './ledger.ts'

/** What an audit found; every list must be empty. */
export interface Findings {
  /** Acknowledged and not there. */
  readonly lost: readonly string[]
  /** There more than once. */
  readonly duplicated: readonly string[]
  /** There, though nobody sent it or it was refused. */
  readonly invented: readonly string[]
  /** Events of one key that stand in another order than they were acknowledged in. */
  readonly reordered: readonly string[]
  /** Events whose receipt changed when they were sent again. */
  readonly receiptsChanged: readonly string[]
  /** Answers that are neither success nor a refusal that says when to come back. */
  readonly wrongAnswers: readonly string[]
  /** Rows that were found. */
  readonly rows: number
}

/** An event as `GET /events` shows it; its number grows within its key. */
export interface AuditedRow {
  readonly event_id: string
  readonly user_id: string
  readonly position: string
  readonly properties: { readonly n: number }
}

interface Server {
  readonly url: string
  readonly key: string
}

const get = async (server: Server, path: string) => {
  const answer = await fetch(`${server.url}${path}`, { headers: { authorization: `Bearer ${server.key}` } })
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  return await answer.json()
}

/** Waits until everything that was accepted is processed. Rejects when that takes too long. */
export async function untilQuiet(server: Server, msMax = 60_000): Promise<void> {
  const deadline = performance.now() + msMax
  let quiet = 0
  while (quiet < 3) {
    // Measured once a second in the background: three looks at different measurements must agree.
    const { backlog, pending_messages } = (await get(server, '/metrics/summary')) as {
      backlog: { events: number | null }
      pending_messages: number | null
    }
    quiet = backlog.events === 0 && pending_messages === 0 ? quiet + 1 : 0
    if (performance.now() > deadline)
      throw new Error(`still ${backlog.events} events behind after ${msMax} ms`)
    await pause(600)
  }
}

/** Compares what the server shows with what the producers know. Rejects if the server does not answer. */
export async function audit(server: Server, ledger: Ledger): Promise<Findings> {
  return compare(await readRows(server), ledger)
}

/** The comparison itself; `audit.test.ts` plants bugs to see that each is found. */
export function compare(rows: readonly AuditedRow[], ledger: Ledger): Findings {
  const counts = new Map<string, number>()
  for (const row of rows) counts.set(row.event_id, (counts.get(row.event_id) ?? 0) + 1)
  return {
    lost: [...ledger.acked.keys()].filter((id) => !counts.has(id)),
    duplicated: [...counts].filter(([, count]) => count > 1).map(([id]) => id),
    invented: [...counts.keys()].filter((id) => !ledger.acked.has(id) && !ledger.unknown.has(id)),
    reordered: reordered(rows),
    receiptsChanged: ledger.receiptsChanged,
    wrongAnswers: ledger.wrongAnswers,
    rows: rows.length,
  }
}

/** How many violations of each kind there are; nought of each is what is promised. */
export function violationsOf(findings: Findings): [kind: string, count: number][] {
  const { rows: _, ...kinds } = findings
  return Object.entries(kinds).map(([kind, ids]) => [kind, ids.length])
}

/** Throws AssertionError that names what was found, unless nothing was. */
export function assertNoViolation(findings: Findings): void {
  const { rows: _, ...kinds } = findings
  const found = Object.entries(kinds).filter(([, ids]) => ids.length > 0)
  assert.deepEqual(Object.fromEntries(found), {})
}

/** Every event that the API shows. Rejects if the server does not answer. */
export async function readRows(server: Server): Promise<AuditedRow[]> {
  const rows: AuditedRow[] = []
  let cursor: string | null = null
  do {
    const query: string = cursor === null ? '' : `&cursor=${cursor}`
    const page = (await get(server, `/events?limit=1000${query}`)) as {
      data: AuditedRow[]
      cursor: string | null
    }
    rows.push(...page.data)
    cursor = page.cursor
  } while (cursor !== null)
  return rows
}

// A position is topic~epoch~partition.offset~checksum; a key has one partition, and its numbers must grow with the offset.
function reordered(rows: readonly AuditedRow[]): string[] {
  const offsetOf = (row: AuditedRow) => Number(row.position.split('~')[2]?.split('.')[1])
  const keys = Map.groupBy(rows, (row) => row.user_id)
  const wrong: string[] = []
  for (const ofKey of keys.values()) {
    const sorted = ofKey.toSorted((a, b) => offsetOf(a) - offsetOf(b))
    sorted.forEach((row, i) => {
      const before = sorted[i - 1]
      if (before && before.properties.n >= row.properties.n) wrong.push(row.event_id)
    })
  }
  return wrong
}
