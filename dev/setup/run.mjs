// What every npm script of this repository runs: set up what the command needs, then become the command.
// Plain JavaScript without packages, for it must run on any Node from 20 on, in a clone with nothing installed.
import { runInFront } from './child.mjs'
import { ensureInstalled, isInstalled } from './install.mjs'
import { ownNode, root, SetupError, say } from './place.mjs'
import { inTurn } from './turn.mjs'
import { ensureWebBuilt, isWebBuilt } from './web-build.mjs'

/**
 * Per command: the packages it needs, whether it serves the dashboard, and its program.
 * @typedef {{ size: import('./install.mjs').Size, web: boolean, program: string[] }} Command
 * @type {Record<string, Command>}
 */
const commands = {
  start: { size: 'runtime', web: true, program: ['cli/src/main.ts', 'start'] },
  pulse: { size: 'runtime', web: false, program: ['cli/src/main.ts'] },
  test: { size: 'full', web: true, program: ['dev/setup/test.ts'] },
  check: { size: 'full', web: false, program: ['dev/setup/check.ts'] },
  bench: { size: 'full', web: true, program: ['dev/bench/main.ts'] },
  faults: { size: 'full', web: true, program: ['dev/faults/main.ts'] },
  release: { size: 'full', web: false, program: ['dev/release/main.ts'] },
  story: { size: 'full', web: false, program: ['dev/stories/main.ts'] },
}

/**
 * @param {string[]} argv
 * @returns {Promise<number>} the exit code.
 */
async function main([name = '', ...args]) {
  const command = commands[name]
  if (!command) {
    say(`usage: node dev/setup/run.mjs ${Object.keys(commands).join('|')} [arguments]`)
    return 2
  }
  const handTool = name === 'pulse' && args[0] !== 'start'
  const setUpFrom = performance.now()
  await setUp(command.size, command.web || (name === 'pulse' && !handTool))
  const env = { ...process.env, SETUP_MS: String(Math.round(performance.now() - setUpFrom)) }
  // The CLI reads keys (`pulse top`), so it stays in the terminal's group; see runInFront.
  return runInFront(ownNode, [...command.program, ...args], { cwd: root, ownGroup: !handTool, env })
}

/**
 * @param {import('./install.mjs').Size} size
 * @param {boolean} web
 */
async function setUp(size, web) {
  // Looked at without taking a turn first: with everything there, nothing is written, not even in a read-only clone.
  if (isInstalled(size) && (!web || isWebBuilt())) return
  await inTurn(async () => {
    await ensureInstalled(size)
    if (web) await ensureWebBuilt()
  })
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  say(error.message)
  process.exitCode = 1
}
