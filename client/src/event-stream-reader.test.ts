import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { EventStreamReader, type ServerMessage } from './event-stream-reader.ts'

const whole = (text: string): readonly ServerMessage[] => new EventStreamReader().read(text)

test('messages are read as the standard says: names, ids that stay, several lines, comments', () => {
  const text =
    '\uFEFFretry: 2000\n\n: still there\n\nid: a\ndata: {"x":1}\n\nevent: gap\ndata: 1\ndata:2\nunknown: y\n\ndata\n\nid\ndata: z\n\nevent: lost\n\n'
  assert.deepEqual(whole(text), [
    { event: 'message', data: '{"x":1}', id: 'a' },
    { event: 'gap', data: '1\n2', id: 'a' },
    { event: 'message', data: '', id: 'a' },
    { event: 'message', data: 'z', id: '' },
  ])
})

test('the wait that a server asks for is kept, and one that is no number is not', () => {
  const reader = new EventStreamReader()
  reader.read('retry: 2500\n\nretry: soon\n\n')
  assert.equal(reader.retryMs, 2500)
})

test('a message that has no end yet waits for it', () => {
  const reader = new EventStreamReader()
  assert.deepEqual(reader.read('data: on'), [])
  assert.deepEqual(reader.read('e\n'), [])
  assert.deepEqual(reader.read('\n'), [{ event: 'message', data: 'one', id: '' }])
})

test('wherever the text is cut and however its lines end, the same messages come out', () => {
  const line = fc.oneof(
    fc.string().map((text) => `data: ${text.replace(/[\r\n]/g, '')}`),
    fc.string().map((text) => `id:${text.replace(/[\r\n]/g, '')}`),
    fc.constantFrom('', '', ': comment', 'event: gap', 'retry: 5'),
  )
  const ended = fc.tuple(fc.array(line, { maxLength: 20 }), fc.constantFrom('\n', '\r\n', '\r'))
  fc.assert(
    fc.property(ended, fc.array(fc.nat(30)), ([lines, end], cuts) => {
      const text = `${lines.join(end)}${end}${end}.`
      const reader = new EventStreamReader()
      const found: ServerMessage[] = []
      let from = 0
      for (const cut of cuts) {
        found.push(...reader.read(text.slice(from, from + cut)))
        from += cut
      }
      found.push(...reader.read(text.slice(from)))
      assert.deepEqual(found, whole(text.replaceAll(/\r\n?/g, '\n')))
    }),
  )
})
