import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Gate } from './gate.ts'
import { Remembered } from './remembered.ts'

const never = new AbortController().signal

test('a gate lets so many in at a time, the next one in turn, and sends away who has waited too long', async () => {
  const gate = new Gate(1)
  const first = Promise.withResolvers<void>()
  const order: string[] = []
  const running = gate.run(never, () => first.promise)
  const tired = new AbortController()
  const left = gate.run(tired.signal, async () => order.push('left'))
  const second = gate.run(never, async () => order.push('second'))
  tired.abort()
  await assert.rejects(left, { code: 'query_timeout' })
  await assert.rejects(
    gate.run(tired.signal, async () => order.push('late')),
    { code: 'query_timeout' },
  )
  assert.deepEqual(order, [])
  first.resolve()
  await Promise.all([running, second])
  await assert.rejects(
    gate.run(never, () => Promise.reject(new Error('its own'))),
    /its own/,
  )
  assert.equal(await gate.run(never, async () => 'free again'), 'free again')
  assert.deepEqual(order, ['second'])
})

test('what is remembered is asked for once for all; a failure is told, or hidden by the last answer', async () => {
  let asked = 0
  let fails = true
  const remembered = new Remembered(-1, async () => {
    asked++
    if (fails) throw new Error('away')
    return asked
  })
  await assert.rejects(remembered.get(), /away/)
  fails = false
  assert.deepEqual(await Promise.all([remembered.get(), remembered.get()]), [2, 2])
  fails = true
  assert.equal(await remembered.get(), 2)
  assert.equal(asked, 3)
})
