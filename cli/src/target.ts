/**
 * Which server a command speaks to, and as whom. Sources, the first that names one wins:
 * - options: `--url`, `--key`
 * - environment: PULSE_URL, PULSE_KEY (or PULSE_KEY_FILE)
 * - context: what `pulse login` saved
 * - local: the data folder of a server on this machine (`server.json`, `key`)
 * - default: http://127.0.0.1:8000 without a key
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CliConfig } from './config.ts'
import { readContext } from './context.ts'
import { exitCodes } from './exit-code.ts'
import { CommandError } from './failure.ts'

export type Source = 'option' | 'environment' | 'context' | 'local' | 'default'

export interface Target {
  readonly url: string
  readonly urlFrom: Source
  readonly key: string | undefined
  readonly keyFrom: Source | undefined
  readonly dataFolder: string
}

/** What a running server writes into its data folder. */
export interface ServerNote {
  readonly pid: number
  readonly url: string
}

interface Given {
  readonly url?: string | undefined
  readonly key?: string | undefined
  readonly data?: string | undefined
}

const defaultUrl = 'http://127.0.0.1:8000'

/** Finds the server and the credential. Throws CommandError if a given URL is none. */
export async function findTarget(given: Given, config: CliConfig): Promise<Target> {
  const dataFolder = given.data ?? config.dataFolder
  const local = await readServerNote(dataFolder)
  // A data folder that is named on the command line is meant: it wins over a context saved earlier.
  const context = given.data === undefined ? await readContext(config.contextFile) : undefined
  const urls: [Source, string | undefined][] = [
    ['option', given.url],
    ['environment', given.data === undefined ? config.url : undefined],
    ['context', context?.url],
    ['local', local?.url],
  ]
  const [urlFrom, url] = first(urls) ?? ['default', defaultUrl]
  const checked = checkUrl(url)
  const keys: [Source, string | undefined][] = [
    ['option', given.key],
    ['environment', given.data === undefined ? config.key : undefined],
    // A stored key goes only where it belongs: `--url` alone must not send it to another server.
    ['context', context && sameOrigin(context.url, checked) ? context.key : undefined],
    ['local', local && servesHere(local, checked) ? await readLocalKey(dataFolder) : undefined],
  ]
  const key = first(keys)
  return { url: checked, urlFrom, key: key?.[1], keyFrom: key?.[0], dataFolder }
}

function first(sources: readonly [Source, string | undefined][]): [Source, string] | undefined {
  for (const [source, value] of sources) if (value !== undefined) return [source, value]
  return undefined
}

/** Checks and shortens an address. Throws CommandError. */
export function checkUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const next = `--url ${defaultUrl}`
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new CommandError(exitCodes.usage, `'${text}' is not an http or https address`, next)
  // A password in it would stand in every message that names the server.
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    throw new CommandError(exitCodes.usage, 'The address has more than scheme, host, port and path', next)
  return text.replace(/\/+$/, '')
}

/**
 * True if an address is that of the server in the data folder, which alone may see the key that lies there. Any other
 * port of this machine may be another user's, also the default one while no server runs.
 */
function servesHere(local: ServerNote, text: string): boolean {
  const [here, url] = [new URL(local.url), new URL(text)]
  return isLoopback(text) && url.port === here.port && url.protocol === here.protocol
}

/** True if an address can only mean this machine. */
export function isLoopback(url: string): boolean {
  const { hostname } = new URL(url)
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
}

const sameOrigin = (one: string, other: string) => new URL(one).origin === new URL(other).origin

/** Reads what the running server left in its data folder; undefined if there is nothing readable. */
export async function readServerNote(dataFolder: string): Promise<ServerNote | undefined> {
  try {
    const note: unknown = JSON.parse(await readFile(join(dataFolder, 'server.json'), 'utf8'))
    return isServerNote(note) ? { ...note, url: reachable(note.url) } : undefined
  } catch {
    return undefined
  }
}

const isServerNote = (note: unknown): note is ServerNote =>
  typeof note === 'object' &&
  note !== null &&
  'url' in note &&
  typeof note.url === 'string' &&
  URL.canParse(note.url) &&
  'pid' in note &&
  typeof note.pid === 'number'

/** A server that listens on every address of the machine is asked on the one that stays inside. */
const reachable = (url: string) => url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:')

async function readLocalKey(dataFolder: string): Promise<string | undefined> {
  try {
    return (await readFile(join(dataFolder, 'key'), 'utf8')).trim() || undefined
  } catch {
    return undefined
  }
}
