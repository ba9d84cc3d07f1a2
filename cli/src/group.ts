import { Command } from 'commander'

/** Makes a command that only holds others. `examples` are command lines without the word `pulse`. */
export function group(
  name: string,
  description: string,
  { commands, examples }: { readonly commands: readonly Command[]; readonly examples: readonly string[] },
): Command {
  const lines = examples.map((example) => `  pulse ${example}\n`).join('')
  const parent = new Command(name).description(description).addHelpText('before', `Examples:\n${lines}`)
  for (const command of commands) parent.addCommand(command)
  return parent
}
