// Two commands started in one fresh clone must not install into the same folder at once: they take turns.
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { root, say } from './place.mjs'

/** Beside node_modules, not inside: npm empties that folder. Its content is the holder's process id. */
const turnFile = join(root, '.setup-turn')
const lookAgainMs = 200

/**
 * Runs `work` while no other set-up of this clone runs.
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>} what `work` gives; its errors pass through.
 */
export async function inTurn(work) {
  let told = false
  while (!take()) {
    if (!told) say('Another command is setting up this clone: waiting for it …')
    told = true
    await wait(lookAgainMs)
  }
  const release = () => rmSync(turnFile, { force: true })
  process.once('exit', release)
  try {
    return await work()
  } finally {
    process.off('exit', release)
    release()
  }
}

function take() {
  try {
    writeFileSync(turnFile, `${process.pid}`, { flag: 'wx' })
    return true
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    // A holder that was killed leaves its file behind; whoever notices clears it and tries again.
    if (!holderLives()) rmSync(turnFile, { force: true })
    return false
  }
}

function holderLives() {
  try {
    process.kill(Number(readFileSync(turnFile, 'utf8')), 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
