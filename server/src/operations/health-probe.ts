import { EverySecond } from './background.ts'

/** Fails (rejects) when the thing it names does not work. It must touch the real thing: a query, a broker call. */
export type Probe = (signal: AbortSignal) => Promise<void>

/** Tells whether a service works, and once per change that it went or came back. */
interface ProbeNeeds {
  readonly probes: Readonly<Record<string, Probe>>
  readonly changed: (service: string, up: boolean, error: unknown) => void
}

/** A result older than this is no longer an answer: the service counts as down. */
const staleMs = 2_000

interface Seen {
  up: boolean
  at: number
  /** How long the answer took. */
  ms: number
}

/**
 * Asks every service once a second in the background, so that no request for health ever waits for one. A
 * service that does not answer is down two seconds after its last good answer, one that fails is down at once.
 */
export class HealthProbe implements AsyncDisposable {
  #needs: ProbeNeeds
  #seen = new Map<string, Seen>()
  #told = new Map<string, boolean>()
  #watches: EverySecond[]

  constructor(needs: ProbeNeeds) {
    this.#needs = needs
    this.#watches = Object.entries(needs.probes).map(
      ([service, probe]) => new EverySecond((signal) => this.#ask(service, probe, signal)),
    )
  }

  /** Starts asking and waits for the first answers, at most a second. */
  async start(): Promise<void> {
    await Promise.all(this.#watches.map((watch) => watch.start(1_000)))
  }

  async #ask(service: string, probe: Probe, signal: AbortSignal): Promise<void> {
    const stale = setTimeout(() => this.#tell(service, false, new Error('no answer in time')), staleMs)
    const since = performance.now()
    try {
      await probe(signal)
      if (!signal.aborted) this.#keep(service, { up: true, since }, undefined)
    } catch (error) {
      if (!signal.aborted) this.#keep(service, { up: false, since }, error)
    } finally {
      clearTimeout(stale)
    }
  }

  #keep(service: string, { up, since }: { up: boolean; since: number }, error: unknown): void {
    const at = performance.now()
    this.#seen.set(service, { up, at, ms: at - since })
    this.#tell(service, up, error)
  }

  #tell(service: string, up: boolean, error: unknown): void {
    const before = this.#told.get(service)
    this.#told.set(service, up)
    // The first good answer is no news, the first bad one is.
    if (before !== up && !(before === undefined && up)) this.#needs.changed(service, up, error)
  }

  /** Every service and whether it works now. */
  services(): Record<string, 'up' | 'down'> {
    const names = Object.keys(this.#needs.probes)
    return Object.fromEntries(names.map((service) => [service, this.#isUp(service) ? 'up' : 'down']))
  }

  /** How long the last answer of a service took, in milliseconds; undefined while it is down. */
  answerMs(service: string): number | undefined {
    return this.#isUp(service) ? this.#seen.get(service)?.ms : undefined
  }

  #isUp(service: string): boolean {
    const seen = this.#seen.get(service)
    return seen?.up === true && performance.now() - seen.at <= staleMs
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#watches.map((watch) => watch[Symbol.asyncDispose]()))
  }
}
