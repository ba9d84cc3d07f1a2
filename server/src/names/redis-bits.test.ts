import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBitWriter } from './redis-bits.ts'
import { SaltedPositions } from './salted-positions.ts'

const positions = new SaltedPositions({ bits: 10_000_000, hashes: 7 })
const writer = createBitWriter({ key: 'bitmap', positions })

async function groupsOf(keys: readonly string[]) {
  const groups = []
  for await (const commands of writer.commandsFor(keys)) groups.push(commands)
  return groups
}

const named = (count: number) => Array.from({ length: count }, (_, index) => `name ${index}`)

test('names go out by a thousand in a command, and as one bitmap as soon as that is shorter', async () => {
  assert.deepEqual(await groupsOf([]), [])
  const some = await groupsOf(named(2_500))
  assert.deepEqual(
    some.map((commands) => commands.map(([word]) => word)),
    [['BITFIELD'], ['BITFIELD'], ['BITFIELD']],
  )
  assert.deepEqual(
    some.map(([command]) => command?.length),
    [1_000, 1_000, 500].map((keys) => 2 + keys * 7 * 4),
  )
  const [many, ...more] = await groupsOf(named(5_000))
  assert.deepEqual(more, [])
  assert.deepEqual(
    many?.map(([word]) => word),
    ['SET', 'BITOP', 'UNLINK'],
  )
})

test('a bitmap that Redis dropped before it was put on top is not taken for added', async () => {
  const [commands = []] = await groupsOf(named(5_000))
  writer.check(commands, ['OK', 1_250_000, 1])
  assert.throws(() => writer.check(commands, ['OK', 1_250_000, 0]), {
    name: 'BitmapUnavailable',
    reason: 'slow',
  })
  const [few = []] = await groupsOf(named(1))
  writer.check(few, [[0, 0, 0, 0, 0, 0, 0]])
})
