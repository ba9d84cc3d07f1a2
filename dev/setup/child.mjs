// Child processes of the set-up: quiet ones, whose output is shown only when they fail, and the one in front,
// which owns the terminal. Plain JavaScript without packages, because it runs before anything is installed.
import { spawn } from 'node:child_process'
import { constants } from 'node:os'

/** One Ctrl-C reaches us twice: from the terminal and, forwarded, from npm. Both come within this time. */
const echoMsMax = 300

/**
 * Runs a program to its end and keeps what it prints.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ cwd: string, env?: NodeJS.ProcessEnv }} options
 * @returns {Promise<{ code: number, output: string }>} exit code and both streams together. Rejects when the
 *   program cannot be started.
 */
export function runQuietly(program, args, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    /** @type {Buffer[]} */
    const chunks = []
    child.stdout.on('data', (chunk) => chunks.push(chunk))
    child.stderr.on('data', (chunk) => chunks.push(chunk))
    child.once('error', reject)
    child.once('close', (code, signal) => {
      resolve({ code: exitCode(code, signal), output: Buffer.concat(chunks).toString() })
    })
  })
}

/**
 * Runs a program in front: it has our terminal, and each signal that asks us to stop is passed on to it once.
 * `ownGroup` puts it into a process group of its own, so that a Ctrl-C reaches it only through us: a server
 * counts signals (the first drains, the second stops at once), and the terminal's copy would be the second.
 * A program that reads keys must stay in the terminal's group, where the terminal itself interrupts it.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ cwd: string, ownGroup: boolean, env?: NodeJS.ProcessEnv }} options
 * @returns {Promise<number>} the exit code; 128 plus the signal's number when a signal ended it.
 */
export function runInFront(program, args, options) {
  return new Promise((resolve, reject) => {
    const { ownGroup, ...rest } = options
    const child = spawn(program, args, { ...rest, stdio: 'inherit', detached: ownGroup })
    const stopForwarding = forwardSignals((signal) => child.kill(signal), ownGroup)
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      stopForwarding()
      resolve(exitCode(code, signal))
    })
  })
}

/**
 * @param {(signal: NodeJS.Signals) => void} pass
 * @param {boolean} ownGroup
 * @returns {() => void}
 */
function forwardSignals(pass, ownGroup) {
  /** @type {NodeJS.Signals[]} */
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
  let lastAt = Number.NEGATIVE_INFINITY
  /** @param {NodeJS.Signals} signal */
  const onSignal = (signal) => {
    // In the terminal's own group the child has had its Ctrl-C already.
    if (signal === 'SIGINT' && !ownGroup && process.stdin.isTTY) return
    const now = performance.now()
    if (now - lastAt < echoMsMax) return
    lastAt = now
    pass(signal)
  }
  for (const signal of signals) process.on(signal, onSignal)
  return () => {
    for (const signal of signals) process.off(signal, onSignal)
  }
}

/**
 * @param {number | null} code
 * @param {NodeJS.Signals | null} signal
 */
function exitCode(code, signal) {
  return code ?? 128 + (signal ? constants.signals[signal] : 0)
}
