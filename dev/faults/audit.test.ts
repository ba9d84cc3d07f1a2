import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type AuditedRow, compare, type Findings, violationsOf } from './audit.ts'
import { Ledger } from './ledger.ts'
import { randomOf } from './random.ts'

const keys = ['a', 'b', 'c']

/** What a sound server shows after 300 events of three keys, and what their producers know. */
function soundWorld(): { rows: AuditedRow[]; ledger: Ledger } {
  const ledger = new Ledger()
  const rows = Array.from({ length: 300 }, (_, n) => {
    const position = `events~1~${n % keys.length}.${Math.floor(n / keys.length)}~x`
    const row = { event_id: `id-${n}`, user_id: keys[n % keys.length] ?? '', position, properties: { n } }
    ledger.unknown.add(row.event_id)
    // Every tenth answer was lost: its event may be there or not.
    if (n % 10 !== 0) ledger.ack(row.event_id, position)
    return row
  })
  return { rows: rows.filter((_, n) => n % 20 !== 0), ledger }
}

const counts = (findings: Findings) => Object.fromEntries(violationsOf(findings))
const none = { lost: 0, duplicated: 0, invented: 0, reordered: 0, receiptsChanged: 0, wrongAnswers: 0 }

test('a sound server has no violation, with or without the events whose answers were lost', () => {
  const { rows, ledger } = soundWorld()
  assert.deepEqual(counts(compare(rows, ledger)), none)
})

// Each bug is put into what a sound server shows, at a place that the seed decides.
const bugs: readonly {
  readonly name: string
  readonly plant: (world: ReturnType<typeof soundWorld>, at: number) => AuditedRow[]
  readonly found: Partial<typeof none>
}[] = [
  {
    name: 'an acknowledged event is dropped',
    plant: ({ rows, ledger }, at) => {
      const acked = rows.filter((row) => ledger.acked.has(row.event_id))
      return rows.filter((row) => row !== acked[at % acked.length])
    },
    found: { lost: 1 },
  },
  {
    name: 'an event is there a second time, later in its partition',
    plant: ({ rows }, at) => {
      const row = rows[at % rows.length] as AuditedRow
      const [partition] = row.position.split('~')[2]?.split('.') ?? []
      return [...rows, { ...row, position: `events~1~${partition}.9999~x` }]
    },
    found: { duplicated: 1, reordered: 1 },
  },
  {
    name: 'an event is there a second time at the same place',
    plant: ({ rows }, at) => [...rows, rows[at % rows.length] as AuditedRow],
    found: { duplicated: 1, reordered: 1 },
  },
  {
    name: 'an event is there that nobody sent',
    plant: ({ rows }) => [
      ...rows,
      { event_id: 'nobody', user_id: 'd', position: 'events~1~0.9999~x', properties: { n: 0 } },
    ],
    found: { invented: 1 },
  },
  {
    name: 'an event is kept that was refused',
    plant: ({ rows, ledger }, at) => {
      const { event_id } = rows[at % rows.length] as AuditedRow
      ledger.acked.delete(event_id)
      ledger.unknown.delete(event_id)
      ledger.refused.add(event_id)
      return rows
    },
    found: { invented: 1 },
  },
  {
    name: 'two events of a key change places',
    plant: ({ rows }, at) => {
      const ofKey = rows.filter((row) => row.user_id === keys[at % keys.length])
      const first = ofKey[at % (ofKey.length - 1)] as AuditedRow
      const second = ofKey[(at % (ofKey.length - 1)) + 1] as AuditedRow
      return rows.map((row) =>
        row === first
          ? { ...row, position: second.position }
          : row === second
            ? { ...row, position: first.position }
            : row,
      )
    },
    found: { reordered: 1 },
  },
  {
    name: 'a repeat is answered with another receipt',
    plant: ({ rows, ledger }, at) => {
      const acked = [...ledger.acked.keys()]
      ledger.ack(acked[at % acked.length] ?? '', 'events~1~0.4711~x')
      return rows
    },
    found: { receiptsChanged: 1 },
  },
  {
    name: 'a fault is answered with 500',
    plant: ({ rows, ledger }) => {
      ledger.wrongAnswers.push('500 {}')
      return rows
    },
    found: { wrongAnswers: 1 },
  },
]

for (const { name, plant, found } of bugs)
  test(`the audit finds it wherever it is: ${name}`, (t) => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    t.diagnostic(`seed ${seed}`)
    const random = randomOf(seed)
    for (let round = 0; round < 50; round++) {
      const world = soundWorld()
      const rows = plant(world, Math.floor(random() * 10_000))
      assert.deepEqual(counts(compare(rows, world.ledger)), { ...none, ...found })
    }
  })
