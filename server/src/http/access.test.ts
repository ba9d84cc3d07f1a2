import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Caller, mayReadSubscriber, scopes } from './access.ts'

const held = new Set(scopes)
const key = (subscribers?: string): Caller => ({
  kind: 'key',
  id: 'k',
  name: 'user_1',
  scopes: held,
  subscribers,
})
const token: Caller = { kind: 'token', id: 't', name: 'user_1', scopes: held }
const session: Caller = { kind: 'session', id: 's', name: 'viewer', role: 'viewer', scopes: held }
const open: Caller = { kind: 'open', id: 'open', name: 'open', scopes: held }

test('a token reads the stream of the one subscriber it was made for, whatever its scopes', () => {
  assert.equal(mayReadSubscriber(token, 'user_1'), true)
  for (const other of ['user_2', 'user_10', 'user_', 'USER_1', '*', ''])
    assert.equal(mayReadSubscriber(token, other), false, other)
  assert.equal(mayReadSubscriber({ ...token, name: '*' }, 'user_1'), false, 'a sub is no pattern')
})

test('a key reads the streams that its pattern names, without one anyone’s; operators read all', () => {
  const cases: readonly [string, readonly string[], readonly string[]][] = [
    ['user_*', ['user_1', 'user_', 'user_a_b'], ['user', 'my_user_1', 'USER_1', '']],
    ['*', ['user_1', ''], []],
    ['user_1', ['user_1'], ['user_10', 'user_', '1']],
    ['*_eu', ['a_eu', '_eu'], ['a_eu_', 'eu']],
    ['a*b*c', ['abc', 'axbxc', 'abbc', 'abcbc'], ['acb', 'ab', 'bc', 'abcx']],
    ['ab*ba', ['abba', 'abxba'], ['aba']],
    ['a.c', ['a.c'], ['abc']],
    ['(a+)+$', ['(a+)+$'], ['a']],
  ]
  for (const [pattern, yes, no] of cases) {
    for (const subscriber of yes)
      assert.equal(mayReadSubscriber(key(pattern), subscriber), true, `${pattern} ${subscriber}`)
    for (const subscriber of no)
      assert.equal(mayReadSubscriber(key(pattern), subscriber), false, `${pattern} ${subscriber}`)
  }
  for (const caller of [key(), session, open]) assert.equal(mayReadSubscriber(caller, 'anyone'), true)
})

test('a stream of no subscriber is for those whom no pattern binds', () => {
  assert.equal(mayReadSubscriber(key('*'), undefined), false)
  for (const caller of [key(), session, open]) assert.equal(mayReadSubscriber(caller, undefined), true)
})

test('a token brings filters of its own only if it carries one that bounds them, or may read every event', () => {
  const reader: Caller = { ...token, scopes: new Set(['stream:read', 'filters:write']) }
  assert.equal(mayReadSubscriber(reader, undefined), false)
  const bounded = { ...reader, filter: { expression: 'user_id = "ann"' } }
  assert.equal(mayReadSubscriber(bounded, undefined), true)
  const everything = { ...reader, scopes: new Set(['stream:read', 'events:read'] as const) }
  assert.equal(mayReadSubscriber(everything, undefined), true)
})

test('a pattern matches as the regular expression does that it stands for', () => {
  const letters = fc.array(fc.constantFrom('a', 'b', '*'), { maxLength: 8 }).map((parts) => parts.join(''))
  const texts = fc.array(fc.constantFrom('a', 'b'), { maxLength: 10 }).map((parts) => parts.join(''))
  fc.assert(
    fc.property(letters, texts, (pattern, text) => {
      const slow = new RegExp(`^${pattern.replaceAll(/\*+/g, '[ab]*')}$`)
      assert.equal(mayReadSubscriber(key(pattern), text), slow.test(text))
    }),
    { numRuns: 2_000 },
  )
})
