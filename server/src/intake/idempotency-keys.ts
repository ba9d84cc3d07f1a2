import { hash } from 'node:crypto'
import { answered } from '@pulse/log/answered'
import { limits } from '@pulse/protocol/limits'
import type pg from 'pg'
import { ProblemError } from '../http/problem-error.ts'

const claimMsMax = 5_000

/** Reads an `Idempotency-Key`: a structured-field string (quoted) or bare. Throws ProblemError. */
export function parseIdempotencyKey(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined
  const text = Array.isArray(header) ? header.join(',') : header.trim()
  const quoted = /^"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/.exec(text)
  const key = quoted ? (quoted[1] ?? '').replaceAll(/\\(.)/g, '$1') : text
  if (!/^[\x21-\x7e]+$/.test(key) || key.length > limits.idempotencyKeyCharsMax)
    throw new ProblemError(
      'invalid_idempotency_key',
      `The key must be 1 to ${limits.idempotencyKeyCharsMax} visible ASCII characters.`,
    )
  return key
}

/**
 * Claims a key for a request body, or finds that it was claimed before. The key's events get ids that follow from
 * it, so the remembered ids of the log do the rest: a repeat, even one that runs beside the first or comes after a
 * crash in its middle, gets the same receipts. So nothing but the body's hash has to be kept here.
 * Throws ProblemError `idempotency_key_conflict` if the key stands for another body, LogError `unavailable` if the
 * database hangs.
 */
export async function claimKey(
  pool: pg.Pool,
  owner: string,
  key: string,
  body: Buffer,
): Promise<{ replayed: boolean }> {
  const name = hash('sha256', `${owner}\n${key}`, 'buffer')
  const digest = hash('sha256', body, 'buffer')
  return await answered(claim(pool, name, digest), claimMsMax)
}

async function claim(pool: pg.Pool, name: Buffer, digest: Buffer): Promise<{ replayed: boolean }> {
  const inserted = await pool.query(
    'insert into idempotency_keys (name, body_hash) values ($1, $2) on conflict (name) do nothing',
    [name, digest],
  )
  if (inserted.rowCount === 1) return { replayed: false }
  const { rows } = await pool.query<{ body_hash: Buffer }>(
    'select body_hash from idempotency_keys where name = $1',
    [name],
  )
  if (rows[0] && !rows[0].body_hash.equals(digest))
    throw new ProblemError('idempotency_key_conflict', 'This Idempotency-Key was used with another body.')
  return { replayed: true }
}
