import { runToEnd } from './child.ts'
import { findKafka, startKafka } from './kafka.ts'
import { findProgram } from './places.ts'
import { findPostgres, startPostgres } from './postgres.ts'
import { startRedis } from './redis.ts'

/**
 * Real services for tests and development, in this order of preference: an address in the environment, a program
 * that is installed, an install by the machine's package manager, and else a loud skip that names what is missing.
 * With `REQUIRE=postgres,redis,kafka,chromium` (any of them) a skip is a failure.
 */
export const serviceNames = ['postgres', 'redis', 'kafka', 'chromium'] as const
export type ServiceName = (typeof serviceNames)[number]

/** The environment variable that holds a service's address; a service given there is used and never stopped. */
export const addressVariables: Readonly<Record<ServiceName, string>> = {
  postgres: 'TEST_DATABASE_URL',
  redis: 'TEST_REDIS_URL',
  kafka: 'TEST_KAFKA_BROKERS',
  chromium: 'CHROMIUM',
}

/** Names that services have elsewhere too; they count when the test's own name is not there. */
const usualVariables: Readonly<Partial<Record<ServiceName, string>>> = {
  redis: 'REDIS_URL',
  kafka: 'KAFKA_BROKERS',
}

/** What runs. Disposing stops what was started here, last first. */
export interface Services extends AsyncDisposable {
  /** The address; throws if the service is missing. Kafka: `host:port,…`; chromium: the path of the program. */
  address(name: ServiceName): string
  /** Why a test that needs these services must be skipped, or false: for `test(…, { skip })`. */
  skip(...names: ServiceName[]): string | false
}

/** A service could not be had although `REQUIRE` names it. */
export class ServiceError extends Error {
  override name = 'ServiceError'
}

interface Found extends Partial<AsyncDisposable> {
  readonly address: string
}

/** Finds or starts the named services, one after another. Throws ServiceError if a required one is missing. */
export async function openServices(names: readonly ServiceName[]): Promise<Services> {
  const stack = new AsyncDisposableStack()
  const addresses = new Map<ServiceName, string>()
  const missing = new Map<ServiceName, string>()
  try {
    for (const name of names) {
      try {
        const found = await open(name)
        addresses.set(name, found.address)
        stack.defer(async () => found[Symbol.asyncDispose]?.())
      } catch (error) {
        missing.set(name, missingBecause(name, error))
      }
    }
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
  return {
    address: (name) => {
      const address = addresses.get(name)
      if (address === undefined) throw new ServiceError(missing.get(name) ?? `${name} was not asked for`)
      return address
    },
    skip: (...wanted) =>
      wanted.map((name) => missing.get(name)).find((reason) => reason !== undefined) ?? false,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

async function open(name: ServiceName): Promise<Found> {
  const given = process.env[addressVariables[name]] ?? process.env[usualVariables[name] ?? '']
  if (given !== undefined && given !== '') return { address: given }
  switch (name) {
    case 'postgres': {
      const bin = await findPostgres()
      if (bin === undefined)
        throw new Error('there is neither npm’s PostgreSQL for this platform nor initdb on PATH')
      return startPostgres(bin)
    }
    case 'redis':
      return startRedis(await programOrPackage(['redis-server'], 'redis-server'))
    case 'kafka':
      return startKafka(await findKafka())
    case 'chromium':
      return {
        address: await programOrPackage(['chromium', 'chromium-browser', 'google-chrome'], 'chromium'),
      }
  }
}

async function programOrPackage(programs: readonly string[], name: string): Promise<string> {
  const there = await findProgram(...programs)
  if (there !== undefined) return there
  const apt = await findProgram('apt-get')
  if (apt === undefined || process.getuid?.() !== 0)
    throw new Error(
      `there is no ${programs.join(' or ')} on PATH, and installing ${name} needs apt-get and root`,
    )
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  await runToEnd({ program: apt, args: ['update', '-qq'], env })
  const options = ['-o', 'DPkg::Lock::Timeout=300', '--no-install-recommends']
  await runToEnd({ program: apt, args: ['install', '-y', '-qq', ...options, name], env })
  const installed = await findProgram(...programs)
  if (installed === undefined)
    throw new Error(`${name} was installed, but ${programs.join(' or ')} is not on PATH`)
  return installed
}

/** The reason to skip what needs the service, said loudly. Throws ServiceError if `REQUIRE` names it. */
export function missingBecause(name: ServiceName, error: unknown): string {
  const reason = `${name} is missing: ${error instanceof Error ? error.message : String(error)}`
  const required = (process.env.REQUIRE ?? '').split(',').map((word) => word.trim())
  if (required.includes(name)) throw new ServiceError(`${reason} (REQUIRE names it)`, { cause: error })
  process.stderr.write(`SKIPPED: ${reason}. Give ${addressVariables[name]}, or install it.\n`)
  return reason
}
