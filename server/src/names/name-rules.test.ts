import assert from 'node:assert/strict'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { ConfigError } from '../config/config.ts'
import { type NameRules, openNameRules, SettledChanges } from './name-rules.ts'
import { type NameProfile, normalForm } from './normal-form.ts'

const routeWords = ['events', 'dead-letters', 'livez', 'ui', '']

interface World {
  readonly rules: NameRules
  readonly path: string
  /** What was logged, the oldest first. */
  readonly lines: readonly { readonly level: number; readonly msg: string }[]
  readonly metrics: Registry
  refusalOf(name: string): string | undefined
}

/** Rules with a file, if it is given a text, looked at again every few milliseconds. */
async function openWorld(t: TestContext, text?: string, profile: NameProfile = 'username'): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'pulse-name-rules-'))
  t.after(() => rm(folder, { recursive: true }))
  const file = join(folder, 'rules.json')
  if (text !== undefined) await writeFile(file, text)
  const lines: { level: number; msg: string }[] = []
  const logger = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) })
  const path = text === undefined ? undefined : file
  const metrics = new Registry()
  const rules = await openNameRules({ path, routeWords, profile, logger, metrics, pollMs: 5 })
  t.after(() => rules[Symbol.asyncDispose]())
  return {
    rules,
    path: file,
    lines,
    metrics,
    refusalOf: (name) => rules.refusalOf(normalForm(name, profile)),
  }
}

const ofRules = (rules: object): string => JSON.stringify(rules)

/** Waits for what must come; the runner's time limit ends a wait for what does not. */
async function until(holds: () => boolean, t: TestContext): Promise<void> {
  while (!holds()) {
    t.signal.throwIfAborted()
    await setImmediate()
  }
}

function assertRefusals(world: World, expected: Readonly<Record<string, readonly string[]>>): void {
  for (const [refusal, names] of Object.entries(expected))
    for (const name of names) assert.equal(world.refusalOf(name) ?? 'free', refusal, name)
}

test('nobody can have the name of an office, a mailbox, a machine, a value, a page or an address of the product', async (t) => {
  assertRefusals(await openWorld(t), {
    reserved: [
      ...[
        'admin',
        'Admin',
        'ROOT',
        'support',
        'abuse',
        'postmaster',
        'webmaster',
        'hostmaster',
        'security',
        'www',
      ],
      ...[
        'api',
        'null',
        'undefined',
        'everyone',
        'here',
        'channel',
        'settings',
        'mailer-daemon',
        '.well-known',
        'me',
      ],
      ...['events', 'dead-letters', 'livez', 'ui'],
    ],
    free: [
      'ada',
      'admin-friend',
      'rooted',
      'heretic',
      'team-ada',
      'm3',
      'x',
      '*',
      'euna.little',
      'Dorthy71',
      '字',
    ],
  })
})

test('what can be taken for a reserved name is refused, and words that are near it by chance are not', async (t) => {
  assertRefusals(await openWorld(t), {
    reserved: [
      ...[
        '4dm1n',
        'adm!n',
        'a.d.m.i.n',
        '_admin_',
        'ad-min',
        'adrnin',
        'ádmin',
        'ADMlN',
        'r00t',
        'supp0rt',
        '$ystem',
      ],
      // Cyrillic, Greek, Armenian, small capitals; in capitals other letters look alike.
      ...['аdmin', 'АDMIN', 'rооt', 'ѕесurіtу', 'sυpport', 'ΝULL', 'ΝOΒODY', 'ᴀᴅᴍɪɴ', 'suppоrt', 'հelp'],
      ...['nu11', 'nuII', 'heIp', 'dead_letters', 'dead1etters', '1ivez', 'deadletters'],
    ],
    // Words, first names, numbers, short ones, and names that only begin like reserved ones.
    free: [
      'mall',
      'flies',
      'mali',
      'pope',
      'seif',
      '54135',
      '7007',
      'm.e',
      'ap1',
      'admin2',
      'administer',
      'μαρία',
      'анна',
    ],
  })
})

test('offensive words are refused alone, and within others only where they are no chance', async (t) => {
  assertRefusals(await openWorld(t), {
    offensive: [
      ...['fuck', 'FuckYou', 'big_fuck', 'motherfucker99', 'f.u.c.k', 'f-u-c-k', 'fυck', 'ｆｕｃｋ', 'fück'],
      ...[
        'ass',
        'dumb_ass',
        'ass123',
        '1ass',
        'a$$',
        'sh1t',
        'b1tch.x',
        '$lut',
        'c.u.n.t',
        'nazi',
        'n4zi',
        'whore',
      ],
    ],
    free: [
      ...[
        'scunthorpe',
        'Scunthorpe_United',
        'penistone',
        'class',
        'assassin',
        'bass',
        'cockburn',
        'hancock',
        'shitake',
      ],
      ...[
        'yoshitaka',
        'matsushita',
        'siriporn',
        'therapist',
        'grape',
        'analyst',
        'canal',
        'swank',
        'twatt',
        'sniggers',
      ],
      ...[
        'dick.van.dyke',
        'cummings',
        'arsenal',
        'sussex',
        'essex',
        'spice',
        'chinkapin',
        'raccoon',
        'fangcuntai',
      ],
      ...['455', 'as5600', 'team455', 'pass_hit', 'his.hit', '字', 'zürich'],
    ],
  })
})

test('a name has 1 to 64 characters, however many units they take, or what the file says', async (t) => {
  const builtIn = await openWorld(t)
  assert.deepEqual(builtIn.rules.length, { min: 1, max: 64 })
  assertRefusals(builtIn, {
    free: ['q', 'q'.repeat(64), '\u{20000}'.repeat(64), '字'.repeat(64)],
    too_long: ['q'.repeat(65), '\u{20000}'.repeat(65)],
  })
  const own = await openWorld(t, ofRules({ length: { min: 3, max: 5 } }))
  assert.deepEqual(own.rules.length, { min: 3, max: 5 })
  assertRefusals(own, {
    too_short: ['q', 'qq', '\u{20000}\u{20001}', 'me'],
    free: ['qqq', 'qqqqq'],
    too_long: ['qqqqqq', 'administrator'],
  })
})

test('the exact profile has no bounds, and the lists hold in whatever case', async (t) => {
  const world = await openWorld(t, undefined, 'exact')
  assertRefusals(world, {
    free: ['Dorthy71', 'q'.repeat(1_020), '@scope/name', 'a b'],
    reserved: ['admin', 'ADMIN', 'Api', 'Events', 'aDm1n'],
    offensive: ['FUCK', 'big ass'],
  })
  const open = await openWorld(t, ofRules({ replace: ['reserved', 'offensive'] }), 'exact')
  assertRefusals(open, { free: ['admin', 'api', 'events', 'fuck', 'ASS'] })
})

test('the file adds to the lists, lets names through, or takes the place of a list', async (t) => {
  const adding = {
    reserved: ['Acme', 'ЯНДЕКС'],
    allowed: ['Ada.Root', 'support', 'fuckingham'],
    offensive: ['*blorg*', 'zonk', 'груб'],
  }
  assertRefusals(await openWorld(t, `\ufeff${ofRules(adding)}`), {
    reserved: ['acme', '4cme', 'ACME', 'яндекс', 'admin', 'events', 'supp0rt'],
    offensive: ['xblorgx', 'bl0rg', 'zonk', 'zonk_9', 'груб', 'не_груб', 'fuck', 'fuckinghamfuck'],
    free: ['support', 'ada.root', 'fuckingham', 'lord_fuckingham', 'zonker', 'грубый', 'azonk'],
  })
  assertRefusals(
    await openWorld(t, ofRules({ reserved: ['acme'], offensive: ['zonk'], replace: ['reserved'] })),
    {
      reserved: ['acme', 'acm3'],
      free: ['admin', 'events', 'api'],
      offensive: ['zonk', 'fuck'],
    },
  )
  assertRefusals(await openWorld(t, ofRules({ offensive: ['zonk'], replace: ['offensive'] })), {
    reserved: ['admin'],
    free: ['fuck'],
    offensive: ['zonk'],
  })
})

test('a file that cannot be used stops the start, and everything that is wrong in it is said', async (t) => {
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['{"reserved": [', /rules\.json cannot be used: it is no JSON: /],
    ['[]', /expected object/],
    [ofRules({ reservd: [] }), /"reservd"/],
    [ofRules({ reserved: 'acme' }), /reserved: .*expected array/],
    [ofRules({ reserved: ['ok', ' '] }), /reserved\[1\]: is empty/],
    [
      ofRules({ reserved: ['two words'] }),
      /reserved\[0\]: "two words" is no name\. A name cannot have white space/,
    ],
    [ofRules({ allowed: ['x', '\u{1f600}'] }), /allowed\[1\]: .* is no name/],
    [ofRules({ offensive: ['a*b'] }), /offensive\[0\]: may have a star only/],
    [ofRules({ offensive: ['*.*'] }), /offensive\[0\]: "\*\.\*" has no letter/],
    [ofRules({ length: { min: 0 } }), /length\.min: must be at least 1/],
    [ofRules({ length: { min: 9, max: 8 } }), /length: min 9 is more than max 8/],
    [ofRules({ length: { min: 65 } }), /length: min 65 is more than max 64/],
    [ofRules({ replace: ['allowed'] }), /replace\[0\]: /],
    [
      ofRules({ reserved: Array.from({ length: 10_001 }, (_, n) => `n${n}`) }),
      /reserved: has more than 10,000 entries/,
    ],
    [ofRules({ reserved: [1], offensive: [2] }), /reserved\[0\]: [\s\S]*offensive\[0\]: /],
  ]
  for (const [text, message] of wrong)
    await assert.rejects(openWorld(t, text), (error) => {
      assert.ok(error instanceof ConfigError)
      assert.deepEqual(
        error.problems.map(({ setting }) => setting),
        ['NAMES_RULES'],
      )
      assert.match(error.message, message)
      return true
    })
  const logger = pino({ level: 'silent' })
  const missing = openNameRules({
    path: join(tmpdir(), 'none', 'rules.json'),
    routeWords,
    profile: 'username',
    logger,
    metrics: new Registry(),
  })
  await assert.rejects(missing, /cannot be used: it cannot be read \(ENOENT\)/)
})

/** Another file takes the place, as editors and clusters do it: no look finds half of it. */
async function replace(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text)
  await rename(`${path}.new`, path)
}

test('a change of the file holds without a start, and a broken one leaves the rules before it', {
  timeout: 30_000,
}, async (t) => {
  const world = await openWorld(t, ofRules({ reserved: ['acme'] }))
  assertRefusals(world, { reserved: ['acme'], free: ['zeta'] })

  await replace(world.path, ofRules({ reserved: ['zeta'], length: { max: 9 } }))
  await until(() => world.refusalOf('zeta') === 'reserved', t)
  assertRefusals(world, { free: ['acme'], too_long: ['administrator'] })
  assert.deepEqual(world.rules.length, { min: 1, max: 9 })

  await replace(world.path, '{"reserved": ["zet')
  await until(() => world.lines.some(({ level }) => level === 50), t)
  assert.match(await world.metrics.metrics(), /^pulse_names_rules_broken 1$/m)
  assertRefusals(world, { reserved: ['zeta'], free: ['acme'] })

  await replace(world.path, ofRules({ reserved: ['omega'] }))
  await until(() => world.refusalOf('omega') === 'reserved', t)
  assert.match(await world.metrics.metrics(), /^pulse_names_rules_broken 0$/m)
  assertRefusals(world, { free: ['zeta'], reserved: ['administrator'] })

  await rm(world.path)
  await until(() => world.lines.filter(({ level }) => level === 50).length === 2, t)
  assertRefusals(world, { reserved: ['omega'] })
  await replace(world.path, ofRules({}))
  await until(() => world.refusalOf('omega') === undefined, t)

  // Each change is said once, however often the file is looked at.
  const said = world.lines.map(({ level, msg }) => `${level} ${msg.replace(/:.*/s, '')}`)
  const [again, broken] = [
    '30 the rules of names were read again',
    '50 the rules of names cannot be used, those before stay',
  ]
  assert.deepEqual(said, [again, broken, again, broken, again])
})

test('a file that is just being written counts when it stays as it is', () => {
  const [old, half, whole] = [{ text: 'old' }, { text: '' }, { text: 'new' }]
  const changes = new SettledChanges(old)
  for (const found of [old, half, whole, half, whole]) assert.equal(changes.see(found), undefined)
  assert.equal(changes.see(whole), whole)
  assert.equal(changes.see(whole), undefined)
  // It was written again with what it had.
  for (const found of [half, whole, whole]) assert.equal(changes.see(found), undefined)
  const [gone, forbidden] = [{ fault: 'ENOENT' }, { fault: 'EACCES' }]
  for (const found of [gone, forbidden]) assert.equal(changes.see(found), undefined)
  assert.equal(changes.see(forbidden), forbidden)
})
