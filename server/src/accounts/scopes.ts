import { type Role, type Scope, scopes } from '../http/access.ts'

export { type Role, type Scope, scopes } from '../http/access.ts'

/** Every role, the weakest first. */
export const roles = ['viewer', 'operator', 'admin'] as const satisfies readonly Role[]

/** What a person with a role may do. */
export const scopesOfRole: Readonly<Record<Role, ReadonlySet<Scope>>> = {
  viewer: new Set<Scope>(['events:read', 'stream:read', 'read:stats']),
  operator: new Set<Scope>([
    'events:read',
    'stream:read',
    'read:stats',
    'events:write',
    'filters:write',
    'feed',
    'names',
  ]),
  admin: new Set<Scope>(scopes),
}

/** The scopes that were given as a set; `admin` brings all others. Words that are no scope any more are left out. */
export function grantedScopes(given: readonly string[]): ReadonlySet<Scope> {
  if (given.includes('admin')) return scopesOfRole.admin
  return new Set(scopes.filter((scope) => given.includes(scope)))
}
