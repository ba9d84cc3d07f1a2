import type { IconName } from '../design/design.ts'

export interface PageLink {
  readonly to: '/' | '/events' | '/dead-letters'
  readonly name: string
  readonly icon: IconName
  /** Pressed after `g`. */
  readonly key: string
}

/** The pages of the navigation, in its order. */
export const pages: readonly PageLink[] = [
  { to: '/', name: 'Overview', icon: 'overview', key: 'o' },
  { to: '/events', name: 'Events', icon: 'events', key: 'e' },
  { to: '/dead-letters', name: 'Dead letters', icon: 'dead', key: 'd' },
]
