import { after, before, describe } from 'node:test'
import { appendSuite } from './append.suite.ts'
import { lifeSuite } from './life.suite.ts'
import type { EventLog, TopicDeclaration } from './log.ts'
import { modelSuite } from './model.suite.ts'
import { openOnce } from './open-once.ts'
import { outageSuite } from './outage.suite.ts'
import { readSuite } from './read.suite.ts'
import { topicSuite } from './topic.suite.ts'

/** An engine that belongs to the suite alone, so that tests may stop and damage it. */
export interface SuiteEngine extends AsyncDisposable {
  /** Opens a log on it. Calls of a log may give up after a few seconds without the engine, and not much later. */
  open(): Promise<EventLog>
  /** Ends the engine; `kill` as a crash would, in the middle of whatever it does. */
  stop(how: 'clean' | 'kill'): Promise<void>
  /** Starts it again with the data and the address that it had. */
  start(): Promise<void>
  /** Damages what is stored of the batch that holds this offset. */
  corrupt(topic: string, partition: number, offset: number): Promise<void>
  /** Deletes a topic and makes it again, empty; absent if an operator of this engine has no way to do that. */
  recreate?(topic: TopicDeclaration): Promise<void>
}

export interface SuiteExtras {
  /** Why the engine is not here, or false. */
  readonly skip: string | false
  /** Runs of the property test against the model; default 25. */
  readonly modelRuns?: number
  /** Starts an engine for the tests of outage, damage and recreation. */
  readonly engine: () => Promise<SuiteEngine>
}

/**
 * The conformance suite of the port in `log.ts`: it tests every sentence of that contract on any driver. It reads
 * `can` and tests each promise, or that its absence is what `can` says. It runs on the bare driver and then on the
 * driver inside `openOnce`, where the rules of life are tested too. `open` opens another log on the same engine at
 * every call. A driver's test file says only how to open it.
 */
export function eventLogSuite(name: string, open: () => Promise<EventLog>, extras: SuiteExtras): void {
  const guarded = () => openOnce(open).open()
  for (const [how, opening] of [
    ['bare', open],
    ['inside openOnce', guarded],
  ] as const)
    describe(`the ${name} log, ${how}`, { skip: extras.skip }, () => {
      topicSuite(opening)
      appendSuite(opening)
      readSuite(opening)
      modelSuite(opening, { runs: extras.modelRuns ?? 25 })
    })
  describe(`the life of the ${name} log`, { skip: extras.skip }, () => lifeSuite(guarded))
  describe(`the ${name} log without its engine`, { skip: extras.skip }, () => {
    let engine: SuiteEngine | undefined
    before(async () => {
      engine = await extras.engine()
    })
    after(() => engine?.[Symbol.asyncDispose]())
    outageSuite(() => {
      if (!engine) throw new Error('the engine did not start')
      return engine
    })
  })
}
