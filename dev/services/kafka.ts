import { randomBytes } from 'node:crypto'
import { access, mkdir, readFile, realpath, rename, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Child, runToEnd, startChild, untilReady } from './child.ts'
import { cacheFolder, findProgram, freePort, removeFolder, temporaryFolder } from './places.ts'

/** A Kafka broker of our own (and its controller, in one JVM of about 440 MB). */
export interface Kafka extends AsyncDisposable {
  /** `host:port` */
  readonly address: string
  /** Holds one folder `topic-partition` per partition. */
  readonly dataFolder: string
  /** `kill` is SIGKILL: the broker recovers its files at the next start. Data and port stay. */
  stop(how?: 'clean' | 'kill'): Promise<void>
  start(): Promise<void>
}

export interface KafkaProgram {
  readonly java: string
  readonly classPath: string
}

const here = join(dirname(fileURLToPath(import.meta.url)), 'kafka')

/** Java and Kafka's jars: a distribution on PATH, else what Maven installs. Throws a sentence if one is missing. */
export async function findKafka(): Promise<KafkaProgram> {
  const java = await findProgram('java')
  if (java === undefined) throw new Error('Kafka needs Java 17 or newer, and there is no java on PATH')
  const script = await findProgram('kafka-server-start.sh', 'kafka-server-start')
  if (script !== undefined)
    return { java, classPath: join(dirname(await realpath(script)), '..', 'libs', '*') }
  return { java, classPath: await classPathByMaven() }
}

async function classPathByMaven(): Promise<string> {
  const pom = join(here, 'pom.xml')
  const version =
    /kafka-tools<\/artifactId><version>([^<]+)/.exec(await readFile(pom, 'utf8'))?.[1] ?? 'unknown'
  const cached = join(cacheFolder, `kafka-${version}.classpath`)
  const known = await readFile(cached, 'utf8').catch(() => undefined)
  if (known !== undefined && (await allThere(known))) return known
  const maven = await findProgram('mvn')
  if (maven === undefined) throw new Error('Kafka is installed by Maven, and there is no mvn on PATH')
  await mkdir(cacheFolder, { recursive: true })
  const half = `${cached}.${process.pid}`
  const args = ['-q', '-B', '-f', pom, 'dependency:build-classpath', `-Dmdep.outputFile=${half}`]
  await runToEnd({ program: maven, args: [...args, '-Dmdep.includeScope=runtime'] })
  await rename(half, cached)
  return (await readFile(cached, 'utf8')).trim()
}

async function allThere(classPath: string): Promise<boolean> {
  const checks = classPath
    .trim()
    .split(delimiter)
    .map((jar) => access(jar))
  return Promise.all(checks).then(
    () => true,
    () => false,
  )
}

/**
 * Formats a data folder and starts a broker on free loopback ports; returns when it answers. It tells clients to come
 * back at `advertisedPort`, so that a test can stand between them and the broker.
 */
export async function startKafka(
  program: KafkaProgram,
  options: { advertisedPort?: number } = {},
): Promise<Kafka> {
  const folder = await temporaryFolder('kafka')
  const dataFolder = join(folder, 'data')
  const port = await freePort()
  const controllerPort = await freePort()
  const template = await readFile(join(here, 'server.properties'), 'utf8')
  const settings = template
    .replaceAll('{BROKER_PORT}', String(port))
    .replaceAll('{ADVERTISED_PORT}', String(options.advertisedPort ?? port))
    .replaceAll('{CONTROLLER_PORT}', String(controllerPort))
    .replaceAll('{DATA}', dataFolder)
  const settingsFile = join(folder, 'server.properties')
  await writeFile(settingsFile, settings)
  const java = [
    `-Dlog4j2.configurationFile=${join(here, 'log4j2.properties')}`,
    '-cp',
    program.classPath.trim(),
  ]
  let child: Child | undefined
  const start = async () => {
    if (child !== undefined && child.ended() === undefined) return
    const args = ['-Xms256m', '-Xmx768m', '-XX:+UseG1GC', ...java, 'kafka.Kafka', settingsFile]
    child = await startChild({ program: program.java, args, cwd: folder })
    await untilReady(child, { what: 'Kafka', withinMs: 60_000, ready: () => answers(port) })
  }
  const stop = (how: 'clean' | 'kill' = 'clean') =>
    child?.stop(how === 'clean' ? 'SIGTERM' : 'SIGKILL', 30_000) ?? Promise.resolve()
  const dispose = async () => {
    await stop('kill')
    await removeFolder(folder)
  }
  try {
    const format = ['kafka.tools.StorageTool', 'format', '-t', clusterId(), '-c', settingsFile]
    await runToEnd({ program: program.java, args: [...java, ...format] })
    await start()
  } catch (error) {
    await dispose()
    throw error
  }
  return { address: `127.0.0.1:${port}`, dataFolder, start, stop, [Symbol.asyncDispose]: dispose }
}

// As `kafka-storage random-uuid` writes it, without starting a JVM for it. It must not begin with a dash.
function clusterId(): string {
  const id = randomBytes(16).toString('base64url')
  return id.startsWith('-') ? clusterId() : id
}

// ApiVersions v0 without a client id. A broker accepts connections early but answers only when it may serve.
const question = Buffer.from('0000000a0012000000000001ffff', 'hex')

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: 2_000 }, () => socket.write(question))
    const end = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('data', () => end(true))
    socket
      .once('error', () => end(false))
      .once('close', () => end(false))
      .once('timeout', () => end(false))
  })
}
