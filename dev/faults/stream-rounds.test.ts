import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type AuditedRow, compare, type Findings, violationsOf } from './audit.ts'
import { Ledger } from './ledger.ts'
import { compareStreams, type Follower } from './stream-rounds.ts'

/** Rows of a sound server in two partitions, and a follower of those with an even number who got each once. */
function soundWorld(): { rows: AuditedRow[]; ids: string[]; wrong: string[] } {
  const rows = Array.from({ length: 40 }, (_, n) => ({
    event_id: `id-${n}`,
    user_id: `key-${n % 2}`,
    position: `events~1~${n % 2}.${Math.floor(n / 2)}~x`,
    properties: { n },
  }))
  // Between partitions any order will do: here one after the other.
  const wanted = rows.filter(({ properties: { n } }) => n % 4 < 2)
  const ids = wanted.toSorted((a, b) => a.user_id.localeCompare(b.user_id)).map(({ event_id }) => event_id)
  return { rows, ids, wrong: [] }
}

function found({ rows, ids, wrong }: ReturnType<typeof soundWorld>): Partial<Record<string, number>> {
  const ledger = new Ledger()
  for (const { event_id, position } of rows) ledger.ack(event_id, position)
  const follower: Follower = {
    name: 'a follower',
    accepts: ({ properties: { n } }) => n % 4 < 2,
    following: { ids, wrong, connections: 1, position: '' },
  }
  const findings: Findings = compareStreams([follower], rows, compare(rows, ledger))
  return Object.fromEntries(violationsOf(findings).filter(([, count]) => count > 0))
}

test('a subscriber that got what it should, each event once and in order, has no violation', () => {
  assert.deepEqual(found(soundWorld()), {})
})

// Each bug is put into what a subscriber received.
const bugs: readonly {
  readonly name: string
  readonly plant: (world: ReturnType<typeof soundWorld>) => void
  readonly found: Readonly<Record<string, number>>
}[] = [
  { name: 'an event is missed', plant: ({ ids }) => void ids.splice(7, 1), found: { lost: 1 } },
  { name: 'the last event is missed', plant: ({ ids }) => void ids.pop(), found: { lost: 1 } },
  { name: 'an event comes again', plant: ({ ids }) => void ids.push('id-0'), found: { duplicated: 1 } },
  {
    name: 'an event comes that does not match',
    plant: ({ ids }) => void ids.push('id-39'),
    found: { invented: 1 },
  },
  {
    name: 'an event comes that nobody sent',
    plant: ({ ids }) => void ids.push('id-x'),
    found: { invented: 1 },
  },
  {
    name: 'two events of a partition change places',
    plant: ({ ids }) => void ids.splice(3, 2, ids[4] ?? '', ids[3] ?? ''),
    found: { reordered: 1 },
  },
  { name: 'a chain breaks', plant: ({ wrong }) => void wrong.push('a hole'), found: { wrongAnswers: 1 } },
]

for (const bug of bugs)
  test(`the audit of subscribers finds that ${bug.name}`, () => {
    const world = soundWorld()
    bug.plant(world)
    assert.deepEqual(found(world), bug.found)
  })
