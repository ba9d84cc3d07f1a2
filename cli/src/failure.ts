import { type ErrorCode, PulseError } from '@pulse/client'
import { CommanderError } from 'commander'
import { type ExitCode, exitCodes } from './exit-code.ts'

/** A command that failed in a way that it understands: what happened, what to do next, how to exit. */
export class CommandError extends Error {
  override name = 'CommandError'
  readonly exitCode: ExitCode
  /** What to type next, or undefined where nothing helps. */
  readonly next: string | undefined

  constructor(exitCode: ExitCode, message: string, next?: string) {
    super(message)
    this.exitCode = exitCode
    this.next = next
  }
}

/** The user pressed Ctrl-C, or the process was told to end. */
export class Interrupted extends Error {
  override name = 'Interrupted'
}

/** Ends the process with the code of another one, which has already said what there is to say. */
export class ExitWith extends Error {
  override name = 'ExitWith'
  readonly exitCode: number

  constructor(exitCode: number) {
    super(`exit ${exitCode}`)
    this.exitCode = exitCode
  }
}

/** A failure as it is told: one line, the next command, the exit code, a problem code where there is one. */
export interface Failure {
  readonly exitCode: ExitCode
  readonly code: string
  readonly message: string
  readonly next: string | undefined
  readonly status: number | undefined
  readonly requestId: string | undefined
  readonly errors: readonly { readonly pointer: string; readonly detail: string }[]
  /** Of a name that is taken: free ones near it. */
  readonly suggestions?: readonly string[]
}

/** How streams fail: they have no status, and their codes say it all. */
const streamExitCodes: Partial<Record<ErrorCode, ExitCode>> = {
  unauthenticated: exitCodes.auth,
  forbidden: exitCodes.auth,
  no_filter: exitCodes.notFound,
  invalid_filter: exitCodes.usage,
  filter_too_wide: exitCodes.usage,
  invalid_position: exitCodes.usage,
  invalid_frame: exitCodes.usage,
}

function exitCodeOf(error: PulseError): ExitCode {
  const ofStream = error.status === undefined ? streamExitCodes[error.code] : undefined
  if (ofStream !== undefined) return ofStream
  if (error.status === undefined || error.code === 'unexpected_answer' || error.retryable)
    return exitCodes.unavailable
  if (error.status === 401 || error.status === 403) return exitCodes.auth
  if (error.status === 404) return exitCodes.notFound
  if (error.status === 409 || error.code === 'idempotency_key_conflict') return exitCodes.conflict
  // Here the command line was the request: a wrong parameter is a wrong option.
  if (usageCodes.has(error.code)) return exitCodes.usage
  return exitCodes.failed
}

const usageCodes: ReadonlySet<string> = new Set([
  'invalid_request',
  'query_too_wide',
  'invalid_filter',
  'filter_too_wide',
  'invalid_name',
])

function nextOf(error: PulseError): string | undefined {
  if (error.code === 'network' || error.code === 'unexpected_answer') return 'pulse doctor'
  if (error.code === 'no_filter') return 'pulse filters set SUBSCRIBER EXPRESSION'
  if (error.status === 401 || error.code === 'unauthenticated')
    return 'pulse login --url URL, or --data DIR with the data folder of a local server'
  if (error.status === 403 || error.code === 'forbidden')
    return 'pulse keys create NAME --scopes LIST, with a key that may'
  if (error.retryAfter !== undefined) return `try again in ${Math.ceil(error.retryAfter)} s`
  return undefined
}

/** Says of anything that was thrown how it is told. A mistake of ours is told without its stack. */
export function describeFailure(error: unknown): Failure {
  const plain = { status: undefined, requestId: undefined, errors: [], next: undefined }
  if (error instanceof PulseError) {
    const { code, status, requestId, errors, suggestions } = error
    return {
      exitCode: exitCodeOf(error),
      code,
      message: error.detail,
      next: nextOf(error),
      status,
      requestId,
      errors,
      suggestions,
    }
  }
  if (error instanceof CommandError)
    return { ...plain, exitCode: error.exitCode, code: 'command', message: error.message, next: error.next }
  if (error instanceof CommanderError)
    return {
      ...plain,
      exitCode: exitCodes.usage,
      code: 'usage',
      message: error.message.replace(/^error: /, ''),
    }
  if (error instanceof Interrupted)
    return { ...plain, exitCode: exitCodes.interrupted, code: 'interrupted', message: 'Interrupted.' }
  const message = error instanceof Error ? error.message : String(error)
  return { ...plain, exitCode: exitCodes.failed, code: 'failed', message, next: 'pulse doctor' }
}

const unended = (sentence: string) => sentence.replace(/\.$/, '')

/** The failure in one line, as people read it. */
export function failureLine(failure: Failure): string {
  const members = failure.errors.map(({ pointer, detail }) => `${pointer || '/'} ${detail}`).join('; ')
  const message = failure.message.replace(/: see errors\.?$/, '')
  const request = failure.requestId === undefined ? '' : ` [request ${failure.requestId}]`
  const next = failure.next === undefined ? '' : ` Next: ${failure.next}`
  // The detail of a single wrong member is often the whole message, or its end.
  const [only] = failure.errors.length === 1 ? failure.errors : []
  const isSaid =
    members === message || (only !== undefined && unended(message).endsWith(unended(only.detail)))
  const said = members === '' || isSaid ? message : `${message} (${members})`
  const line = `${said.replace(/\s*\n\s*/g, ' ')}${request}`
  return `${/[.!?\])]$/.test(line) ? line : `${line}.`}${next}`
}

/** The failure as an RFC 9457 problem, for `--json`. */
export function failureProblem(failure: Failure): Record<string, unknown> {
  return {
    schema: 'pulse.problem.v1',
    type: failure.status === undefined ? 'about:blank' : `/docs/problems/${failure.code}`,
    title: failure.message.replace(/\s*\n\s*/g, ' '),
    ...(failure.status === undefined ? {} : { status: failure.status }),
    code: failure.code,
    exit_code: failure.exitCode,
    ...(failure.requestId === undefined ? {} : { request_id: failure.requestId }),
    ...(failure.errors.length === 0 ? {} : { errors: failure.errors }),
    ...(failure.suggestions?.length ? { suggestions: failure.suggestions } : {}),
    ...(failure.next === undefined ? {} : { next: failure.next }),
  }
}
