import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import { type StartedServer, startServer } from './started-server.ts'

let server: StartedServer

before(async () => {
  server = await startServer({ LOG_LEVEL: 'debug' })
})

after(async () => {
  await server?.[Symbol.asyncDispose]()
})

const headers = (more: Record<string, string> = {}) => ({ authorization: `Bearer ${server.key}`, ...more })

async function post(body: unknown): Promise<Response> {
  const sent = headers({ 'content-type': 'application/json' })
  return fetch(`${server.url}/events`, { method: 'POST', headers: sent, body: JSON.stringify(body) })
}

async function untilState(event_id: string, state: string): Promise<void> {
  const look = async () => {
    const answer = await fetch(`${server.url}/events/${event_id}`, { headers: headers() })
    const { status } = (await answer.json()) as { status?: string }
    return status === state ? true : undefined
  }
  await eventually(`${event_id} is ${state}`, look, 20_000)
}

interface Line {
  readonly request_id?: string
  readonly module?: string
  readonly event_id?: string
  readonly correlation_id?: string
  readonly message?: string
}

const linesAbout = (id: string): Line[] =>
  server
    .log()
    .split('\n')
    .filter((line) => line.includes(id))
    .map((line) => JSON.parse(line) as Line)

test('EF-16 one event_id finds the lines of that event from request to row, and only those', async () => {
  const good = randomUUID()
  const other = randomUUID()
  const failing = randomUUID()
  const answer = await post([
    { event_id: good, event_type: 'purchase', user_id: 'u1', properties: { amount: 5 } },
    { event_id: other, event_type: 'page_view', user_id: 'u1' },
    { event_id: failing, event_type: 'purchase', user_id: 'u2', properties: {} },
  ])
  assert.equal(answer.status, 200)
  const requestId = answer.headers.get('x-request-id')
  await untilState(good, 'processed')
  await untilState(other, 'processed')
  await untilState(failing, 'dead')
  for (const id of [good, other, failing]) {
    const lines = linesAbout(id)
    const modules = new Set(lines.map((line) => line.module))
    assert.ok(modules.has('intake') && modules.has('processing'), `${id}: ${JSON.stringify(lines)}`)
    for (const line of lines) {
      if (line.module === 'intake') assert.equal(line.request_id, requestId)
      assert.deepEqual([line.event_id, line.correlation_id], [id, id])
      for (const stranger of [good, other, failing].filter((one) => one !== id))
        assert.ok(!JSON.stringify(line).includes(stranger), JSON.stringify(line))
    }
  }
  assert.ok(!server.log().includes(server.key), 'the key is in the log')
})

/** Sum of a family's samples whose labels contain `having`. */
async function scraped(family: string, having = ''): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`, { headers: headers() })).text()
  const samples = text.split('\n').filter((line) => line.startsWith(`${family}{`) && line.includes(having))
  return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

test('EF-17 received, processed, failed and duplicate grow by exactly the number of events sent', async () => {
  const families = ['received', 'processed', 'failed', 'duplicate'] as const
  const read = () =>
    Promise.all(families.map((name) => scraped(`pulse_events_${name}_total`, 'event_type="purchase"')))
  const before = await read()
  const good = Array.from({ length: 40 }, () => ({
    event_id: randomUUID(),
    event_type: 'purchase',
    properties: { amount: 1 },
  }))
  const bad = Array.from({ length: 3 }, () => ({
    event_id: randomUUID(),
    event_type: 'purchase',
    properties: {},
  }))
  assert.equal((await post([...good, ...bad])).status, 200)
  assert.equal((await post(good.slice(0, 7))).status, 200)
  for (const { event_id } of bad) await untilState(event_id, 'dead')
  const grown = async () => {
    const now = await read()
    const growth = now.map((count, index) => count - (before[index] ?? 0))
    return growth[1] === 40 ? growth : undefined
  }
  assert.deepEqual(await eventually('40 processed', grown, 20_000), [43, 40, 3, 7])
})

test('EF-19 the summary and the charts of the running server show throughput, latency, errors and an empty queue', async () => {
  const ask = async (path: string) =>
    (await (await fetch(server.url + path, { headers: headers() })).json()) as never
  interface Summary {
    readonly received: number
    readonly processed: number
    readonly failed: number
    readonly queue_length: number | null
    readonly ack_ms: { readonly p95: number | null }
    readonly processing_ms: { readonly p95: number | null }
  }
  const settled = async () => {
    const summary: Summary = await ask('/metrics/summary')
    return summary.queue_length === 0 && summary.received === summary.processed + summary.failed
      ? summary
      : undefined
  }
  const summary = await eventually('the queue is empty again', settled, 20_000)
  assert.ok(summary.received >= 46 && summary.failed >= 4)
  assert.ok((summary.ack_ms.p95 ?? -1) > 0 && (summary.processing_ms.p95 ?? -1) > 0)
  // The running second is not in the history yet. Once it is, the area under the line is the number of events.
  const complete = async () => {
    const { series } = (await ask('/metrics/history?seconds=900')) as {
      series: Record<string, (number | null)[]>
    }
    const area = (series.received_per_second ?? []).reduce<number>((total, rate) => total + (rate ?? 0), 0)
    return Math.round(area) === summary.received ? series : undefined
  }
  const series = await eventually('every event is in the history', complete, 5_000)
  assert.equal(new Set(Object.values(series).map((column) => column.length)).size, 1)
})

test('docs/operating/metrics.md names exactly the metrics that the server has, with their types and labels', async () => {
  const text = await (await fetch(`${server.url}/metrics`, { headers: headers() })).text()
  const page = await readFile(join(import.meta.dirname, '../../docs/operating/metrics.md'), 'utf8')
  const documented = new Map(
    [...page.matchAll(/^\| `(pulse_\w+)` \| (\w+) \| ([^|]*)\|/gm)].map(([, name, type, labels]) => [
      `${name} ${type}`,
      [...String(labels).matchAll(/`(\w+)`/g)].map(([, label]) => String(label)),
    ]),
  )
  const exposed = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => `${name} ${type}`)
  assert.deepEqual([...documented.keys()].toSorted(), exposed.toSorted())
  for (const [family, labels] of documented) {
    const name = family.split(' ', 1)[0]
    const used = [...text.matchAll(new RegExp(`^${name}(?:_bucket|_sum|_count)?\\{(.*)\\} `, 'gm'))].flatMap(
      ([, pairs]) => [...String(pairs).matchAll(/(\w+)="/g)].map(([, label]) => String(label)),
    )
    for (const label of new Set(used))
      assert.ok(label === 'le' || labels.includes(label), `${family}: ${label}`)
  }
})

test('promtool finds nothing wrong with /metrics', async (t) => {
  const text = await (await fetch(`${server.url}/metrics`, { headers: headers() })).text()
  const checked = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })
  if (checked.error)
    return t.skip('promtool is not installed; the text is also parsed line by line elsewhere')
  assert.deepEqual([checked.status, checked.stdout + checked.stderr], [0, ''])
})

/** Every process of the server's own database. */
async function databasePids(): Promise<number[]> {
  const first = Number(
    (await readFile(join(server.data, 'postgres', 'postmaster.pid'), 'utf8')).split('\n', 1)[0],
  )
  const pids: number[] = [first]
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const status = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '')
    if (Number(status.slice(status.lastIndexOf(')') + 2).split(' ')[1]) === first) pids.push(Number(name))
  }
  return pids
}

test('EF-03 /health is 503 while the real database does not answer, at once and for everybody, and mends itself', async (t) => {
  if (process.platform !== 'linux') return t.skip('finds the processes of the database by /proc')
  const health = async () => {
    const asked = performance.now()
    const answer = await fetch(`${server.url}/health`)
    const { status } = (await answer.json()) as { status: string }
    return { code: answer.status, status, ms: performance.now() - asked }
  }
  assert.deepEqual([(await health()).code, (await health()).status], [200, 'healthy'])
  const pids = await databasePids()
  const answers: { code: number; ms: number }[] = []
  const until = async (code: number) => {
    const answer = await health()
    answers.push(answer)
    return answer.code === code ? true : undefined
  }
  try {
    // Stopped, not killed: connections stay open and nothing comes back, which is how most outages look.
    for (const pid of pids) process.kill(pid, 'SIGSTOP')
    await eventually('unhealthy', () => until(503), 9_000)
    assert.equal((await fetch(`${server.url}/readyz`)).status, 503)
    assert.equal((await fetch(`${server.url}/livez`)).status, 200)
  } finally {
    for (const pid of pids.toReversed()) process.kill(pid, 'SIGCONT')
  }
  await eventually('healthy again', () => until(200), 15_000)
  // A machine that stands still makes one of them late; were the database asked, each would be.
  const times = answers.map(({ ms }) => ms).sort((a, b) => a - b)
  assert.ok((times[times.length >> 1] ?? 0) < 1_000, 'requests for health waited for the database')
  const event_id = randomUUID()
  assert.equal((await post({ event_id, event_type: 'page_view' })).status, 202)
  await untilState(event_id, 'processed')
})
