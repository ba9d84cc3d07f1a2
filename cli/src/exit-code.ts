/**
 * Exit codes of `pulse`. They never change their meaning, so that scripts can rely on them.
 * `pulse help exit-codes` prints this table.
 */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  configuration: 3,
  auth: 4,
  notFound: 5,
  conflict: 6,
  unavailable: 7,
  partial: 8,
  interrupted: 130,
} as const

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

const meanings: Record<keyof typeof exitCodes, string> = {
  ok: 'done (an empty list is done too)',
  failed: 'failed',
  usage: 'the command line is wrong',
  configuration: 'a setting is not valid',
  auth: 'not signed in, or not allowed',
  notFound: 'not found',
  conflict: 'conflict: the state does not allow it',
  unavailable: 'unavailable: no answer, time-out, overloaded, port taken',
  partial: 'partly done: some of a batch was rejected',
  interrupted: 'interrupted',
}

/** The table of exit codes as the help shows it. */
export function exitCodesText(): string {
  const rows = Object.entries(exitCodes).map(
    ([name, code]) => `  ${String(code).padStart(3)}  ${meanings[name as keyof typeof exitCodes]}`,
  )
  return `Exit codes:\n${rows.join('\n')}\n`
}
