import assert from 'node:assert/strict'
import { test } from 'node:test'
import { holdLines } from './held-lines.ts'

test('lines wait for their release, keep their order, and then pass at once', () => {
  const written: string[] = []
  const lines = holdLines({ write: (line) => written.push(line) }, 60_000)
  lines.write('one\n')
  lines.write('two\n')
  assert.deepEqual(written, [])
  lines.release()
  lines.release()
  lines.write('three\n')
  assert.deepEqual(written, ['one\n', 'two\n', 'three\n'])
})

test('a release that does not come is not waited for', { timeout: 10_000 }, async () => {
  // The timer of the lines itself keeps no process alive.
  const alive = setInterval(() => {}, 1_000)
  const line = await new Promise((resolve) => holdLines({ write: resolve }, 20).write('late start\n'))
  clearInterval(alive)
  assert.equal(line, 'late start\n')
})
