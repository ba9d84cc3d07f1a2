import { Command, Option } from 'commander'
import { type Cli, type Connected, connect } from '../cli.ts'
import { exitCodes } from '../exit-code.ts'
import { CommandError } from '../failure.ts'
import { importNames, type NamesRequest, type NamesResult } from '../import/import-names.ts'
import { asFile } from '../import/local-file.ts'
import { type NameFormat, nameFormats } from '../import/name-file.ts'
import { oneCharacter, wholeNumber } from '../option-values.ts'
import { createProgress, type Progress } from '../progress.ts'
import { count, counted, duration, printable, type Terminal } from '../terminal.ts'

interface Options {
  readonly format?: NameFormat
  readonly column: string
  readonly delimiter: string
  readonly refused?: string
  readonly batch: number
  readonly inFlight: number
}

const examples = `Examples:
  pulse names import names.txt
  pulse names import node_modules/all-the-package-names/names.json
  pulse names import users.csv --column login --refused refused.ndjson
  psql -Atc 'select username from users' | pulse names import -
`

const explanation = `
One name per line; or a JSON array, lines of JSON or CSV, where a name is a text by itself or stands in
the member or column 'username'. Names that somebody has stay whose they are, so importing again adds
what is missing and nothing else. A name that a rule refuses is counted and listed: the first twenty
here, all of them in the file of --refused.`

/** `pulse names import`: a file of names, each taken that is free. */
export function namesImport(cli: Cli): Command {
  return new Command('import')
    .description('take every name of a file')
    .argument('<file>', 'the file, or - for standard input')
    .addOption(
      new Option('--format <format>', 'what the file is; otherwise told by its beginning').choices(
        nameFormats,
      ),
    )
    .option('--column <name>', 'column or member that holds the name', 'username')
    .option('--delimiter <character>', 'between the fields of CSV', oneCharacter, ',')
    .option('--refused <file>', 'write every name that is refused there, as lines of JSON')
    .option('--batch <number>', 'names per request', wholeNumber(1, 50_000), 20_000)
    .option('--in-flight <number>', 'requests at a time', wholeNumber(1, 16), 3)
    .addHelpText('before', examples)
    .addHelpText('after', explanation)
    .action(async (file: string, options: Options, command: Command) => {
      const connected = await connect(cli, command, patience)
      // Told before a long file is read: nobody is there, or the key is not good.
      await connected.client.session({ signal: connected.signal, retriesMax: 2 })
      await using local = await asFile(cli, file)
      const { batch, inFlight, refused, ...rest } = options
      const request = { ...rest, batchNamesMax: batch, inFlightMax: inFlight, refusedFile: refused }
      report(connected.terminal, await runImport(connected, { ...request, file: local.path }), options)
    })
}

// A minute or two of refusals in a row; every request that passes starts it anew.
const patience = { retriesMax: 12, waitMsMax: 10_000, retryAfterMsMax: 600_000 }

async function runImport(
  { client, terminal, signal }: Connected,
  request: NamesRequest,
): Promise<NamesResult> {
  let progress: Progress | undefined
  try {
    return await importNames(
      {
        ...{ client, signal },
        onProgress: ({ bytes, bytesTotal, names }) => {
          progress ??= createProgress(terminal, { unit: 'names', total: bytesTotal })
          progress.at(bytes, names)
        },
      },
      request,
    )
  } catch (error) {
    progress?.stop()
    if (progress) terminal.note('Not complete. The same command again adds what is missing.')
    throw error
  } finally {
    progress?.stop()
  }
}

function report(terminal: Terminal, result: NamesResult, { refused: refusedFile }: Options): void {
  const { added, present, refused, seconds, bad } = result
  if (terminal.json) terminal.document('pulse.names.import.v1', { data: result })
  else {
    for (const { line, text, reason } of bad)
      terminal.note(`line ${line}: ${printable(text)}: ${printable(reason)}`)
    if (refused > bad.length)
      terminal.note(`… and ${count(refused - bad.length)} more. Next: --refused FILE keeps them all`)
    terminal.print(
      `${count(added)} added, ${count(present)} were there already, ${count(refused)} refused in ${duration(seconds)}.`,
    )
  }
  if (refused === 0) return
  const next = refusedFile === undefined ? 'add --refused FILE to keep them' : `see ${refusedFile}`
  throw new CommandError(exitCodes.partial, `${counted(refused, 'name')} refused`, next)
}
