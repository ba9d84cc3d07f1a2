import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Client, type Health, PulseError } from '@pulse/client'
import { Command } from 'commander'
import { type Cli, connect } from '../cli.ts'
import { exitCodes } from '../exit-code.ts'
import { CommandError } from '../failure.ts'
import { readServerNote, type Source, type Target } from '../target.ts'
import type { Style, Terminal } from '../terminal.ts'

/** One thing that was looked at. `cause` and `fix` say in a line each what is wrong and what helps. */
interface Finding {
  readonly check: string
  readonly state: 'ok' | 'warning' | 'failed' | 'skipped'
  readonly cause: string
  readonly fix?: string
}

const examples = `Examples:
  pulse doctor                                    the server that commands here speak to
  pulse doctor --url https://pulse.example.com
`

/** `pulse doctor`: looks at everything between this machine and a working server. */
export function doctor(cli: Cli): Command {
  return new Command('doctor')
    .description('find out what is wrong, and what helps')
    .addHelpText('before', examples)
    .action(async (_options: unknown, command: Command) => {
      const { client, target, terminal, signal } = await connect(cli, command, { retriesMax: 0 })
      const findings = [
        checkNode(process.versions.node),
        ...(await checkFolder(target)),
        ...(await checkServer(client, target, signal)),
      ]
      if (terminal.json) terminal.document('pulse.doctor.v1', { data: findings })
      else for (const finding of findings) printFinding(terminal, finding)
      const failed = findings.filter(({ state }) => state === 'failed')
      if (failed.length > 0)
        throw new CommandError(exitCodes.failed, `${failed.length} of ${findings.length} checks failed`)
    })
}

function printFinding(terminal: Terminal, { check, state, cause, fix }: Finding): void {
  const styles: Record<Finding['state'], Style> = {
    ok: 'green',
    warning: 'yellow',
    failed: 'red',
    skipped: 'dim',
  }
  terminal.print(`${terminal.style(styles[state], state.padEnd(7))}  ${check.padEnd(12)}  ${cause}`)
  if (fix !== undefined) terminal.print(`${' '.repeat(23)}Fix: ${fix}`)
}

function checkNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const fits = major > 24 || (major === 24 && minor >= 12)
  return fits
    ? { check: 'node', state: 'ok', cause: `Node ${version}` }
    : { check: 'node', state: 'failed', cause: `Node ${version} is older than 24.12`, fix: 'npm install' }
}

async function checkFolder({ dataFolder, urlFrom }: Target): Promise<Finding[]> {
  const check = 'data folder'
  const note = await readServerNote(dataFolder)
  const keyFile = join(dataFolder, 'key')
  const key = await stat(keyFile).catch(() => undefined)
  if (key === undefined && note === undefined) {
    const cause = `no server has run in ${dataFolder}`
    return [
      urlFrom === 'local' || urlFrom === 'default'
        ? { check, state: 'warning', cause, fix: '--data DIR' }
        : { check, state: 'skipped', cause },
    ]
  }
  const findings: Finding[] = []
  if (key !== undefined && process.platform !== 'win32' && (key.mode & 0o077) !== 0)
    findings.push({
      check,
      state: 'failed',
      cause: `${keyFile} can be read by others`,
      fix: `chmod 600 ${keyFile}`,
    })
  if (note !== undefined && !isAlive(note.pid))
    findings.push({
      check,
      state: 'warning',
      cause: `process ${note.pid}, which served it, has ended`,
      fix: 'pulse start',
    })
  return findings.length > 0 ? findings : [{ check, state: 'ok', cause: dataFolder }]
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // Another user's process may not be signalled, but it is there.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** Where an address or a key was found, as a person would say it. */
const sources: Record<Source, string> = {
  option: 'the command line',
  environment: 'the environment',
  context: 'pulse login',
  local: 'the data folder',
  default: 'the default',
}

async function checkServer(client: Client, target: Target, signal: AbortSignal): Promise<Finding[]> {
  const where = `${target.url} (from ${sources[target.urlFrom]})`
  try {
    const startedAt = Date.now()
    const health = await client.health({ signal, timeoutMsMax: 5_000 })
    return [
      { check: 'server', state: 'ok', cause: `Pulse ${health.version} at ${where}` },
      checkClock(health, startedAt),
      ...checkServices(health),
      await checkReady(client, signal),
      ...(await checkCredential(client, target, signal)),
    ]
  } catch (error) {
    if (!(error instanceof PulseError)) throw error
    const fix =
      target.urlFrom === 'default'
        ? 'pulse start, or --url URL'
        : 'start that server, or choose another with --url'
    return [{ check: 'server', state: 'failed', cause: `${error.detail} Tried ${where}.`, fix }]
  }
}

const skewSecondsMax = 60

function checkClock(health: Health, askedAt: number): Finding {
  const apart = (Date.parse(health.timestamp) - (askedAt + Date.now()) / 2) / 1000
  const cause = `clocks are ${Math.abs(apart).toFixed(1)} s apart`
  if (Math.abs(apart) <= skewSecondsMax) return { check: 'clock', state: 'ok', cause }
  return {
    check: 'clock',
    state: 'warning',
    cause,
    fix: 'set both clocks by NTP; events from the future are refused',
  }
}

function checkServices(health: Health): Finding[] {
  const down = Object.entries(health.services).filter(([, state]) => state !== 'up')
  if (down.length === 0)
    return [{ check: 'services', state: 'ok', cause: Object.keys(health.services).join(', ') || 'all up' }]
  return down.map(([name]) => ({
    check: 'services',
    state: 'failed',
    cause: `${name} is down`,
    fix: `see the server's log for ${name}`,
  }))
}

async function checkReady(client: Client, signal: AbortSignal): Promise<Finding> {
  if (await client.ready({ signal, timeoutMsMax: 5_000 }))
    return { check: 'ready', state: 'ok', cause: 'takes requests' }
  return {
    check: 'ready',
    state: 'failed',
    cause: 'takes no requests now',
    fix: 'wait for its start or recovery; see its log',
  }
}

async function checkCredential(client: Client, target: Target, signal: AbortSignal): Promise<Finding[]> {
  try {
    const session = await client.session({ signal })
    const who =
      target.keyFrom === undefined ? 'no key needed' : `key '${session.name}' from ${sources[target.keyFrom]}`
    const finding: Finding = {
      check: 'credential',
      state: 'ok',
      cause: `${who}: ${session.scopes.join(', ')}`,
    }
    return session.scopes.includes('read:stats') || session.scopes.includes('admin')
      ? [finding, ...(await checkLoad(client, signal))]
      : [finding]
  } catch (error) {
    if (!(error instanceof PulseError) || error.status !== 401) throw error
    const cause =
      target.keyFrom === undefined
        ? 'the server wants a key'
        : `the key from ${sources[target.keyFrom]} is not valid`
    return [{ check: 'credential', state: 'failed', cause, fix: `pulse login --url ${target.url}` }]
  }
}

async function checkLoad(client: Client, signal: AbortSignal): Promise<Finding[]> {
  const { backlog, disk, pending_messages } = await client.metrics.summary({ signal })
  const findings: Finding[] = []
  const seconds = backlog.seconds ?? 0
  const behind = `${backlog.events ?? 0} events, ${seconds.toFixed(1)} s behind; ${pending_messages ?? 0} wait for another attempt`
  const fasterFix = 'pulse top; more processing roles, or a faster handler'
  if (seconds > 60) findings.push({ check: 'backlog', state: 'warning', cause: behind, fix: fasterFix })
  else findings.push({ check: 'backlog', state: 'ok', cause: behind })
  if (disk === null) return findings
  const full = `${(disk.used_ratio * 100).toFixed(0)} % used`
  const spaceFix = 'free space or shorten retention; intake stops at 90 %'
  if (disk.used_ratio > 0.8) findings.push({ check: 'disk', state: 'warning', cause: full, fix: spaceFix })
  else findings.push({ check: 'disk', state: 'ok', cause: full })
  return findings
}
