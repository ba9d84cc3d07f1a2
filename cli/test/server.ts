import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Client, createClient } from '@pulse/client'
import { kept, type Ran, runProgram, type Surroundings } from './run-pulse.ts'
import { openTemporaryFolder } from './temporary-folder.ts'

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))

/** A server that `pulse start` runs in a folder of its own, and the commands that are run against it. */
export interface TestServer extends AsyncDisposable {
  readonly url: string
  readonly data: string
  readonly key: string
  /** Home of the commands: their context and import states lie here. */
  readonly home: string
  readonly client: Client
  /** Runs `pulse` where the data folder is. */
  pulse(words: readonly string[], more?: Surroundings): Promise<Ran>
  /** Runs another program in the same surroundings. */
  run(file: string, words: readonly string[], more?: Surroundings): Promise<Ran>
  /** Ends the server as if the machine had lost it, and starts it again on the same port. */
  crashAndRestart(): Promise<void>
}

export interface ServerOptions {
  /** Words behind `pulse start`. */
  readonly words?: readonly string[]
  /** Settings of the server. */
  readonly env?: Readonly<Record<string, string>>
}

/** Waits until `look` gives something. Rejects with the last thing that went wrong when it takes over 30 s. */
export async function eventually<Value>(look: () => Promise<Value | undefined>): Promise<Value> {
  const deadline = Date.now() + 30_000
  for (;;) {
    try {
      const value = await look()
      if (value !== undefined) return value
      if (Date.now() > deadline) throw new Error('it did not come to pass within 30 s')
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
    await pause(50)
  }
}

/** Starts a server by `pulse start`, as a user does, and waits until it takes requests. */
export async function startTestServer({ words = [], env = {} }: ServerOptions = {}): Promise<TestServer> {
  // Two folders side by side: PostgreSQL runs as another user, who cannot enter a folder inside one of ours.
  const home = await openTemporaryFolder()
  const folder = await openTemporaryFolder()
  const data = folder.path
  const surroundings = { HOME: home.path, LOG_LEVEL: 'warn', ...env }
  let child = startPulse(['--port', '0', ...words], data, surroundings)
  const note = await untilReady(child, data)
  const key = (await readFile(join(data, 'key'), 'utf8')).trim()
  const run = (file: string, line: readonly string[], more: Surroundings = {}) =>
    runProgram(file, line, { ...more, env: { HOME: home.path, DATA: data, ...more.env } })
  return {
    url: note.url,
    data,
    key,
    home: home.path,
    client: createClient({ url: note.url, credential: key }),
    pulse: (line, more) => run(main, line, more),
    run,
    async crashAndRestart() {
      const { pid } = await readNote(data)
      process.kill(pid, 'SIGKILL')
      await once(child, 'exit')
      child = startPulse(['--port', new URL(note.url).port, ...words], data, surroundings)
      await untilReady(child, data)
    },
    async [Symbol.asyncDispose]() {
      await stop(child)
      await folder[Symbol.asyncDispose]()
      await home[Symbol.asyncDispose]()
    },
  }
}

function startPulse(
  words: readonly string[],
  data: string,
  env: Readonly<Record<string, string>>,
): ChildProcess {
  return spawn(process.execPath, [main, 'start', '--data', data, ...words], {
    env: { ...kept, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
}

interface Note {
  readonly pid: number
  readonly url: string
}

async function readNote(data: string): Promise<Note> {
  return JSON.parse(await readFile(join(data, 'server.json'), 'utf8')) as Note
}

async function untilReady(child: ChildProcess, data: string): Promise<Note> {
  let said = ''
  child.stderr?.on('data', (chunk) => {
    said += chunk
  })
  const note = await eventually(async () => {
    if (child.exitCode !== null) return null
    const found = await readNote(data)
    return (await createClient({ url: found.url }).ready({ retriesMax: 0 })) ? found : undefined
  })
  if (note === null) throw new Error(`the server ended with ${child.exitCode}: ${said}`)
  return note
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  await gone
}

/** All events of a type that are processed, once as many as expected are. */
export async function processedEvents(client: Client, type: string, expected: number) {
  return await eventually(async () => {
    const rows = await eventsOf(client, type)
    const settled = rows.filter(({ status }) => status === 'processed')
    return settled.length >= expected ? settled : undefined
  })
}

async function eventsOf(client: Client, type: string) {
  const rows = []
  let cursor: string | undefined
  do {
    const page = await client.events.list({ event_type: type, limit: 1_000, cursor })
    rows.push(...page.data)
    cursor = page.has_more ? (page.cursor ?? undefined) : undefined
  } while (cursor !== undefined)
  return rows
}
