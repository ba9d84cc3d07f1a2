import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { eventually } from '@pulse/dev/services/eventually'

const run = promisify(execFile)
const deploy = join(import.meta.dirname, '..', '..', 'deploy')

/** A real reverse proxy with the file that we publish, on free ports of this machine. */
export interface ProxyProcess extends AsyncDisposable {
  readonly tlsPort: number
  readonly plainPort: number
  /** Its certificate, to be trusted by the clients of the test. */
  readonly ca: string
  /** Ends it, with every connection through it, and starts it again at the same ports after `downMs`. */
  restart(downMs: number): Promise<void>
}

/** Ports and files that a test puts where the published file has those of a real installation. */
interface Places {
  readonly upstream: number
  readonly plainPort: number
  readonly tlsPort: number
  readonly folder: string
}

export type ProxyKind = 'nginx' | 'haproxy'

/** Where the program is; system programs often are not on the PATH of a user. Undefined if it is not installed. */
async function findProgram(name: string): Promise<string | undefined> {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  for (const folder of folders) {
    const file = join(folder, name)
    if (
      await access(file).then(
        () => true,
        () => false,
      )
    )
      return file
  }
  return undefined
}

/** The program, installed by the system's packages if this user may do that. Undefined if it cannot be had here. */
export async function proxyProgram(kind: ProxyKind): Promise<string | undefined> {
  const found = await findProgram(kind)
  if (found !== undefined || process.getuid?.() !== 0) return found
  const apt = await findProgram('apt-get')
  if (apt === undefined) return undefined
  // Packages of servers start them at once, on the ports that they have by default; this keeps them from it.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  await run(apt, ['install', '-y', '--no-install-recommends', kind], { env }).catch(() => undefined)
  return findProgram(kind)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Puts the test's places into the published text. Each must be there exactly once: else the test tests another file. */
function fill(text: string, places: readonly (readonly [string, string])[]): string {
  return places.reduce((filled, [published, own]) => {
    if (filled.split(published).length !== 2)
      throw new Error(`not exactly once in the published file: ${published}`)
    return filled.replace(published, own)
  }, text)
}

async function nginxArguments({ folder, plainPort, tlsPort, upstream }: Places): Promise<readonly string[]> {
  const published = await readFile(join(deploy, 'nginx', 'pulse.conf'), 'utf8')
  const site = fill(published, [
    ['server 127.0.0.1:8000 ', `server 127.0.0.1:${upstream} `],
    ['listen 80;', `listen 127.0.0.1:${plainPort};`],
    ['listen 443 ssl;', `listen 127.0.0.1:${tlsPort} ssl;`],
    ['/etc/ssl/pulse/certificate.pem', join(folder, 'certificate.pem')],
    ['/etc/ssl/pulse/key.pem', join(folder, 'key.pem')],
  ])
  await writeFile(join(folder, 'pulse.conf'), site)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join(' ')
  const main = `daemon off; pid ${folder}/nginx.pid; error_log stderr warn; ${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 512; }
http { access_log off; ${temporary} include ${folder}/pulse.conf; }
`
  await writeFile(join(folder, 'nginx.conf'), main)
  return ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr']
}

async function haproxyArguments({
  folder,
  plainPort,
  tlsPort,
  upstream,
}: Places): Promise<readonly string[]> {
  const published = await readFile(join(deploy, 'haproxy', 'haproxy.cfg'), 'utf8')
  const filled = fill(published, [
    ['server pulse1 127.0.0.1:8000', `server pulse1 127.0.0.1:${upstream}`],
    ['bind :80\n', `bind 127.0.0.1:${plainPort}\n`],
    ['bind :443 ssl', `bind 127.0.0.1:${tlsPort} ssl`],
    ['/etc/ssl/pulse/certificate-and-key.pem', join(folder, 'both.pem')],
  ])
  await writeFile(join(folder, 'haproxy.cfg'), filled)
  return ['-db', '-f', join(folder, 'haproxy.cfg')]
}

async function makeCertificate(folder: string): Promise<string> {
  const files = ['-keyout', join(folder, 'key.pem'), '-out', join(folder, 'certificate.pem')]
  const name = [
    '-subj',
    '/CN=pulse.example.com',
    '-addext',
    'subjectAltName=DNS:pulse.example.com,IP:127.0.0.1',
  ]
  await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...files, ...name])
  const certificate = await readFile(join(folder, 'certificate.pem'), 'utf8')
  await writeFile(join(folder, 'both.pem'), certificate + (await readFile(join(folder, 'key.pem'), 'utf8')))
  return certificate
}

async function accepts(port: number): Promise<true> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.destroy()
  return true
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  await exited
}

/** Starts the proxy in front of `127.0.0.1:upstream`. Rejects with what it said when it does not start. */
export async function startProxy(kind: ProxyKind, program: string, upstream: number): Promise<ProxyProcess> {
  const folder = await mkdtemp(join(tmpdir(), `pulse-${kind}-`))
  const ca = await makeCertificate(folder)
  const places = { upstream, folder, plainPort: await freePort(), tlsPort: await freePort() }
  const args = await (kind === 'nginx' ? nginxArguments(places) : haproxyArguments(places))
  const begin = () => listening(program, args, places.tlsPort)
  let child = await begin().catch(async (error: unknown) => {
    await rm(folder, { recursive: true, force: true })
    throw error
  })
  const dispose = async () => {
    await end(child)
    await rm(folder, { recursive: true, force: true })
  }
  const restart = async (downMs: number) => {
    await end(child)
    await pause(downMs)
    child = await begin()
  }
  return { tlsPort: places.tlsPort, plainPort: places.plainPort, ca, restart, [Symbol.asyncDispose]: dispose }
}

/** Starts the program and waits until it listens. */
async function listening(program: string, args: readonly string[], port: number): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  try {
    await eventually('the proxy listens', () => accepts(port), 10_000)
  } catch (error) {
    await end(child)
    throw new Error(`the proxy did not start: ${said}`, { cause: error })
  }
  return child
}
