import assert from 'node:assert/strict'
import { test } from 'node:test'
import { submittedEventSchema } from '@pulse/protocol/event'
import { firstEventSnippets } from './snippets.ts'

test('the body that the curl sends is a valid event', () => {
  const curl = firstEventSnippets('http://127.0.0.1:8000', { kind: 'file' })[0]?.text ?? ''
  const body = /-d '(.*)'/.exec(curl)?.[1] ?? ''
  assert.equal(submittedEventSchema.parse(JSON.parse(body)).event_type, 'purchase')
  assert.match(curl, /^curl http:\/\/127\.0\.0\.1:8000\/events /)
})

test('without a key no secret is shown: the shell reads it from the data folder', () => {
  for (const { name, text } of firstEventSnippets('http://h', { kind: 'file' })) {
    if (name !== 'CLI') assert.match(text, /pulse-data\/key/)
  }
  assert.match(firstEventSnippets('http://h', { kind: 'key', key: 'pk_1' })[0]?.text ?? '', /Bearer pk_1"/)
})

test('a server that asks for no key is given none', () => {
  for (const { text } of firstEventSnippets('http://h', { kind: 'none' }))
    assert.doesNotMatch(text, /Bearer|credential|key/)
})
