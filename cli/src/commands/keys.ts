import type { ApiKey, Scope } from '@pulse/client'
import { Command, InvalidArgumentError } from 'commander'
import { type Cli, connect } from '../cli.ts'
import { confirm } from '../confirm.ts'
import { group } from '../group.ts'
import { list } from '../option-values.ts'
import { shortTime, table } from '../terminal.ts'

const scopes: readonly Scope[] = [
  'events:write',
  'events:read',
  'filters:write',
  'stream:read',
  'read:stats',
  'feed',
  'names',
  'admin',
]

/** `pulse keys`: the API keys of a server. */
export function keys(cli: Cli): Command {
  return group('keys', 'list, create and revoke API keys', {
    commands: [keysList(cli), keysCreate(cli), keysRevoke(cli)],
    examples: ['keys list', 'keys create shop --scopes events:write'],
  })
}

function keysList(cli: Cli): Command {
  return new Command('list')
    .description('list API keys')
    .addHelpText('before', 'Examples:\n  pulse keys list\n  pulse keys list --json\n')
    .action(async (_options: unknown, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      const found: ApiKey[] = []
      let cursor: string | undefined
      do {
        const page = await client.keys.list({ cursor }, { signal })
        found.push(...page.data)
        cursor = page.cursor ?? undefined
      } while (cursor !== undefined)
      if (terminal.json)
        return terminal.document('pulse.keys.list.v1', { data: found, cursor: null, has_more: false })
      const rows = found.map((key) => [
        key.id,
        key.name,
        key.scopes.join(','),
        key.rate_limit ?? '–',
        key.subscribers ?? 'any',
        key.last_used_at === null ? 'never' : shortTime(key.last_used_at),
        key.revoked_at === null ? 'active' : 'revoked',
      ])
      for (const line of table(['ID', 'NAME', 'SCOPES', 'LIMIT', 'SUBSCRIBERS', 'LAST USED', 'STATE'], rows))
        terminal.print(line)
    })
}

const createExamples = `Examples:
  pulse keys create shop --scopes events:write
  pulse keys create reports --scopes events:read,read:stats --rate-limit 100/1m
  pulse keys create app --scopes stream:read --subscribers 'user_*'
  pulse keys create shop --scopes events:write > shop.key
`

interface NewKey {
  readonly scopes: Scope[]
  readonly rateLimit?: string
  readonly subscribers?: string
}

function keysCreate(cli: Cli): Command {
  return new Command('create')
    .description('create an API key and print its secret, once')
    .argument('<name>', 'what the key is for')
    .requiredOption('--scopes <list>', `what it may do (required): ${scopes.join(', ')}`, readScopes)
    .option('--rate-limit <limit>', 'requests per time, for example 100/1m')
    .option('--subscribers <pattern>', 'whose streams it may read, * for any characters (any)')
    .addHelpText('before', createExamples)
    .action(async (name: string, { scopes: asked, rateLimit, subscribers }: NewKey, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      const bounds = { rate_limit: rateLimit ?? null, subscribers: subscribers ?? null }
      const key = await client.keys.create({ name, scopes: asked, ...bounds }, { signal })
      if (terminal.json) return terminal.document('pulse.keys.create.v1', { data: key })
      terminal.note(`Created key ${key.id} (${key.scopes.join(', ')}). It is shown this once:`)
      terminal.print(key.key)
    })
}

function readScopes(text: string): Scope[] {
  return list(text).map((name) => {
    const scope = scopes.find((one) => one === name)
    if (scope === undefined)
      throw new InvalidArgumentError(`'${name}' is no scope. There are: ${scopes.join(', ')}.`)
    return scope
  })
}

function keysRevoke(cli: Cli): Command {
  return new Command('revoke')
    .description('revoke an API key at once')
    .argument('<id>', 'the id of the key')
    .option('--yes', 'do not ask')
    .addHelpText('before', 'Examples:\n  pulse keys revoke 3f0c1d1e-6a52-4c1b-9a0b-2f1f6f0f7c11 --yes\n')
    .action(async (id: string, options: { yes?: boolean }, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      await confirm(cli, `Revoke key ${id}? Whoever uses it is refused from now on.`, options.yes === true)
      await client.keys.revoke(id, { signal })
      if (terminal.json) return terminal.document('pulse.keys.revoke.v1', { data: { id, revoked: true } })
      terminal.print(`Revoked ${id}.`)
    })
}
