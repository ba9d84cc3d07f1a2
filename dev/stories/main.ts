import { pulse } from '@pulse/cli'
import { flightsLive } from './flights-live.ts'
import { type Story, stories } from './stories.ts'

// `npm run story` lists the stories; `npm run story -- NAME [options]` tells one. A story that is imported takes the
// options of the command that users have, so `--url`, `--key`, `--data` and `--json` work here too.
const [name, ...options] = process.argv.slice(2)
const story = stories.find((one) => one.name === name)

/** Stories that are more than an import. */
const live: Readonly<Record<string, (story: Story) => Promise<void>>> = {
  'flights-live': (told) => flightsLive(process, told, options),
}

const tell = story && live[story.name]
const asksForHelp = name === '--help' || (tell !== undefined && options.includes('--help'))

if (story && !asksForHelp) {
  if (tell)
    await tell(story).catch((error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
      process.exitCode = 1
    })
  else await pulse(process, ['events', 'import', story.file, ...story.options, ...options])
} else {
  const lines = stories.map((one) => `  ${one.name.padEnd(14)}${one.description}`)
  const usage = `Stories (npm run story -- NAME):\n${lines.join('\n')}\n`
  if (name === undefined || asksForHelp) process.stdout.write(usage)
  else {
    process.stderr.write(`There is no story '${name}'.\n${usage}`)
    process.exitCode = 2
  }
}
