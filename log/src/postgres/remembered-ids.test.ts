import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { RememberedIds } from './remembered-ids.ts'

const asked = (ids: RememberedIds, id: string, askCurrent = false): number[] => {
  const generations: number[] = []
  ids.maybes(id, generations, askCurrent)
  return generations
}

test('the current generation is asked for an id that was appended here, hardly for another one, and once', () => {
  const ids = new RememberedIds(1_000)
  const appended = Array.from({ length: 1_000 }, () => randomUUID())
  for (const id of appended) {
    assert.deepEqual(asked(ids, id, true), [ids.current])
    ids.appended(id)
  }
  for (const id of appended) {
    assert.deepEqual(asked(ids, id), [ids.current])
    assert.deepEqual(asked(ids, id, true), [ids.current])
  }
  const others = Array.from({ length: 1_000 }, () => randomUUID())
  const needless = others.filter((id) => asked(ids, id).length > 0).length
  assert.ok(needless < 20, `${needless} of 1,000 unknown ids would be asked for`)
})
