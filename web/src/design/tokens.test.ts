import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { contrast, readTokens } from './contrast.ts'

const tokens = readTokens(readFileSync(new URL('./tokens.css', import.meta.url), 'utf8'))

const grounds = ['canvas', 'surface', 'sunken', 'raised', 'hover']
const across = (inks: readonly string[], on: readonly string[]) =>
  inks.flatMap((ink) => on.map((ground) => [ink, ground] as const))

// WCAG 2.2 AA, 1.4.3: text against what it stands on.
const textPairs = [
  ...across(['ink', 'muted', 'faint', 'accent', 'accent-hover'], grounds),
  ...across(['ok', 'warn', 'bad'], ['canvas', 'surface', 'raised', 'hover']),
  ['on-accent', 'accent'] as const,
  ['on-accent', 'accent-hover'] as const,
  ['accent', 'accent-soft'] as const,
  ['ink', 'accent-soft'] as const,
  ['muted', 'accent-soft'] as const,
  ['ok', 'ok-soft'] as const,
  ['warn', 'warn-soft'] as const,
  ['bad', 'bad-soft'] as const,
  ...across(['ink', 'muted'], ['ok-soft', 'warn-soft', 'bad-soft']),
]

// 1.4.11: bounds of controls, focus rings and lines of charts against what they stand on.
const shapePairs = [
  ...across(['edge', 'focus'], grounds),
  ...across(['series-1', 'series-2', 'series-3', 'series-4', 'series-5'], ['surface', 'canvas']),
]

for (const theme of ['light', 'dark'] as const) {
  const judge = (pairs: readonly (readonly [string, string])[], least: number) =>
    pairs.flatMap(([ink, ground]) => {
      const one = tokens.get(ink)
      const other = tokens.get(ground)
      assert.ok(one && other, `tokens.css has no ${ink} or no ${ground}`)
      const ratio = contrast(one[theme], other[theme])
      return ratio >= least ? [] : [`${ink} on ${ground}: ${ratio.toFixed(2)} < ${least}`]
    })

  test(`text keeps 4.5:1 against its ground in the ${theme} theme`, () => {
    assert.deepEqual(judge(textPairs, 4.5), [])
  })

  test(`edges, focus rings and chart lines keep 3:1 in the ${theme} theme`, () => {
    assert.deepEqual(judge(shapePairs, 3), [])
  })
}

test('contrast is computed as WCAG defines it', () => {
  assert.equal(contrast('#000000', '#ffffff'), 21)
  assert.equal(contrast('#777777', '#777777'), 1)
  assert.equal(contrast('#767676', '#ffffff').toFixed(2), '4.54')
})

test('every colour token is written for both themes, so that none is skipped by these tests', () => {
  const css = readFileSync(new URL('./tokens.css', import.meta.url), 'utf8')
  const declared = [...css.matchAll(/^\s*--([a-z0-9-]+):/gm)].map((match) => match[1] ?? '')
  const computed = ['shadow', 'shadow-over', 'backdrop']
  assert.deepEqual(
    declared.filter((name) => !tokens.has(name) && !computed.includes(name)),
    [],
  )
})
