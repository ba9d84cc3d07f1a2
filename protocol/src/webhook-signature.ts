/**
 * Signatures of webhooks as Standard Webhooks 1.0 has them. Only what browsers, Node and edge runtimes have in common is
 * used, so that receivers check with the code that the server signs with.
 */

/** Names of the headers that every request of a webhook has. */
export const webhookHeaders = {
  id: 'webhook-id',
  timestamp: 'webhook-timestamp',
  signature: 'webhook-signature',
} as const

/** A request further from now than this is refused: somebody may have recorded it. */
export const webhookToleranceSeconds = 300

const prefix = 'whsec_'
const secretBytes = 32

/** What is signed. `timestamp`: whole seconds since 1970, as text. */
export interface SignedWebhook {
  readonly id: string
  readonly timestamp: string
  readonly body: string
}

/** Makes a secret of 32 random bytes, `whsec_…`. */
export function newWebhookSecret(): string {
  return prefix + toBase64(crypto.getRandomValues(new Uint8Array(secretBytes)))
}

/** Makes the value of `webhook-signature`: `v1,` and the HMAC-SHA256 in Base64. Throws TypeError if the secret is none. */
export async function signWebhook(secret: string, signed: SignedWebhook): Promise<string> {
  const key = await keyOf(secret, 'sign')
  return `v1,${toBase64(new Uint8Array(await crypto.subtle.sign('HMAC', key, bytesOf(signed))))}`
}

/** Why a request is not what the server sent: `old` is one from too long ago, or from the future. */
export type WebhookVerdict = 'good' | 'unsigned' | 'old' | 'forged'

/**
 * Judges a request by its body, exactly as it came, and its headers, in lower case. One of the signatures named in the
 * header has to be right: while a secret is replaced there are two. Throws TypeError if the secret is none.
 */
export async function verifyWebhook(
  secret: string,
  request: {
    readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
    readonly body: string
  },
  nowSeconds: number = Date.now() / 1_000,
): Promise<WebhookVerdict> {
  const [id, timestamp, signatures] = [
    webhookHeaders.id,
    webhookHeaders.timestamp,
    webhookHeaders.signature,
  ].map((name) => request.headers[name])
  if (typeof id !== 'string' || typeof timestamp !== 'string' || typeof signatures !== 'string')
    return 'unsigned'
  if (!/^\d{1,12}$/.test(timestamp)) return 'unsigned'
  if (Math.abs(nowSeconds - Number(timestamp)) > webhookToleranceSeconds) return 'old'
  const key = await keyOf(secret, 'verify')
  const bytes = bytesOf({ id, timestamp, body: request.body })
  for (const one of signatures.split(' ')) {
    const given = one.startsWith('v1,') ? fromBase64(one.slice(3)) : undefined
    // The comparison is done by the platform, in constant time.
    if (given && (await crypto.subtle.verify('HMAC', key, given, bytes))) return 'good'
  }
  return 'forged'
}

const bytesOf = ({ id, timestamp, body }: SignedWebhook) =>
  new TextEncoder().encode(`${id}.${timestamp}.${body}`)

async function keyOf(secret: string, use: 'sign' | 'verify') {
  const bytes = secret.startsWith(prefix) ? fromBase64(secret.slice(prefix.length)) : undefined
  if (!bytes || bytes.length === 0) throw new TypeError(`a secret of a webhook begins with ${prefix}`)
  return await crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, [use])
}

function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0))
  } catch {
    return undefined
  }
}
