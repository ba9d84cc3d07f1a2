import { readFile } from 'node:fs/promises'
import { Command, Option } from 'commander'
import { type Cli, type Connected, connect } from '../cli.ts'
import { exitCodes } from '../exit-code.ts'
import { CommandError } from '../failure.ts'
import { type ImportResult, importFile } from '../import/import-file.ts'
import { asFile } from '../import/local-file.ts'
import type { Mapping } from '../import/mapping.ts'
import { type Format, formats } from '../import/records.ts'
import { list, oneCharacter, pairs, span, wholeNumber } from '../option-values.ts'
import { createProgress, type Progress } from '../progress.ts'
import { count, counted, duration, printable, type Terminal } from '../terminal.ts'

interface Options {
  readonly format?: Format
  readonly delimiter?: string
  readonly type?: string
  readonly map?: Record<string, string>
  readonly mapFile?: string
  readonly id?: string
  readonly properties?: string[]
  readonly text?: string[]
  readonly timezone?: string
  readonly source?: string
  readonly batch: number
  readonly inFlight: number
  readonly errors?: string
  readonly replay?: boolean
  readonly over?: number
  readonly again?: string
}

const examples = `Examples:
  pulse events import events.ndjson
  pulse events import rides.csv --type ride.ended --id ride_id \\
    --map user_id=passenger,timestamp=date --properties fare,distance --timezone Europe/Berlin
  pulse events import rides.csv --map timestamp=date --replay --over 60s
  zcat rides.csv.gz | pulse events import - --map-file rides.json --errors bad.ndjson
`

const explanation = `
A record is a line of NDJSON, an element of a JSON array, or a line of CSV under a header. Columns
named like members of an event (event_id, event_type, user_id, timestamp, source, schema_version)
are these; the others become properties. An id comes from the column that --id names (a UUID as it
is, else made from its value), else it is made from the file's digest and the record's number. So
importing again adds nothing, and after an interruption the same command goes on where it stopped.

With --replay each event is sent when it is due by its own timestamp: at the file's own pace, or with
--over squeezed or stretched to that time. Timestamps stay what they are. What was imported before is
there already and reaches nobody again: --again NAME makes other events of the same records.

A map file is JSON: {"type", "id", "timezone", "source", "map": {}, "properties": [], "text": []}.`

/** `pulse events import`: a file of records, as events. */
export function eventsImport(cli: Cli): Command {
  return new Command('import')
    .description('import NDJSON, a JSON array or CSV')
    .argument('<file>', 'the file, or - for standard input')
    .addOption(
      new Option('--format <format>', 'what the file is; otherwise told by its beginning').choices(formats),
    )
    .option('--delimiter <character>', 'between the fields of CSV (default: ",")', oneCharacter)
    .option('--type <type>', 'event type of every record')
    .option(
      '--map <member=column,...>',
      'where members of the event stand; also properties.NAME=COLUMN',
      pairs,
    )
    .option('--map-file <file>', 'the mapping from a JSON file')
    .option('--id <column>', 'where the id of the record stands')
    .option(
      '--properties <columns>',
      'which become properties (default: all that are not used otherwise)',
      list,
    )
    .option('--text <columns>', 'CSV columns that stay text although they look like numbers', list)
    .option('--timezone <zone>', 'zone of times without an offset (default: UTC)')
    .option('--source <name>', 'source of every event')
    .option('--batch <number>', 'events per request', wholeNumber(1, 5_000), 1_000)
    .option(
      '--in-flight <number>',
      'requests at a time; more than 1 does not keep the order',
      wholeNumber(1, 64),
      1,
    )
    .option('--errors <file>', 'write every bad record there, as lines of JSON')
    .option('--replay', 'at the pace of the timestamps')
    .option('--over <time>', 'with --replay: the whole file in this time, such as 60s', span)
    .option('--again <name>', 'as other events than those of an earlier import')
    .addHelpText('before', examples)
    .addHelpText('after', explanation)
    .action(async (file: string, options: Options, command: Command) => {
      if (options.over !== undefined && !options.replay)
        throw new CommandError(exitCodes.usage, '--over says how long a replay takes', 'add --replay')
      const mapping = await readMapping(options)
      const connected = await connect(cli, command, patience)
      // Told before a long file is read: nobody is there, or the key is not good.
      await connected.client.session({ signal: connected.signal, retriesMax: 2 })
      await using local = await asFile(cli, file)
      const result = await runImport(cli, connected, { ...options, mapping, file: local.path })
      report(connected.terminal, result, options)
    })
}

// About a minute of refusals in a row; every event that passes starts it anew.
const patience = { retriesMax: 12, waitMsMax: 10_000, retryAfterMsMax: 600_000 }

interface Prepared extends Options {
  readonly mapping: Mapping
  readonly file: string
}

async function runImport(
  cli: Cli,
  { client, terminal, signal }: Connected,
  prepared: Prepared,
): Promise<ImportResult> {
  let progress: Progress | undefined
  try {
    return await importFile(
      {
        client,
        signal,
        stateFolder: cli.config.stateFolder,
        onProgress: ({ bytes, bytesTotal, events, before }) => {
          progress ??= createProgress(terminal, {
            unit: 'events',
            total: bytesTotal,
            before: { done: before.bytes, items: before.events },
          })
          progress.at(bytes, events)
        },
      },
      {
        ...prepared,
        batchEventsMax: prepared.batch,
        inFlightMax: prepared.inFlight,
        errorsFile: prepared.errors,
        replay: prepared.replay ? { overMs: prepared.over } : undefined,
      },
    )
  } catch (error) {
    progress?.stop()
    // Where nothing was sent there is nothing to go on with: the file or a column is wrong.
    if (progress) terminal.note('Not complete. The same command goes on where this one stopped.')
    throw error
  } finally {
    progress?.stop()
  }
}

function report(terminal: Terminal, result: ImportResult, { errors: errorsFile, over }: Options): void {
  const { accepted, duplicates, rejected, seconds, resumedAfter, bad } = result
  for (const { line, reason } of terminal.json ? [] : bad) terminal.note(`line ${line}: ${printable(reason)}`)
  if (!terminal.json && rejected > bad.length)
    terminal.note(`… and ${count(rejected - bad.length)} more. Next: --errors FILE keeps them all`)
  if (terminal.json) terminal.document('pulse.events.import.v1', { data: result })
  else {
    const resumed = resumedAfter > 0 ? `, going on after record ${count(resumedAfter)}` : ''
    terminal.print(
      `${count(accepted)} added, ${count(duplicates)} were there already, ${count(rejected)} rejected in ${duration(seconds)}${resumed}.`,
    )
  }
  if (over !== undefined && !terminal.json && seconds * 1000 > over * 1.05 + 1_000)
    terminal.note(`That is longer than ${duration(over / 1000)}: the server did not take them at that pace.`)
  if (rejected === 0) return
  const next = errorsFile === undefined ? 'add --errors FILE to keep them' : `see ${errorsFile}`
  throw new CommandError(exitCodes.partial, `${counted(rejected, 'record')} rejected`, next)
}

async function readMapping(options: Options): Promise<Mapping> {
  const saved = options.mapFile === undefined ? {} : await readMapFile(options.mapFile)
  const { type, id, properties, text, timezone, source } = options
  const given = Object.fromEntries(
    Object.entries({ type, id, properties, text, timezone, source }).filter(
      ([, value]) => value !== undefined,
    ),
  )
  return { ...saved, ...given, map: { ...saved.map, ...options.map } }
}

const mapFileMembers = ['type', 'id', 'timezone', 'source', 'map', 'properties', 'text']

async function readMapFile(file: string): Promise<Mapping> {
  try {
    const saved: unknown = JSON.parse(await readFile(file, 'utf8'))
    if (typeof saved !== 'object' || saved === null) throw new Error('it is not a JSON object')
    const strange = Object.keys(saved).find((name) => !mapFileMembers.includes(name))
    if (strange !== undefined) throw new Error(`it has '${strange}'; known are ${mapFileMembers.join(', ')}`)
    return saved
  } catch (error) {
    throw new CommandError(
      exitCodes.usage,
      `${file} is no map file: ${error instanceof Error ? error.message : error}`,
    )
  }
}
