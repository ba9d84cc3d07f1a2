import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAnswer } from './answer-parser.ts'

const answers: [string, string, ReturnType<typeof parseAnswer>][] = [
  [
    'a body with a length',
    'HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}',
    { status: 202, length: 46, keepAlive: true },
  ],
  [
    'a chunked body',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
    { status: 200, length: 79, keepAlive: false },
  ],
  ['no body', 'HTTP/1.1 204 No Content\r\n\r\n', { status: 204, length: 27, keepAlive: true }],
  ['an interim answer', 'HTTP/1.1 100 Continue\r\n\r\n', { status: 100, length: 25, keepAlive: true }],
]

for (const [name, text, expected] of answers)
  test(`an answer is read when it is complete and not before: ${name}`, () => {
    const bytes = Buffer.from(text)
    for (let end = 0; end < bytes.length; end++) assert.equal(parseAnswer(bytes.subarray(0, end)), undefined)
    assert.deepEqual(parseAnswer(Buffer.concat([bytes, Buffer.from('HTTP')])), expected)
  })

test('what is not HTTP is refused', () => {
  for (const text of ['SSH-2.0-x\r\n\r\n', 'HTTP/1.1 abc\r\n\r\n', 'HTTP/1.1 200 OK\r\n\r\n'])
    assert.throws(() => parseAnswer(Buffer.from(text)))
})
