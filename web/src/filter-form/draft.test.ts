import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  conditionOf,
  draftFromText,
  draftOf,
  draftOfCondition,
  emptyDraft,
  textOf,
  written,
} from './draft.ts'

test('each form becomes the condition that it says', () => {
  assert.deepEqual(conditionOf(written({ form: 'expression', expression: ' user_id = "a" ' })), {
    expression: 'user_id = "a"',
  })
  assert.deepEqual(conditionOf(written({ form: 'pattern', pattern: '{"event_type":["a"]}' })), {
    pattern: { event_type: ['a'] },
  })
  const simple = { types: 'purchase, order.paid,', tiers: '', amount: '9.5' }
  assert.deepEqual(conditionOf(written({ form: 'simple', simple })), {
    event_types: ['purchase', 'order.paid'],
    user_tiers: null,
    min_amount: 9.5,
  })
})

test('what is no condition yet says why', () => {
  const flaw = (draft: Parameters<typeof conditionOf>[0]) => {
    const condition = conditionOf(draft)
    return 'flaw' in condition ? condition.flaw : undefined
  }
  assert.match(flaw(emptyDraft) ?? '', /expression first/)
  assert.match(flaw(written({ form: 'pattern', pattern: '{' })) ?? '', /not JSON yet/)
  assert.match(flaw(written({ form: 'pattern', pattern: '[1]' })) ?? '', /JSON object/)
  assert.match(flaw(written({ form: 'simple' })) ?? '', /event type/)
  const simple = { types: 'a', tiers: '', amount: 'many' }
  assert.match(flaw(written({ form: 'simple', simple })) ?? '', /not a number/)
})

test('a draft survives the address in every form, and a damaged address is an empty one', () => {
  const drafts = [
    written({ form: 'expression', expression: 'user_id = "a"' }),
    written({ form: 'pattern', pattern: '{"event_type":["a"]}' }),
    written({ form: 'simple', simple: { types: 'a, b', tiers: 'gold', amount: '1' } }),
  ]
  for (const draft of drafts) assert.deepEqual(draftFromText(draft.form, textOf(draft)), draft)
  assert.deepEqual(draftFromText('simple', '{').simple, { types: '', tiers: '', amount: '' })
  assert.equal(draftFromText('other', 'x').form, 'expression')
})

test('what the server worked out fills every form, and null where one cannot say it', () => {
  const forms = { expression: 'everything', pattern: null }
  assert.deepEqual(draftOf(forms, 'expression'), {
    form: 'expression',
    expression: 'everything',
    pattern: null,
    simple: null,
  })
  const all = draftOf(
    { event_types: ['a'], user_tiers: null, min_amount: 0, pattern: { event_type: ['a'] }, expression: 'x' },
    'simple',
  )
  assert.deepEqual(all.simple, { types: 'a', tiers: '', amount: '0' })
})

test('a condition opens in the form in which it was submitted, and says the same', () => {
  for (const condition of [
    { expression: 'user_id = "a"' },
    { pattern: { event_type: ['a'] } },
    { event_types: ['a', 'b'], user_tiers: ['gold'], min_amount: 3 },
    { event_types: ['a'], user_tiers: null, min_amount: null },
  ])
    assert.deepEqual(conditionOf(draftOfCondition(condition)), condition)
})
