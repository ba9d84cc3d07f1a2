import { pulse } from '@pulse/cli'
import { stories } from './stories.ts'

// `npm run story` lists the stories; `npm run story -- NAME [options]` imports one with the command that users have,
// so `--url`, `--key`, `--data` and `--json` work here too.
const [name, ...options] = process.argv.slice(2)
const story = stories.find((one) => one.name === name)

if (story) {
  await pulse(process, ['events', 'import', story.file, ...story.options, ...options])
} else {
  const lines = stories.map((one) => `  ${one.name.padEnd(12)}${one.description}`)
  const usage = `Stories (npm run story -- NAME):\n${lines.join('\n')}\n`
  if (name === undefined || name === '--help') process.stdout.write(usage)
  else {
    process.stderr.write(`There is no story '${name}'.\n${usage}`)
    process.exitCode = 2
  }
}
