import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { addressVariables, openServices, type ServiceName, type Services, serviceNames } from './services.ts'

/**
 * Starts services once, for many test files or for development.
 *
 *   node dev/services/main.ts [postgres redis kafka chromium] -- COMMAND …   runs the command with the addresses in
 *                                                                            its environment, and ends with its code
 *   node dev/services/main.ts [names] --file FILE                            writes them to FILE as JSON, runs until
 *                                                                            SIGINT or SIGTERM
 */
async function main(args: readonly string[]): Promise<number> {
  const cut = args.indexOf('--')
  const command = cut < 0 ? [] : args.slice(cut + 1)
  const options = cut < 0 ? args : args.slice(0, cut)
  const fileAt = options.indexOf('--file')
  const file = fileAt < 0 ? undefined : options[fileAt + 1]
  const words = options.filter((_, index) => fileAt < 0 || (index !== fileAt && index !== fileAt + 1))
  const unknown = words.filter((word) => !isServiceName(word))
  if (unknown.length > 0 || (command.length === 0 && file === undefined)) {
    process.stderr.write(`usage: main.ts [${serviceNames.join(' ')}] (--file FILE | -- COMMAND …)\n`)
    return 2
  }
  const names = words.length > 0 ? words.filter(isServiceName) : serviceNames
  // Listening before anything starts: a signal in the middle of starting must not leave a service behind.
  const asked = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
  await using services = await openServices(names)
  const addresses = environment(names, services)
  if (file !== undefined) await writeFile(file, `${JSON.stringify(addresses, null, 2)}\n`)
  if (command.length > 0) return await runWith(command, addresses, asked)
  await asked
  return 0
}

const isServiceName = (word: string): word is ServiceName => serviceNames.some((name) => name === word)

function environment(names: readonly ServiceName[], services: Services): Record<string, string> {
  const there = names.filter((name) => services.skip(name) === false)
  return Object.fromEntries(there.map((name) => [addressVariables[name], services.address(name)]))
}

async function runWith(
  [program = '', ...args]: readonly string[],
  addresses: Record<string, string>,
  asked: Promise<unknown>,
): Promise<number> {
  const child = spawn(program, args, { stdio: 'inherit', env: { ...process.env, ...addresses } })
  void asked.then(() => child.kill('SIGTERM'))
  const [code] = await once(child, 'exit')
  return typeof code === 'number' ? code : 1
}

process.exitCode = await main(process.argv.slice(2))
