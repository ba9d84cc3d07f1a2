import { hash, randomBytes } from 'node:crypto'

const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const secretBytes = 32
// 62^43 is the first power above 2^256.
const secretDigits = 43
const keyPattern = /^pulse_[0-9A-Za-z]{43}$/

/** 32 random bytes as 43 letters and digits: no character needs escaping in a shell, a header or an address. */
export function newSecret(): string {
  let rest = BigInt(`0x${randomBytes(secretBytes).toString('hex')}`)
  let text = ''
  for (let index = 0; index < secretDigits; index += 1) {
    text = digits.charAt(Number(rest % 62n)) + text
    rest /= 62n
  }
  return text
}

/** A new API key. Its beginning lets scanners of repositories and logs recognise a leaked one. */
export function newKey(): string {
  return `pulse_${newSecret()}`
}

/** True if the text has the form of an API key. */
export function isKey(text: string): boolean {
  return keyPattern.test(text)
}

/**
 * SHA-256 of a secret in base64: what is stored and looked up. Looking up by a digest needs no comparison in constant
 * time, because nobody can choose a digest's first characters by trying secrets.
 */
export function digestOf(secret: string): string {
  return hash('sha256', secret, 'base64')
}
