import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { createLogger, eventFields, type LogLevel } from './logger.ts'

class Lines extends Writable {
  readonly isTTY: boolean
  text = ''
  constructor(isTTY = false) {
    super()
    this.isTTY = isTTY
  }
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString()
    done()
  }
  get all(): Record<string, unknown>[] {
    const lines = this.text.split('\n').filter((line) => line !== '')
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  }
}

const openLog = (level: LogLevel = 'info', isTTY = false) => {
  const to = new Lines(isTTY)
  return { to, log: createLogger({ level, to }) }
}

const aKey = `pulse_${'x'.repeat(43)}`

test('EF-16 a line is one JSON object with timestamp, level, module, message and the ids of its event', () => {
  const { to, log } = openLog()
  const event = { event_id: '0197c3d2-0000-7000-8000-000000000001', event_type: 'purchase' }
  log.child({ module: 'processing' }).warn({ ...eventFields(event), attempts: 3 }, 'event parked')
  const [line] = to.all
  assert.match(String(line?.timestamp), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  assert.deepEqual(line, {
    level: 'warn',
    timestamp: line?.timestamp,
    module: 'processing',
    ...event,
    correlation_id: event.event_id,
    attempts: 3,
    message: 'event parked',
  })
})

test('an error becomes class, message, code, stack and cause', () => {
  const { to, log } = openLog()
  const cause = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
  log.error({ err: new TypeError('no answer', { cause }) }, 'service is down')
  log.error(new RangeError('bare'))
  const [first, second] = to.all.map((line) => line.error as Record<string, unknown>)
  assert.deepEqual([first?.class, first?.message], ['TypeError', 'no answer'])
  const { code } = (first?.cause ?? {}) as Record<string, unknown>
  assert.equal(code, 'ECONNREFUSED')
  assert.match(String(first?.stack), /logger\.test\.ts/)
  assert.equal(second?.class, 'RangeError')
})

test('no credential and no payload gets into the log, however it was passed', () => {
  const { to, log } = openLog('debug')
  const secrets = ['hunter2', aKey, 'abc.def.ghi', '4111111111111111']
  log.info(
    { authorization: `Bearer ${aKey}`, Cookie: 'session=hunter2', api_key: aKey, 'set-cookie': aKey },
    'a',
  )
  log.info({ request: { headers: { authorization: 'hunter2' }, body: { card: '4111111111111111' } } }, 'b')
  log.info({ event: { properties: { card: '4111111111111111' } } }, 'c')
  log.info(`got Bearer ${aKey} and ${aKey}`)
  log.error({ err: new Error(`connect postgres://pulse:hunter2@db/pulse failed for ${aKey}`) }, 'd')
  log.child({ module: 'x', token: 'hunter2' }).info({ url: '/stream?ticket=hunter2&x=1' }, 'e')
  for (const secret of secrets) assert.ok(!to.text.includes(secret), `${secret} in ${to.text}`)
  assert.equal(to.all.length, 6)
})

test('what clients wrote cannot make a second line or drive a terminal', () => {
  const nasty = 'x\n{"level":"fatal"}\u001b[2J\u2028y'
  const json = openLog()
  json.log.info({ user: nasty }, nasty)
  assert.equal(json.to.all.length, 1)
  const screen = openLog('info', true)
  screen.log.info({ user: nasty }, nasty)
  const shown = stripVTControlCharacters(screen.to.text)
  assert.equal(shown.trimEnd().split('\n').length, 1)
  assert.ok(!screen.to.text.includes('\u001b[2J') && !screen.to.text.includes('\u2028'))
})

test('on a terminal a line reads as time, level, module, message and fields, an error under it', () => {
  const { to, log } = openLog('info', true)
  log
    .child({ module: 'log' })
    .error({ service: 'database', tries: 2, err: new Error('gone') }, 'service is down')
  const [first, second] = stripVTControlCharacters(to.text).split('\n')
  assert.match(String(first), /^\d\d:\d\d:\d\d\.\d{3} ERROR log: service is down service=database tries=2$/)
  assert.match(String(second), /^ {4}Error: gone$/)
  const failed = openLog('info', true)
  failed.log.warn({ error_class: 'ValidationError', error: 'no amount' }, 'event became a dead letter')
  assert.match(stripVTControlCharacters(failed.to.text), /error_class=ValidationError error="no amount"\n$/)
})

test('a value too large or too deep is cut, with its size', () => {
  const { to, log } = openLog()
  const deep: Record<string, unknown> = {}
  deep.self = deep
  log.info({ text: 'y'.repeat(100_000), deep }, 'large')
  assert.ok(to.text.length < 10_000)
  assert.match(String(to.all[0]?.text), /\(100000 characters\)$/)
})
