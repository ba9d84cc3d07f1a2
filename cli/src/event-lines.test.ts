import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Event } from '@pulse/protocol/event'
import { createEventLines } from './event-lines.ts'
import type { Style } from './terminal.ts'

const plain = (interactive: boolean) => ({ interactive, style: (_style: Style, text: string) => text })

const event = (members: Partial<Event>): Event => ({
  event_id: '0193c1a8-5a44-7c7e-9a51-0d8e3f1c2b4a',
  event_type: 'purchase',
  user_id: 'u1',
  timestamp: '2026-11-21T10:00:00.000123Z',
  properties: {},
  source: null,
  schema_version: 1,
  ...members,
})

test('an event is one line: time, type, user, id, and properties as they are written on the command line', () => {
  const lineOf = createEventLines(plain(false), 80)
  assert.equal(
    lineOf(
      event({ properties: { amount: 42, city: 'Köln', note: 'a b', empty: '', list: [1], none: null } }),
    ),
    '2026-11-21 10:00:00Z  purchase      u1        0193c1a8-5a44-7c7e-9a51-0d8e3f1c2b4a  amount=42 city=Köln note="a b" empty="" list=[1] none=null',
  )
  assert.match(lineOf(event({ user_id: null })), / {2}– {9}0193c1a8-.* {2}–$/)
})

test('columns stay below each other once they have grown', () => {
  const lineOf = createEventLines(plain(false), undefined)
  lineOf(event({ event_type: 'a.type.that.is.longer' }))
  assert.match(lineOf(event({})), /^\S+ \S+ {2}purchase {15}u1 /)
})

test('where a person watches, properties are cut to the width, and never the id', () => {
  const properties = { text: 'x'.repeat(500) }
  const line = createEventLines(plain(true), 140)(event({ properties }))
  assert.equal(line.length, 140)
  assert.match(line, /0193c1a8-5a44-7c7e-9a51-0d8e3f1c2b4a {2}text=x+…$/)
  assert.ok(createEventLines(plain(false), 140)(event({ properties })).length > 500)
})

test('what came from outside cannot steer the terminal', () => {
  const line = createEventLines(
    plain(false),
    undefined,
  )(event({ event_type: 'a\u001b[2J', user_id: '\u202eu', properties: { 'n\u0007': 'v\u001b' } }))
  assert.doesNotMatch(line, /[\p{Cc}\p{Bidi_Control}]/u)
})
