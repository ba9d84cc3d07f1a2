import { Connection } from './connection.ts'
import type { LoadPlan, LoadResult } from './plan.ts'
import { EventSource } from './sample-events.ts'
import { Tally } from './tally.ts'

// The program of the child process: a plan comes in, a result goes out, until the parent lets go.
process.on('message', (plan: LoadPlan) => {
  run(plan).then(
    (result) => process.send?.({ result }),
    (error: unknown) => process.send?.({ failed: error instanceof Error ? error.message : String(error) }),
  )
})
process.on('disconnect', () => process.exit())

const answerMsMax = 30_000

async function run(plan: LoadPlan): Promise<LoadResult> {
  const connections = Array.from({ length: plan.connections }, (_, n) => {
    const target = plan.targets[n % plan.targets.length]
    if (!target) throw new Error('the plan has no target')
    return new Connection(target)
  })
  try {
    await Promise.all(connections.map((connection) => connection.open()))
    const run = new Run(plan, connections)
    return await (plan.pace.kind === 'closed' ? run.closed() : run.open(plan.pace.requestsPerSecond))
  } finally {
    for (const connection of connections) connection.close()
  }
}

class Run {
  readonly #plan: LoadPlan
  readonly #connections: readonly Connection[]
  readonly #events: EventSource
  readonly #tally: Tally
  readonly #startedAt = performance.now()
  readonly #measuredFrom: number
  readonly #measuredTo: number
  #stallMs = 0
  #asked = 0

  constructor(plan: LoadPlan, connections: readonly Connection[]) {
    this.#plan = plan
    this.#connections = connections
    this.#events = new EventSource(plan)
    this.#tally = new Tally(plan)
    this.#measuredFrom = this.#startedAt + plan.warmUpMs
    this.#measuredTo = this.#measuredFrom + plan.measuredMs
  }

  /** What was sent in the measured time is counted; the rate is over the time to the last of its answers. */
  async closed(): Promise<LoadResult> {
    const loops = this.#connections.map(
      (connection) =>
        new Promise<void>((done) => {
          const next = () => {
            const from = performance.now()
            if (from >= this.#measuredTo) done()
            else this.#send(connection, from, next)
          }
          next()
        }),
    )
    return this.#ending(Promise.all(loops))
  }

  /** A request whose turn comes while every connection is busy waits for one; its delay counts from its turn. */
  async open(perSecond: number): Promise<LoadResult> {
    const free = [...this.#connections]
    // From the plan, not from two readings of the clock: their difference may fall short by a rounding, and a request.
    const total = Math.floor(((this.#plan.warmUpMs + this.#plan.measuredMs) * perSecond) / 1000)
    let sent = 0
    let ended = 0
    let lookedAt = this.#startedAt
    const finished = new Promise<void>((done) => {
      const sendDue = () => {
        const now = performance.now()
        if (lookedAt >= this.#measuredFrom) this.#stallMs = Math.max(this.#stallMs, now - lookedAt)
        lookedAt = now
        const due = Math.floor(((now - this.#startedAt) * perSecond) / 1000) + 1
        while (sent < Math.min(total, due)) {
          const connection = free.pop()
          if (!connection) break
          this.#send(connection, this.#startedAt + (sent++ * 1000) / perSecond, () => {
            free.push(connection)
            if (++ended === total) done()
          })
        }
        if (ended < total) setTimeout(sendDue, 1)
      }
      sendDue()
    })
    return this.#ending(finished)
  }

  #send(connection: Connection, from: number, then: () => void): void {
    const { asking } = this.#plan
    if (asking) {
      const path = asking.paths[this.#asked++ % asking.paths.length] ?? '/'
      connection.get(path, (answer) => {
        if (from >= this.#measuredFrom) this.#tally.add(answer, performance.now() - from)
        then()
      })
      return
    }
    const { text, sent } = this.#events.body(this.#plan.batch)
    connection.send(text, (answer) => {
      if (from >= this.#measuredFrom) this.#tally.add(answer, performance.now() - from)
      if (answer.status === 200 || answer.status === 202) this.#events.acknowledged(sent)
      then()
    })
  }

  async #ending(work: Promise<unknown>): Promise<LoadResult> {
    const cpu = this.#watchCpu()
    await this.#within(work)
    return this.#tally.result({
      seconds: (performance.now() - this.#measuredFrom) / 1000,
      generatorCpu: cpu(),
      generatorStallMs: this.#stallMs,
    })
  }

  #watchCpu(): () => number {
    const [before, at] = [process.cpuUsage(), performance.now()]
    return () => {
      const { user, system } = process.cpuUsage(before)
      return (user + system) / 1000 / (performance.now() - at)
    }
  }

  async #within<T>(work: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      const ms = this.#measuredTo - this.#startedAt + answerMsMax
      timer = setTimeout(
        () => reject(new Error(`requests had no answer ${answerMsMax} ms after the end`)),
        ms,
      )
    })
    try {
      return await Promise.race([work, late])
    } finally {
      clearTimeout(timer)
    }
  }
}
