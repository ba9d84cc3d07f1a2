import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'

/** A certificate for `localhost` and 127.0.0.1 with its key, both PEM, valid for a day: for tests, made anew each time. */
export function selfSigned(name: string): { cert: string; key: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = sequence(oid('2a8648ce3d040302')) // ecdsa-with-SHA256
  const issuer = sequence(element(0x31, sequence(oid('550403'), element(0x0c, Buffer.from(name))))) // CN
  const day = 86_400_000
  const validity = sequence(time(Date.now() - day), time(Date.now() + day))
  const names = sequence(element(0x82, Buffer.from('localhost')), element(0x87, Buffer.from([127, 0, 0, 1])))
  const alternatives = sequence(oid('551d11'), element(0x04, names))
  const body = sequence(
    element(0xa0, integer(Buffer.from([2]))), // version 3
    integer(Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    ...[algorithm, issuer, validity, issuer],
    publicKey.export({ type: 'spki', format: 'der' }),
    element(0xa3, sequence(alternatives)),
  )
  const signature = sign('sha256', body, privateKey)
  const der = sequence(body, algorithm, element(0x03, Buffer.concat([Buffer.from([0]), signature])))
  const lines = der.toString('base64').replaceAll(/(.{64})/g, '$1\n')
  const cert = `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`
  return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
}

/** One element of DER: tag, length, content. */
function element(tag: number, content: Buffer): Buffer {
  const size = content.length
  const length = size < 128 ? [size] : size < 256 ? [0x81, size] : [0x82, size >> 8, size & 0xff]
  return Buffer.concat([Buffer.from([tag, ...length]), content])
}

const sequence = (...parts: Buffer[]) => element(0x30, Buffer.concat(parts))
const integer = (bytes: Buffer) => element(0x02, bytes)
const oid = (hex: string) => element(0x06, Buffer.from(hex, 'hex'))
const time = (ms: number) =>
  element(0x17, Buffer.from(`${new Date(ms).toISOString().slice(2, 19).replaceAll(/[-:T]/g, '')}Z`))
