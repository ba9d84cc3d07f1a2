// `npm run check`: what a machine can say about the code without running the product, one line for each.
import { runQuietly } from './child.mjs'
import { ownNode, root, secondsSince } from './place.mjs'

interface Check {
  readonly name: string
  readonly program: string
  readonly args: readonly string[]
}

const tool = (name: string) => `${root}/node_modules/.bin/${name}`

/** The longest first, because two run at a time. */
const checks: readonly Check[] = [
  { name: 'types', program: tool('tsc'), args: ['-p', 'tsconfig.json'] },
  { name: 'types of the dashboard', program: tool('tsc'), args: ['-p', 'web/tsconfig.json'] },
  { name: 'tidy', program: ownNode, args: ['--test', '--test-reporter=spec', 'dev/tidy/**/*.test.ts'] },
  { name: 'dead code', program: tool('knip'), args: ['--no-progress'] },
  // A file of the product that only tests use is dead too; what is made for tests is listed in knip.json.
  {
    name: 'files for tests alone',
    program: tool('knip'),
    args: ['--no-progress', '--production', '--include', 'files'],
  },
  { name: 'lint and format', program: tool('biome'), args: ['check', '--error-on-warnings', '.'] },
]

const atOnce = 2

async function runCheck(check: Check): Promise<boolean> {
  const startedAt = performance.now()
  const { code, output } = await runQuietly(check.program, check.args, { cwd: root })
  const verdict = code === 0 ? 'ok    ' : 'FAILED'
  if (code !== 0) process.stdout.write(`${output.trimEnd()}\n`)
  process.stdout.write(`${verdict} ${check.name} (${secondsSince(startedAt)})\n`)
  return code === 0
}

async function main(): Promise<number> {
  const waiting = [...checks]
  let failed = 0
  const worker = async () => {
    for (let check = waiting.shift(); check; check = waiting.shift())
      if (!(await runCheck(check))) failed += 1
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return failed === 0 ? 0 : 1
}

process.exitCode = await main()
