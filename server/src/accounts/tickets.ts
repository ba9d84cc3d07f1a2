import { conditionSchema } from '@pulse/protocol/filter'
import { z } from 'zod'
import { type Caller, scopes } from '../http/access.ts'
import type { AccountStore } from './account-store.ts'
import type { Directory } from './directory.ts'
import { digestOf } from './secrets.ts'

const ticketCallerSchema = z.object({
  kind: z.enum(['key', 'session', 'token', 'open']),
  id: z.string(),
  name: z.string(),
  scopes: z.array(z.enum(scopes)),
  role: z.enum(['viewer', 'operator', 'admin']).optional(),
  subscribers: z.string().optional(),
  filter: conditionSchema.optional(),
  expiresMs: z.number().optional(),
})

/** What a ticket remembers of the caller who asked for it: all that bounds the caller bounds the ticket. */
export function ticketCaller({ scopes: held, ...rest }: Caller): z.input<typeof ticketCallerSchema> {
  return { ...rest, scopes: [...held] }
}

/** The caller of a ticket, which is used up; undefined if it is not valid, or the credential behind it has ended. */
export async function redeemTicket(
  ticket: string,
  { store, directory }: { readonly store: AccountStore; readonly directory: Directory },
): Promise<Caller | undefined> {
  const stored = await store.redeemTicket(digestOf(ticket))
  if (stored === undefined) return undefined
  const { scopes: held, ...rest } = ticketCallerSchema.parse(stored)
  const caller: Caller = { ...rest, scopes: new Set(held) }
  // The key or session may have been made on another server a moment ago, or revoked since.
  if (!directory.isLive(caller)) await directory.refreshForMiss()
  return directory.isLive(caller) ? caller : undefined
}
